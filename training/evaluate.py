# SPDX-License-Identifier: Apache-2.0
"""Top-1 of the exported model on a folder of pictures: by script, and confusions."""
from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path

import torch

import chars
import load_model


def report(names: list[str], guess: torch.Tensor, want: torch.Tensor) -> str:
    """A Markdown table by script and a list of the twenty worst confusions."""
    right: dict[str, list[bool]] = defaultdict(list)
    wrong: Counter[tuple[str, str]] = Counter()
    for g, w in zip(guess.tolist(), want.tolist()):
        right[chars.script_of(names[w])].append(g == w)
        if g != w:
            wrong[names[w], names[g]] += 1
    rows = ["| script | classes | pictures | top-1 % |", "|---|---:|---:|---:|"]
    for script, hits in right.items():
        classes = sum(chars.script_of(n) == script for n in names)
        rows.append(f"| {script} | {classes} | {len(hits)} | "
                    f"{100 * sum(hits) / len(hits):.2f} |")
    total = [hit for hits in right.values() for hit in hits]
    rows.append(f"| all | {len(names)} | {len(total)} | "
                f"{100 * sum(total) / len(total):.2f} |")
    pairs = [f"{a} read as {b}: {n}" for (a, b), n in wrong.most_common(20)]
    return "\n".join(rows) + "\n\n" + "; ".join(pairs)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of model.safetensors")
    parser.add_argument("pictures", type=Path, help="folder of labels.tsv")
    args = parser.parse_args()
    torch.set_num_threads(2)
    model, config = load_model.load(args.model)
    files, want = load_model.labels(args.pictures)
    hits = []
    for start in range(0, len(files), 1024):
        part = load_model.pictures(args.pictures, files[start:start + 1024])
        hits.append(load_model.logits(model, part).argmax(1))
    print(report(config["label_names"], torch.cat(hits), want))


if __name__ == "__main__":
    main()
