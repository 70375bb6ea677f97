# SPDX-License-Identifier: Apache-2.0
"""Draw the demonstration's line of text: one 48 x 48 crop a character.

The face is one of the test split; the distortion is mild, and the contrast
enough for a reader.  The crops are
00.png, 01.png, ...; line.txt is the string, in class names, without spaces.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import glyphs
import textures
from data import Sampler
from render import Renderer

HERE = Path(__file__).resolve().parent
TEXT = "anotterkeeps16numbers"
FAMILY, STYLE = "Cabin", "Regular"
LEVEL = 0.15
FAINT = 0.3, 0.5


def rows_of(store: glyphs.Store, text: str) -> np.ndarray:
    """Rows of the store that hold the text's glyphs in the chosen face."""
    face = next(n for n, f in enumerate(store.faces)
                if (f["family"], f["style"]) == (FAMILY, STYLE))
    assert store.faces[face]["split"] == "test"
    where = {store.char[row]: row for row in np.flatnonzero(store.face == face)}
    return np.array([where[c] for c in text])


def draw(store: glyphs.Store, conf: dict, seed: int) -> torch.Tensor:
    """The crops: uint8 [characters][3][48][48]."""
    sampler = Sampler(store, "test", conf)
    renderer = Renderer(textures.bank(sampler.some(1024), conf["seed"] + 2000, 256))
    g = torch.Generator().manual_seed(seed)
    masks = torch.from_numpy(store.masks[rows_of(store, TEXT)])
    return renderer(masks, g, LEVEL, faint=FAINT)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--glyphs", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    conf = json.loads((HERE / "train.json").read_text())
    store = glyphs.load(args.glyphs)
    args.out.mkdir(parents=True, exist_ok=True)
    for number, crop in enumerate(draw(store, conf, args.seed)):
        Image.fromarray(crop.permute(1, 2, 0).numpy()).save(
            args.out / f"{number:02d}.png", optimize=True)
    (args.out / "line.txt").write_text(TEXT + "\n")


if __name__ == "__main__":
    main()
