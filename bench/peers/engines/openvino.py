# SPDX-License-Identifier: Apache-2.0
"""OpenVINO's CPU plugin: f32, bf16 and int8 (NNCF, transformer preset)."""
from __future__ import annotations

import numpy as np

from models import Model


def prepare(model: Model, precision: str) -> None:
    """Quantise with NNCF's transformer preset where int8 is asked for."""
    target = model.made("model.openvino-int8.xml")
    if precision != "int8" or target.exists():
        return
    import nncf
    import openvino

    samples = nncf.Dataset([{"x": row} for row in model.samples()[:, None]])
    quantised = nncf.quantize(openvino.convert_model(str(model.onnx)), samples,
                              model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(quantised, str(target), compress_to_fp16=False)


class OpenVino:
    """One synchronous request under the latency hint."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        import openvino

        path = model.made("model.openvino-int8.xml") if precision == "int8" else model.onnx
        config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False,
                  "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32"}
        self.form = model
        self.request = openvino.Core().compile_model(str(path), "CPU", config).create_infer_request()

    def input(self, pixels: np.ndarray) -> np.ndarray:
        return self.form.normalised(pixels[None])

    def run(self, x: np.ndarray) -> np.ndarray:
        return next(iter(self.request.infer({0: x}, share_inputs=True).values()))[0].copy()
