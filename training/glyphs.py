# SPDX-License-Identifier: Apache-2.0
"""Draw every character of every face once, as a small mask.

The store is a folder: masks.npy (uint8 [M][64][64]), and glyphs.json with the
faces, the classes, and for each mask its face, character, class and split.
"""
from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import chars
import fonts

SIZE = 64   # side of a mask
INNER = 60  # longer side of the glyph inside it
DRAW = 120  # font size the glyph is first drawn at


def mask_of(font: ImageFont.FreeTypeFont, char: str) -> np.ndarray | None:
    """The glyph scaled to INNER pixels and centred: uint8 [64][64]."""
    box = [int(side) for side in font.getbbox(char)]
    wide, high = box[2] - box[0], box[3] - box[1]
    if wide < 3 or high < 3 or max(wide, high) > 6 * DRAW:
        return None
    image = Image.new("L", (wide + 8, high + 8), 0)
    ImageDraw.Draw(image).text((4 - box[0], 4 - box[1]), char, 255, font=font)
    ink = image.getbbox()
    if ink is None:
        return None
    image = image.crop(ink)
    scale = INNER / max(image.size)
    if min(image.size) * scale < 2:
        return None
    size = tuple(max(1, round(side * scale)) for side in image.size)
    image = image.resize(size, Image.Resampling.BOX if scale < 1
                         else Image.Resampling.BICUBIC)
    mask = Image.new("L", (SIZE, SIZE), 0)
    mask.paste(image, ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    return np.asarray(mask)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two masks: intersection over union of their grey values."""
    return float(np.minimum(a, b).sum(dtype=np.int64)
                 / max(1, np.maximum(a, b).sum(dtype=np.int64)))


def masks_of_face(face: fonts.Face) -> dict[str, np.ndarray]:
    """char -> mask, without the characters this face does not really have.

    A mask that three or more characters share byte for byte is the face's
    "missing" box and goes.  Faces that draw capitals at the code points of
    small letters (four of the eight unlike pairs overlap by 0.8) lose those.
    """
    font = ImageFont.truetype(face.path, DRAW, index=face.index,
                              layout_engine=ImageFont.Layout.BASIC)
    masks = {}
    for char in chars.CHARS:
        if ord(char) in face.chars:
            try:
                mask = mask_of(font, char)
            except OSError:  # a glyph program the rasteriser refuses
                mask = None
            if mask is not None:
                masks[char] = mask
    same = defaultdict(list)
    for char, mask in masks.items():
        same[mask.tobytes()].append(char)
    for group in same.values():
        if len(group) > 2:
            for char in group:
                del masks[char]
    pairs = [(c.upper(), c) for c in "abdeghnqrt"]
    like = sum(iou(masks[u], masks[l]) > 0.8 for u, l in pairs
               if u in masks and l in masks)
    if like >= 4:
        for char in chars.LATIN[26:] + "αβγδεζηθλμνξπρσφψωдф":
            masks.pop(char, None)
    return masks


@dataclass
class Store:
    """What build() wrote: see the top of this file."""

    masks: np.ndarray          # uint8 [M][64][64]
    faces: list[dict]
    classes: list[str]         # each the characters that were merged
    face: np.ndarray           # int [M]
    label: np.ndarray          # int [M]
    char: list[str]            # [M]

    def rows(self, split: str) -> np.ndarray:
        """Indices of the masks of one split."""
        good = np.array([f["split"] == split for f in self.faces])
        return np.flatnonzero(good[self.face])


def build(folder: Path) -> None:
    """Draw everything and write the store."""
    faces = fonts.chosen_faces()
    split = fonts.split_of(faces)
    found = [masks_of_face(face) for face in faces]
    classes = chars.classes()
    label_of = {c: n for n, group in enumerate(classes) for c in group}
    masks, face_no, label, char = [], [], [], []
    for number, drawn in enumerate(found):
        for c in sorted(drawn, key=chars.CHARS.index):
            masks.append(drawn[c])
            face_no.append(number)
            label.append(label_of[c])
            char.append(c)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "masks.npy", np.stack(masks))
    rows = [{"package": f.package, "file": Path(f.path).name, "index": f.index,
             "family": f.family, "style": f.style, "design": f.design,
             "split": split[f.design]} for f in faces]
    store = {"faces": rows, "classes": classes, "face": face_no,
             "label": label, "char": "".join(char)}
    (folder / "glyphs.json").write_text(json.dumps(store, ensure_ascii=False))
    print(f"{len(masks)} masks, {len(faces)} faces, {len(classes)} classes")


def load(folder: Path) -> Store:
    """Read the store that build() wrote."""
    data = json.loads((folder / "glyphs.json").read_text())
    return Store(np.load(folder / "masks.npy", mmap_mode="r"), data["faces"],
                 data["classes"], np.array(data["face"]), np.array(data["label"]),
                 list(data["char"]))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
