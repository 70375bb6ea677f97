# SPDX-License-Identifier: Apache-2.0
"""LiteRT with the XNNPACK delegate: f32, and 8-bit weights with dynamic quantisation."""
from __future__ import annotations

import numpy as np

from models import SIZE, Model

FILES = {"f32": "model.tflite", "int8": "model.int8.tflite"}


def prepare(model: Model, precision: str) -> None:
    """PyTorch to tflite by litert-torch; ai-edge-quantizer's recipe for 8-bit weights per channel."""
    dense, target = model.made(FILES["f32"]), model.made(FILES[precision])
    if not dense.exists():
        import litert_torch
        import torch

        litert_torch.convert(model.torch(), (torch.zeros(1, 3, SIZE, SIZE),)).export(str(dense))
    if not target.exists():
        from ai_edge_quantizer import quantizer, recipe

        made = quantizer.Quantizer(str(dense), recipe.dynamic_wi8_afp32()).quantize()
        made.export_model(str(target))


class LiteRt:
    """One interpreter; the XNNPACK delegate is its default."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.form = model
        self.interpreter = Interpreter(str(model.made(FILES[precision])), num_threads=threads)
        self.interpreter.allocate_tensors()
        self.given = self.interpreter.get_input_details()[0]["index"]
        self.made = self.interpreter.get_output_details()[0]["index"]

    def input(self, pixels: np.ndarray) -> np.ndarray:
        return self.form.normalised(pixels[None])

    def run(self, x: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.given, x)
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.made)[0]
