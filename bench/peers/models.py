# SPDX-License-Identifier: Apache-2.0
"""One model in every form that an engine wants: dense and clustered safetensors, PyTorch, ONNX.

The forms lie in a folder of their own and are made once: the same weights in all of them, random ones that
`lutra random` seeds, or the user's.
"""
from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / "training"))
from timm_model import import_timm  # noqa: E402

SIZE = 224


@dataclass
class Model:
    """Where the forms of one model lie."""

    arch: str        # timm's name
    folder: Path
    dense: Path      # safetensors, timm's names
    calibration: Path | None = None  # folder of photos and their pixels.npy [N][224][224][3] uint8

    @property
    def clustered(self) -> Path:
        return self.folder / "clustered.safetensors"

    @property
    def onnx(self) -> Path:
        return self.folder / "model.onnx"

    @cached_property
    def facts(self) -> dict:
        """{classes, mean, std}, as timm's configuration says."""
        return json.loads((self.folder / "facts.json").read_text())

    def made(self, name: str) -> Path:
        """Where an engine keeps its own form."""
        return self.folder / name

    def torch(self):
        """The timm model with these weights, in evaluation mode."""
        from safetensors.torch import load_file

        model = import_timm().create_model(self.arch, pretrained=False)
        model.load_state_dict(load_file(self.dense))
        return model.eval()

    def normalised(self, pixels: np.ndarray) -> np.ndarray:
        """[N][224][224][3] uint8 -> [N][3][224][224] float32, scaled and centred."""
        scaled = pixels.astype(np.float32) / 255
        centred = (scaled - np.array(self.facts["mean"], np.float32)) / np.array(self.facts["std"], np.float32)
        return np.ascontiguousarray(centred.transpose(0, 3, 1, 2))

    def samples(self) -> np.ndarray:
        """What static quantisation looks at, normalised: the calibration pictures, else 16 of noise."""
        if self.calibration:
            return self.normalised(np.load(self.calibration / "pixels.npy"))
        return self.normalised(random_pixels(16))


def random_pixels(count: int) -> np.ndarray:
    """[count][224][224][3] uint8 of noise, the same in every process."""
    return np.random.default_rng(1).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def export(model: Model) -> None:
    """Write facts.json and model.onnx: opset 17, batch 1, input x, output y."""
    import torch

    net = model.torch()
    config = net.pretrained_cfg
    facts = {"classes": net.num_classes, "mean": config["mean"], "std": config["std"]}
    (model.folder / "facts.json").write_text(json.dumps(facts))
    torch.onnx.export(net, (torch.zeros(1, 3, SIZE, SIZE),), str(model.onnx), input_names=["x"],
                      output_names=["y"], opset_version=17, dynamo=False)


def make(arch: str, folder: Path, lutra: Path, clusters: int, weights: Path | None = None,
         calibration: Path | None = None) -> Model:
    """The common forms, those that are missing; engines add their own when they prepare."""
    folder.mkdir(parents=True, exist_ok=True)
    dense = weights or folder / f"{arch}.safetensors"
    model = Model(arch, folder, dense, calibration)
    quiet = {"check": True, "stdout": subprocess.DEVNULL}
    if not dense.exists():
        subprocess.run([lutra, "random", "--arch", arch, "-o", dense], **quiet)
    if not model.clustered.exists():
        subprocess.run([lutra, "cluster", dense, "--arch", arch, "--clusters", str(clusters),
                        "-o", model.clustered, *(["--calibrate", calibration] if calibration else [])], **quiet)
    if not model.onnx.exists():
        export(model)
    return model
