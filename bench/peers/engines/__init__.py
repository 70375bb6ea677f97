# SPDX-License-Identifier: Apache-2.0
"""The engines, by the name their rows bear: module, class, and what the class takes beyond model and threads.

A module has `prepare(model, precision)`, which makes the files that the engine needs and makes none twice, and a
class with `input(pixels)`, not timed, and `run(input)` -> logits, timed.
"""
from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from models import Model


def has_bf16() -> bool:
    """Whether bf16 products are more than an emulation here."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return any(flag in text for flag in ("avx512_bf16", "amx_bf16", " bf16"))


@dataclass(frozen=True)
class Entry:
    """One row of the comparison."""

    module: str
    kind: str
    precision: str
    package: str | None = None  # whose version is reported
    extra: tuple = ()

    def prepare(self, model: Model) -> None:
        if self.precision == "bf16" and not has_bf16():
            raise RuntimeError("this CPU has no bf16 instructions")
        importlib.import_module("engines." + self.module).prepare(model, self.precision)

    def open(self, model: Model, threads: int):
        module = importlib.import_module("engines." + self.module)
        return getattr(module, self.kind)(model, threads, self.precision, *self.extra)


ENGINES = {
    "Lutra f32, dense": Entry("lutra", "Lutra", "f32", extra=(False,)),
    "Lutra f32, clustered": Entry("lutra", "Lutra", "f32", extra=(True,)),
    "Lutra int8, dense": Entry("lutra", "Lutra", "int8", extra=(False,)),
    "Lutra int8, clustered": Entry("lutra", "Lutra", "int8", extra=(True,)),
    "ONNX Runtime f32": Entry("onnx_runtime", "OnnxRuntime", "f32", "onnxruntime"),
    "ONNX Runtime int8, dynamic": Entry("onnx_runtime", "OnnxRuntime", "int8 dynamic", "onnxruntime"),
    "ONNX Runtime int8, static": Entry("onnx_runtime", "OnnxRuntime", "int8 static", "onnxruntime"),
    "OpenVINO f32": Entry("openvino", "OpenVino", "f32", "openvino"),
    "OpenVINO bf16": Entry("openvino", "OpenVino", "bf16", "openvino"),
    "OpenVINO int8": Entry("openvino", "OpenVino", "int8", "openvino"),
    "PyTorch f32": Entry("pytorch", "PyTorch", "f32", "torch"),
    "PyTorch bf16": Entry("pytorch", "PyTorch", "bf16", "torch"),
    "ncnn f32": Entry("ncnn", "Ncnn", "f32", "ncnn"),
    "ncnn bf16": Entry("ncnn", "Ncnn", "bf16", "ncnn"),
    "MNN f32": Entry("mnn", "Mnn", "f32", "MNN"),
    "MNN int8, dynamic": Entry("mnn", "Mnn", "int8", "MNN"),
    "LiteRT f32": Entry("litert", "LiteRt", "f32", "ai-edge-litert"),
    "LiteRT int8, dynamic": Entry("litert", "LiteRt", "int8", "ai-edge-litert"),
    "ExecuTorch f32": Entry("executorch", "ExecuTorch", "f32", "executorch"),
    "ExecuTorch int8, dynamic": Entry("executorch", "ExecuTorch", "int8", "executorch"),
}
