# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's CPU provider: f32, dynamic int8 and static int8 (QDQ)."""
from __future__ import annotations

import numpy as np

from models import Model

FILES = {"f32": "model.onnx", "int8 dynamic": "model.ort-dynamic.onnx", "int8 static": "model.ort-static.onnx"}


class Samples:
    """Feeds pictures to the static quantiser."""

    def __init__(self, model: Model) -> None:
        self.rows = iter(model.samples()[:, None])

    def get_next(self) -> dict | None:
        row = next(self.rows, None)
        return None if row is None else {"x": row}


def prepare(model: Model, precision: str) -> None:
    """Quantise per channel, as ONNX Runtime's guide has it for transformers."""
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    target = model.made(FILES[precision])
    if target.exists():
        return
    clean = model.made("model.ort-clean.onnx")
    quant_pre_process(str(model.onnx), str(clean))
    if precision == "int8 dynamic":
        q.quantize_dynamic(str(clean), str(target), per_channel=True, op_types_to_quantize=["MatMul", "Gemm"],
                           weight_type=q.QuantType.QInt8)
    else:
        q.quantize_static(str(clean), str(target), Samples(model), quant_format=q.QuantFormat.QDQ, per_channel=True,
                          activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
                          op_types_to_quantize=["MatMul", "Gemm"])


class OnnxRuntime:
    """One session, all graph optimisations."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.form = model
        self.session = onnxruntime.InferenceSession(str(model.made(FILES[precision])), options,
                                                    providers=["CPUExecutionProvider"])

    def input(self, pixels: np.ndarray) -> np.ndarray:
        return self.form.normalised(pixels[None])

    def run(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"x": x})[0][0]
