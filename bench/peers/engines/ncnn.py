# SPDX-License-Identifier: Apache-2.0
"""ncnn, converted by pnnx: f32 and bf16 storage."""
from __future__ import annotations

import os
from pathlib import Path
from types import MethodType

import numpy as np

from models import SIZE, Model


def attend(self, x, attn_mask=None, **unused):
    """timm's attention with the three parts cut along the last axis, which ncnn can; [B][N][C]."""
    import torch.nn.functional as F

    heads = [part.unflatten(2, (self.num_heads, self.head_dim)).transpose(1, 2)
             for part in self.qkv(x).chunk(3, dim=-1)]
    return self.proj(F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


def prepare(model: Model, precision: str) -> None:
    """TorchScript to ncnn's two files; pnnx writes beside its input."""
    if model.made("ncnn/model.ncnn.param").exists():
        return
    import pnnx
    import torch

    net = model.torch()
    for block in net.blocks:
        block.attn.forward = MethodType(attend, block.attn)
    folder = model.made("ncnn")
    folder.mkdir(exist_ok=True)
    here = Path.cwd()
    os.chdir(folder)
    try:
        pnnx.export(net, "model.pt", (torch.zeros(1, 3, SIZE, SIZE),), fp16=False)
    finally:
        os.chdir(here)


class Ncnn:
    """One extractor a run, as ncnn's examples do."""

    def __init__(self, model: Model, threads: int, precision: str) -> None:
        import ncnn

        self.ncnn, self.form, self.net = ncnn, model, ncnn.Net()
        self.net.opt.num_threads = threads
        self.net.opt.use_bf16_storage = precision == "bf16"
        self.net.load_param(str(model.made("ncnn/model.ncnn.param")))
        self.net.load_model(str(model.made("ncnn/model.ncnn.bin")))

    def input(self, pixels: np.ndarray) -> np.ndarray:
        return self.form.normalised(pixels[None])[0]

    def run(self, x: np.ndarray) -> np.ndarray:
        extractor = self.net.create_extractor()
        extractor.input("in0", self.ncnn.Mat(x))
        status, out = extractor.extract("out0")
        if status:
            raise RuntimeError(f"ncnn: extract gave {status}")
        return np.array(out).reshape(-1)
