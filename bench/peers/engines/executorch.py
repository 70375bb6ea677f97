# SPDX-License-Identifier: Apache-2.0
"""ExecuTorch with the XNNPACK backend: f32, and 8-bit weights per channel with dynamic activations."""
from __future__ import annotations

import numpy as np

from models import SIZE, Model

FILES = {"f32": "model.pte", "int8": "model.int8.pte"}


def prepare(model: Model, precision: str) -> None:
    """Export, quantise by PT2E where int8 is asked for, lower to XNNPACK."""
    target = model.made(FILES[precision])
    if target.exists():
        return
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    x = (torch.zeros(1, 3, SIZE, SIZE),)
    program = torch.export.export(model.torch(), x)
    if precision == "int8":
        program = quantised(program, x)
    lowered = to_edge_transform_and_lower(program, partitioner=partitioners(precision, XnnpackPartitioner))
    target.write_bytes(lowered.to_executorch().buffer)


def quantised(program, x: tuple):
    """The exported program with dynamic int8 linears."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (XNNPACKQuantizer,
                                                                         get_symmetric_quantization_config)
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True))
    observed = prepare_pt2e(program.module(), quantizer)
    observed(*x)
    return torch.export.export(convert_pt2e(observed), x)


def partitioners(precision: str, kind) -> list:
    """Dynamic linears are lowered one by one, ahead of the rest."""
    if precision == "f32":
        return [kind()]
    from executorch.backends.xnnpack.partition.config.xnnpack_config import ConfigPrecisionType

    return [kind(config_precisions=ConfigPrecisionType.DYNAMIC_QUANT, per_op_mode=True), kind()]


class ExecuTorch:
    """The forward method of one program."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        if hasattr(portable_lib, "_threadpool_reset"):
            portable_lib._threadpool_reset(threads)
        self.form = model
        self.method = Runtime.get().load_program(model.made(FILES[precision])).load_method("forward")

    def input(self, pixels: np.ndarray) -> object:
        import torch

        return torch.from_numpy(self.form.normalised(pixels[None]))

    def run(self, x: object) -> np.ndarray:
        return self.method.execute([x])[0][0].numpy()
