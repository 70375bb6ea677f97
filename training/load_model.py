# SPDX-License-Identifier: Apache-2.0
"""Rebuild the exported model with timm from its config.json alone."""
from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file

import timm_model


def load(folder: Path) -> tuple[torch.nn.Module, dict]:
    """(network in f32 and eval mode, config) of an exported folder."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    timm = timm_model.import_timm()
    model = timm.create_model(config["architecture"], pretrained=False,
                              num_classes=config["num_classes"],
                              global_pool=config["global_pool"], **config["model_args"])
    model.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return model.eval(), config


def pictures(folder: Path, names: list[str]) -> torch.Tensor:
    """PNG files as one uint8 tensor [count][3][48][48]."""
    parts = []
    for name in names:
        with Image.open(folder / name) as image:
            data = torch.frombuffer(bytearray(image.convert("RGB").tobytes()),
                                    dtype=torch.uint8)
        parts.append(data.view(image.height, image.width, 3).permute(2, 0, 1))
    return torch.stack(parts)


def labels(folder: Path) -> tuple[list[str], torch.Tensor]:
    """(file names, class indices [count]) of a labels.tsv."""
    rows = (folder / "labels.tsv").read_text(encoding="utf-8").splitlines()[1:]
    cells = [row.split("\t") for row in rows]
    return [c[0] for c in cells], torch.tensor([int(c[1]) for c in cells])


@torch.no_grad()
def logits(model: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """f32 logits [count][classes] of uint8 pictures [count][3][48][48]."""
    return torch.cat([model(timm_model.scale(part)) for part in images.split(256)])
