# SPDX-License-Identifier: Apache-2.0
"""Batches of glyph masks to batches of 48 x 48 RGB pictures.

Everything is drawn from one torch.Generator, so a seed fixes the pictures.
`level` scales every distortion: train.json has the task's, less is easier.  `easy` is the
share of pictures whose ink is light on dark paper: a network that starts on
ink of either sign stays at chance for thousands of steps.
"""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F

SIDE = 48
LUMA = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)


class Renderer:
    """Draws with one bank of textures (float [K][1][96][96])."""

    def __init__(self, bank: torch.Tensor) -> None:
        self.bank = bank

    def __call__(self, masks: torch.Tensor, g: torch.Generator,
                 level: float = 1.0, easy: float = 0.0,
                 faint: tuple[float, float] | None = None) -> torch.Tensor:
        """masks: uint8 [B][64][64] -> pictures: uint8 [B][3][48][48].

        faint: from which to which share of the contrast is left; all without it.
        """
        ink = masks.float().div(255).unsqueeze(1)
        ink = stroke(ink, g, level)
        neighbours = ink.roll(1, 0)
        ink = F.grid_sample(ink, warp(len(ink), g, level), align_corners=False)
        ink = torch.maximum(ink, beside(neighbours, g, level))
        paper, colour = self.colours(len(ink), g, level, easy)
        alpha = ink * uniform(len(ink), g, 1 - 0.25 * level, 1)
        image = paper + alpha * (colour - paper)
        image = self.cover(image, g, level)
        image = fewer_pixels(image, g, level)
        image = smear(image, g, level)
        image = tone(image, g, level)
        if faint:
            image = faded(image, g, faint)
        return image.mul(255).round().to(torch.uint8)

    def texture(self, count: int, g: torch.Generator) -> torch.Tensor:
        """Random crops of the bank, some turned: [count][1][48][48]."""
        which = torch.randint(len(self.bank), (count,), generator=g)
        theta = torch.zeros(count, 2, 3)
        turn = (torch.rand(count, generator=g) < 0.5).float() * 2 - 1
        zoom = 0.3 + 0.35 * torch.rand(count, generator=g)
        theta[:, 0, 0] = zoom * turn
        theta[:, 1, 1] = zoom
        theta[:, :, 2] = (torch.rand(count, 2, generator=g) * 2 - 1) * (1 - zoom[:, None])
        grid = F.affine_grid(theta, [count, 1, SIDE, SIDE], align_corners=False)
        return F.grid_sample(self.bank[which], grid, align_corners=False)

    def colours(self, count: int, g: torch.Generator, level: float,
                easy: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Paper and ink, each [count][3][48][48], apart in mean luminance."""
        base = torch.rand(count, 3, 1, 1, generator=g)
        other = torch.randn(count, 3, 1, 1, generator=g)
        depth = uniform(count, g, 0, 0.30 * level) + 0.02
        plain = torch.rand(count, 1, 1, 1, generator=g) < easy
        base = torch.where(plain, 0.25 * base, base)
        paper = base + other * depth * (self.texture(count, g) - 0.5) * 2
        colour = torch.rand(count, 3, 1, 1, generator=g)
        apart = uniform(count, g, 0.55 - 0.33 * level, 0.85)
        have = (base * LUMA).sum(1, keepdim=True)
        sign = torch.where(have + apart > 1, -1.0, 1.0)
        sign = torch.where((have > apart) & (torch.rand(count, 1, 1, 1, generator=g)
                                             < 0.5), -1.0, sign)
        shift = have + sign * apart - (colour * LUMA).sum(1, keepdim=True)
        colour = torch.where(plain, 1 - 0.25 * colour, colour + shift)
        depth = uniform(count, g, 0, 0.12 * level)
        return paper, colour + depth * (self.texture(count, g) - 0.5) * 2

    def cover(self, image: torch.Tensor, g: torch.Generator,
              level: float) -> torch.Tensor:
        """Hide a part behind bars and blots: thin long or short thick boxes."""
        count = len(image)
        axis = torch.linspace(-1, 1, SIDE)
        y, x = axis.view(1, 1, SIDE, 1), axis.view(1, 1, 1, SIDE)
        for chance in (0.45, 0.25):
            angle = uniform(count, g, 0, math.pi)
            cx, cy = uniform(count, g, -0.7, 0.7), uniform(count, g, -0.7, 0.7)
            u = torch.cos(angle) * (x - cx) + torch.sin(angle) * (y - cy)
            v = -torch.sin(angle) * (x - cx) + torch.cos(angle) * (y - cy)
            long = uniform(count, g, 0.15, 1.3)
            thick = uniform(count, g, 0.03, 0.10) / long.clamp(0.35, 1)
            inside = torch.sigmoid((long - u.abs()) * 30) * torch.sigmoid(
                (thick - v.abs()) * 30)
            used = (torch.rand(count, 1, 1, 1, generator=g) < chance * level).float()
            fill = torch.rand(count, 3, 1, 1, generator=g)
            image = image + inside * used * (fill - image)
        return image


def uniform(count: int, g: torch.Generator, low: float, high: float) -> torch.Tensor:
    """Uniform numbers [count][1][1][1]."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=g)


def stroke(ink: torch.Tensor, g: torch.Generator, level: float) -> torch.Tensor:
    """Thicker, thinner, outlined or left alone: [B][1][64][64]."""
    kind = torch.rand(len(ink), 1, 1, 1, generator=g) / max(level, 1e-3)
    thick = F.max_pool2d(ink, 3, 1, 1)
    thin = -F.max_pool2d(-ink, 3, 1, 1)
    ink = torch.where(kind < 0.08, (thick - thin).clamp(0, 1),
                      torch.where(kind < 0.22, thick, ink))
    # Thin only where enough stays.
    stays = thin.sum((2, 3), keepdim=True) > 0.6 * ink.sum((2, 3), keepdim=True)
    return torch.where((kind >= 0.22) & (kind < 0.34) & stays, thin, ink)


def warp(count: int, g: torch.Generator, level: float) -> torch.Tensor:
    """Sampling grid of a random perspective map: [count][48][48][2]."""
    def pick(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=g)

    angle = (torch.randn(count, generator=g) * 0.16 * level).clamp(-0.45, 0.45)
    shear = (torch.randn(count, generator=g) * 0.15 * level).clamp(-0.4, 0.4)
    zoom = torch.exp(pick(math.log(1.08), math.log(1.15 + 0.85 * level)))
    aspect = torch.exp(torch.randn(count, generator=g) * 0.12 * level)
    room = (1 - 0.85 / zoom).clamp_min(0) * level
    matrix = torch.zeros(count, 3, 3)
    matrix[:, 0, 0] = zoom * aspect * angle.cos()
    matrix[:, 0, 1] = zoom * (shear - angle.sin())
    matrix[:, 1, 0] = zoom * angle.sin()
    matrix[:, 1, 1] = zoom / aspect * angle.cos()
    matrix[:, 0, 2] = pick(-1, 1) * room * zoom
    matrix[:, 1, 2] = pick(-1, 1) * room * zoom
    matrix[:, 2, 0] = torch.randn(count, generator=g).clamp(-2, 2) * 0.12 * level
    matrix[:, 2, 1] = torch.randn(count, generator=g).clamp(-2, 2) * 0.12 * level
    matrix[:, 2, 2] = 1
    axis = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1).view(1, -1, 3)
    mapped = points @ matrix.transpose(1, 2)
    return (mapped[..., :2] / mapped[..., 2:].clamp_min(0.2)).view(count, SIDE, SIDE, 2)


