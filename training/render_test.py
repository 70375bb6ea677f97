# SPDX-License-Identifier: Apache-2.0
"""Draw labelled pictures of the held-out test designs as PNG files.

    python training/render_test.py --glyphs DIR --count 40000 --seed 1 -o OUT

The same seed gives the same pictures.  A file is named after its class (the
code point of the class's first character) and its number in that class.
"""
from __future__ import annotations

import argparse
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from PIL import Image

import chars
import glyphs
from data import fixed_set

HERE = Path(__file__).resolve().parent
HEAD = "file\tclass_index\tcode\tname\n"


def write(out: Path, pictures: torch.Tensor, labels: torch.Tensor,
          classes: list[str]) -> None:
    """PNG files and labels.tsv.  pictures: uint8 [B][3][48][48]; labels: [B]."""
    out.mkdir(parents=True, exist_ok=True)
    count: Counter[int] = Counter()
    names = []
    for label in labels.tolist():
        names.append(f"{chars.code(classes[label][0])}_{count[label]:03d}.png")
        count[label] += 1

    def one(number: int) -> None:
        image = Image.fromarray(pictures[number].permute(1, 2, 0).numpy())
        image.save(out / names[number], optimize=False, compress_level=9)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(len(names))))
    rows = sorted((name, label) for name, label in zip(names, labels.tolist()))
    text = HEAD + "".join(f"{name}\t{label}\t{chars.code(classes[label][0])}"
                          f"\t{classes[label][0]}\n" for name, label in rows)
    (out / "labels.tsv").write_text(text, encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--glyphs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=40000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--split", default="test", choices=("val", "test"))
    parser.add_argument("--level", type=float,
                        help="strength of the distortions, 0 to 1 (train.json's)")
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(2)
    conf = json.loads((HERE / "train.json").read_text())
    if args.level is not None:
        conf["level"] = args.level
    store = glyphs.load(args.glyphs)
    pictures, labels = fixed_set(store, args.split, conf, args.count, args.seed)
    write(args.out, pictures, labels, store.classes)
    print(f"{len(labels)} pictures in {args.out}")


if __name__ == "__main__":
    main()
