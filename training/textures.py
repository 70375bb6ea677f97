# SPDX-License-Identifier: Apache-2.0
"""A bank of grey textures for backgrounds and for ink: [K][1][96][96] in 0..1."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F

SIDE = 96


def clouds(count: int, g: torch.Generator) -> torch.Tensor:
    """Noise of several octaves, with a random weight for each."""
    total = torch.zeros(count, 1, SIDE, SIDE)
    for cells in (2, 4, 8, 16, 32, 64):
        noise = torch.randn(count, 1, cells, cells, generator=g)
        weight = torch.rand(count, 1, 1, 1, generator=g) ** 2 * (8 / cells) ** 0.5
        total += weight * F.interpolate(noise, (SIDE, SIDE), mode="bilinear",
                                        align_corners=True)
    return total


def waves(count: int, g: torch.Generator) -> torch.Tensor:
    """Stripes, grids and checks at any angle, soft or hard."""
    def pick(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, generator=g)

    axis = torch.linspace(-1, 1, SIDE)
    y, x = axis.view(1, 1, SIDE, 1), axis.view(1, 1, 1, SIDE)
    angle, phase = pick(0, math.pi), pick(0, 2 * math.pi)
    rate = torch.exp(pick(math.log(3.0), math.log(45.0)))
    u = torch.cos(angle) * x + torch.sin(angle) * y
    v = -torch.sin(angle) * x + torch.cos(angle) * y
    one = torch.sin(rate * u + phase)
    two = torch.sin(rate * pick(0.5, 1.5) * v + phase)
    kind = torch.rand(count, 1, 1, 1, generator=g)
    wave = torch.where(kind < 0.5, one, torch.where(kind < 0.75, one * two, one + two))
    return torch.tanh(wave * pick(0.5, 8))


def ramps(count: int, g: torch.Generator) -> torch.Tensor:
    """Straight or round gradients, some of them with an edge."""
    axis = torch.linspace(-1, 1, SIDE)
    y, x = axis.view(1, 1, SIDE, 1), axis.view(1, 1, 1, SIDE)
    a, b, c, d = (torch.randn(count, 1, 1, 1, generator=g) for _ in range(4))
    plane = a * x + b * y
    disc = ((x - c) ** 2 + (y - d) ** 2).sqrt()
    kind = torch.rand(count, 1, 1, 1, generator=g)
    ramp = torch.where(kind < 0.5, plane, disc)
    return torch.where(kind * 4 % 1 < 0.3, torch.tanh(8 * (ramp - 0.3)), ramp)


def letters(masks: torch.Tensor, count: int, g: torch.Generator) -> torch.Tensor:
    """Fragments of glyphs at many sizes.  masks: float [M][1][64][64]."""
    total = torch.zeros(count, 1, SIDE, SIDE)
    for _ in range(5):
        which = torch.randint(len(masks), (count,), generator=g)
        angle = torch.rand(count, generator=g) * 2 * math.pi
        zoom = torch.exp(torch.rand(count, generator=g) * 2.2 - 0.4)
        theta = torch.empty(count, 2, 3)
        theta[:, 0, 0] = zoom * angle.cos()
        theta[:, 0, 1] = -zoom * angle.sin()
        theta[:, 1, 0] = zoom * angle.sin()
        theta[:, 1, 1] = zoom * angle.cos()
        theta[:, :, 2] = torch.randn(count, 2, generator=g) * zoom[:, None]
        grid = F.affine_grid(theta, [count, 1, SIDE, SIDE], align_corners=False)
        drawn = F.grid_sample(masks[which], grid, align_corners=False)
        total += drawn * torch.randn(count, 1, 1, 1, generator=g)
    return total


def bank(masks: torch.Tensor, seed: int, each: int = 512) -> torch.Tensor:
    """Six kinds of texture, `each` of every kind: float [6 * each][1][96][96]."""
    g = torch.Generator().manual_seed(seed)
    cloud = clouds(each, g)
    kinds = [cloud, waves(each, g), ramps(each, g), letters(masks, each, g),
             waves(each, g) + clouds(each, g), letters(masks, each, g) + clouds(each, g)]
    out = []
    for kind in kinds:
        low = kind.amin((1, 2, 3), keepdim=True)
        high = kind.amax((1, 2, 3), keepdim=True)
        out.append((kind - low) / (high - low).clamp_min(1e-6))
    return torch.cat(out)
