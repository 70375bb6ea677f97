# SPDX-License-Identifier: Apache-2.0
"""Which glyph comes next: seeded choice of class, then of a face."""
from __future__ import annotations

from collections import Counter

import numpy as np
import torch

import textures
from glyphs import Store
from render import SIDE, Renderer


class Sampler:
    """Draws batches of one split.

    A class is drawn uniformly, then one of its masks with a chance of
    1 / sqrt(masks of that design): a design with 60 faces counts about eight
    times a design with one, not sixty times.
    """

    def __init__(self, store: Store, split: str, conf: dict) -> None:
        self.store, self.seed, self.size = store, conf["seed"], conf["batch"]
        rows = store.rows(split)
        self.groups: list[np.ndarray] = []
        self.chances: list[np.ndarray] = []
        for label in range(len(store.classes)):
            mine = rows[store.label[rows] == label]
            names = [store.faces[f]["design"] for f in store.face[mine]]
            count = Counter(names)
            weight = np.array([count[n] ** -0.5 for n in names])
            self.groups.append(mine)
            self.chances.append(np.cumsum(weight) / max(weight.sum(), 1e-9))
        self.rows = rows

    def some(self, count: int) -> torch.Tensor:
        """A fixed choice of masks for textures: float [count][1][64][64]."""
        rng = np.random.default_rng(self.seed)
        rows = np.sort(rng.choice(self.rows, count))
        return torch.from_numpy(self.store.masks[rows]).float().div(255).unsqueeze(1)

    def pick(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One row of the store for each label."""
        rows = [self.groups[n][min(np.searchsorted(self.chances[n], u),
                                   len(self.groups[n]) - 1)]
                for n, u in zip(labels, rng.random(len(labels)))]
        return np.array(rows)

    def batch(self, step: int, renderer: Renderer, level: float, easy: float,
              faint: tuple[float, float] | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Batch number `step`: pictures uint8 [B][3][48][48], labels [B]."""
        rng = np.random.default_rng((self.seed, step))
        labels = rng.integers(len(self.groups), size=self.size)
        rows = self.pick(labels, rng)
        g = torch.Generator().manual_seed(int(rng.integers(2 ** 62)))
        masks = torch.from_numpy(self.store.masks[rows])
        return renderer(masks, g, level, easy, faint), torch.from_numpy(labels)


def fixed_set(store: Store, split: str, conf: dict, count: int,
              seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A seeded set of `count` pictures of the task's strength, classes in turn.

    Classes that have no glyph in the split are left out.  The textures are
    made from another seed and from glyphs of this split.
    """
    sampler = Sampler(store, split, conf)
    rng = np.random.default_rng((conf["seed"], seed, len(split)))
    bank = textures.bank(sampler.some(1024), conf["seed"] + 1000 + seed, 256)
    renderer = Renderer(bank)
    have = [n for n, group in enumerate(sampler.groups) if len(group)]
    labels = np.array([have[i % len(have)] for i in range(count)])
    g = torch.Generator().manual_seed(int(rng.integers(2 ** 62)))
    pictures = []
    for part in np.split(labels, range(256, count, 256)):
        # Shuffled inside the part: neighbours reach into each other's picture.
        order = rng.permutation(len(part))
        masks = torch.from_numpy(store.masks[sampler.pick(part[order], rng)])
        drawn = torch.empty(len(part), 3, SIDE, SIDE, dtype=torch.uint8)
        drawn[torch.from_numpy(order)] = renderer(masks, g, conf["level"],
                                                 faint=conf["faint"])
        pictures.append(drawn)
    return torch.cat(pictures), torch.from_numpy(labels)
