# SPDX-License-Identifier: Apache-2.0
"""Write a checkpoint's averaged weights as model.safetensors and config.json."""
from __future__ import annotations

import argparse
import json
import unicodedata
from pathlib import Path

import torch
from safetensors.torch import save_file

from timm_model import MODEL_ARGS


def describe(group: str) -> str:
    """Unicode names of the characters of one class."""
    return ", ".join(unicodedata.name(c).replace(" LETTER", "").lower() for c in group)


def config(classes: list[str]) -> dict:
    """What timm's save_for_hf writes, with this model's own shape."""
    names = [group[0] for group in classes]
    return {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": len(classes),
        "num_features": MODEL_ARGS["embed_dim"],
        "global_pool": "token",
        "model_args": MODEL_ARGS,
        "label_names": names,
        "label_descriptions": {n: describe(g) for n, g in zip(names, classes)},
        "pretrained_cfg": {
            "tag": "lutra_characters",
            "input_size": [3, MODEL_ARGS["img_size"], MODEL_ARGS["img_size"]], "fixed_input_size": True,
            "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "center",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
            "num_classes": len(classes), "pool_size": None,
            "first_conv": "patch_embed.proj", "classifier": "head",
            "license": "apache-2.0",
        },
    }


def export(checkpoint: Path, out: Path) -> None:
    """Write both files into `out`."""
    state = torch.load(checkpoint)
    weights = {k: v.float().contiguous() for k, v in state["average"].items()}
    out.mkdir(parents=True, exist_ok=True)
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    text = json.dumps(config(state["classes"]), ensure_ascii=False, indent=2)
    (out / "config.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    export(args.checkpoint, args.out)
