# SPDX-License-Identifier: Apache-2.0
"""PyTorch, eager, f32 and bf16."""
from __future__ import annotations

import numpy as np

from models import Model


def prepare(model: Model, precision: str) -> None:
    """Nothing: it loads the weights as they are."""


class PyTorch:
    """The timm model itself."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.type = torch.bfloat16 if precision == "bf16" else torch.float32
        self.form, self.net = model, model.torch().to(self.type)

    def input(self, pixels: np.ndarray) -> object:
        import torch

        return torch.from_numpy(self.form.normalised(pixels[None])).to(self.type)

    def run(self, x: object) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.net(x)[0].float().numpy()
