# SPDX-License-Identifier: Apache-2.0
"""MNN through its RuntimeManager: f32, and weights of 8 bits with dynamic quantisation."""
from __future__ import annotations

import subprocess
import sys

import numpy as np

from models import SIZE, Model

FILES = {"f32": "model.mnn", "int8": "model.int8.mnn"}


def prepare(model: Model, precision: str) -> None:
    """ONNX to MNN by the converter of the package."""
    target = model.made(FILES[precision])
    if target.exists():
        return
    convert = ["mnnconvert", "-f", "ONNX", "--modelFile", str(model.onnx),
               "--MNNModel", str(target), "--bizCode", "lutra"]
    if precision == "int8":
        convert += ["--weightQuantBits", "8", "--weightQuantBlock", "-1"]
    # The package's script would install a logging service first; its compiled part alone does not.
    subprocess.run([sys.executable, "-c", "import sys, MNN, _tools; _tools.mnnconvert(sys.argv[1:])", *convert],
                   check=True, stdout=subprocess.DEVNULL)
    if not target.exists():
        raise RuntimeError("the converter wrote nothing")


class Mnn:
    """A module on the CPU backend; "low" memory multiplies in int8 where the weights are."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        import MNN

        config = {"backend": "CPU", "numThread": threads, "precision": "high" if precision == "f32" else "normal",
                  "memory": "normal" if precision == "f32" else "low"}
        self.mnn, self.form = MNN, model
        manager = MNN.nn.create_runtime_manager((config,))
        self.module = MNN.nn.load_module_from_file(str(model.made(FILES[precision])), ["x"], ["y"],
                                                   runtime_manager=manager)

    def input(self, pixels: np.ndarray) -> object:
        x = self.form.normalised(pixels[None])
        expr = self.mnn.expr
        return expr.const(x, [1, 3, SIZE, SIZE], expr.NCHW)

    def run(self, x: object) -> np.ndarray:
        return np.array(self.module.forward([x])[0].read()).reshape(-1)