def beside(ink: torch.Tensor, g: torch.Generator, level: float) -> torch.Tensor:
    """The edge of another glyph that reaches into the picture from a side."""
    count = len(ink)
    used = torch.rand(count, 1, 1, 1, generator=g) < 0.35 * level
    side = (torch.rand(count, generator=g) < 0.5).float() * 2 - 1
    theta = torch.zeros(count, 2, 3)
    zoom = 1.1 + 0.7 * torch.rand(count, generator=g)
    theta[:, 0, 0] = zoom
    theta[:, 1, 1] = zoom
    theta[:, 0, 2] = side * (1.15 + 0.5 * torch.rand(count, generator=g)) * zoom
    theta[:, 1, 2] = torch.randn(count, generator=g) * 0.15
    grid = F.affine_grid(theta, [count, 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(ink, grid, align_corners=False) * used


def fewer_pixels(image: torch.Tensor, g: torch.Generator, level: float) -> torch.Tensor:
    """Each sixteenth of the batch goes through a smaller picture of its own size."""
    parts = []
    for part in image.chunk(16):
        low, high = SIDE * (1 - 0.72 * level), SIDE * 1.25
        side = int(round(math.exp(math.log(low) + (math.log(high) - math.log(low))
                                  * torch.rand(1, generator=g).item())))
        if side < SIDE:
            part = F.interpolate(part, (side, side), mode="bilinear", antialias=True)
            part = F.interpolate(part, (SIDE, SIDE), mode="bilinear")
        parts.append(part)
    return torch.cat(parts)


def smear(image: torch.Tensor, g: torch.Generator, level: float) -> torch.Tensor:
    """Blur along and across a random direction: one 7 x 7 kernel a picture."""
    count = len(image)
    angle = uniform(count, g, 0, math.pi)
    wide = 0.25 + uniform(count, g, 0, 1) ** 2 * 1.4 * level
    narrow = 0.25 + (wide - 0.25) * uniform(count, g, 0, 1)
    axis = torch.arange(-3.0, 4.0)
    y, x = axis.view(1, 1, 7, 1), axis.view(1, 1, 1, 7)
    u = torch.cos(angle) * x + torch.sin(angle) * y
    v = -torch.sin(angle) * x + torch.cos(angle) * y
    kernel = torch.exp(-0.5 * ((u / wide) ** 2 + (v / narrow) ** 2))
    kernel = kernel / kernel.sum((2, 3), keepdim=True)
    flat = F.pad(image, (3, 3, 3, 3), mode="replicate").view(1, count * 3, SIDE + 6, SIDE + 6)
    blurred = F.conv2d(flat, kernel.repeat_interleave(3, 0), groups=count * 3)
    return blurred.view_as(image)


def tone(image: torch.Tensor, g: torch.Generator, level: float) -> torch.Tensor:
    """Contrast, brightness and noise: float [B][3][48][48] in 0..1."""
    count = len(image)
    middle = image.mean((1, 2, 3), keepdim=True)
    gain = uniform(count, g, 1 - 0.5 * level, 1 + 0.25 * level)
    image = middle + gain * (image - middle) + uniform(count, g, -0.1, 0.1) * level
    noise = uniform(count, g, 0, 1) ** 2 * 0.11 * level
    grain = torch.randn(image.shape, generator=g)
    grey = torch.rand(count, 1, 1, 1, generator=g) < 0.3
    grain = torch.where(grey, grain[:, :1], grain)
    return (image + noise * grain).clamp(0, 1)


def faded(image: torch.Tensor, g: torch.Generator,
          faint: tuple[float, float]) -> torch.Tensor:
    """Paper and ink nearly of one colour: the picture's mean colour stays.

    That colour is then many times as strong as what is written on it, and so
    is what an error of the weights makes of it.
    """
    left = torch.exp(uniform(len(image), g, math.log(faint[0]), math.log(faint[1])))
    middle = image.mean((2, 3), keepdim=True)
    return middle + left * (image - middle)
