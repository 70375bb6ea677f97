# SPDX-License-Identifier: Apache-2.0
"""The network: a plain timm vision transformer, 48 x 48 pictures, 1.6 M weights."""
from __future__ import annotations

import torch
from torch import nn

MODEL_ARGS = {"img_size": 48, "patch_size": 8, "embed_dim": 128, "depth": 8,
              "num_heads": 4}


def import_timm():
    """timm, also where torchvision was built for another kind of torch.

    timm imports torchvision for its data loaders, and a torchvision whose
    compiled part does not load needs two operators to be declared first.
    """
    try:
        import timm
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold)"
                           " -> Tensor")
        import_timm.library = library
        import timm
    return timm


def make(num_classes: int, **extra) -> nn.Module:
    """A fresh network: uint8-like pictures scaled to -1..1 in, logits out."""
    timm = import_timm()
    return timm.create_model("vit_tiny_patch16_224", pretrained=False,
                             num_classes=num_classes, **MODEL_ARGS, **extra)


def scale(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 [B][3][48][48] -> float, (x / 255 - 0.5) / 0.5."""
    return pictures.float().div(127.5).sub(1)
