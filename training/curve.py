# SPDX-License-Identifier: Apache-2.0
"""Draw log.jsonl as curve.svg: the loss and the top-1 on the validation designs."""
from __future__ import annotations

import json
import sys
from pathlib import Path

WIDE, HIGH, LEFT, TOP = 720, 300, 50, 30


def line(points: list[tuple[float, float]], last: int, top: float, colour: str) -> str:
    """One polyline; x runs to `last`, y from 0 to `top`."""
    text = " ".join(f"{LEFT + WIDE * x / last:.1f},{TOP + HIGH * (1 - y / top):.1f}"
                    for x, y in points)
    return (f'<polyline points="{text}" fill="none" stroke="{colour}" '
            'stroke-width="1.5"/>')


def label(x: float, y: float, text: str, anchor: str, colour: str = "#555") -> str:
    """A piece of text."""
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'fill="{colour}">{text}</text>')


def main(log: Path, out: Path) -> None:
    """Read the log, write the picture."""
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    last = rows[-1]["step"]
    loss = [(r["step"], r["loss"]) for r in rows]
    top1 = [(r["step"], r["val_top1"]) for r in rows if "val_top1" in r]
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDE + 2 * LEFT}" '
             f'height="{HIGH + TOP + 40}" font-family="sans-serif" font-size="12">',
             '<rect width="100%" height="100%" fill="#fff"/>']
    for part in range(6):
        y = TOP + HIGH * (1 - part / 5)
        parts.append(f'<path d="M{LEFT} {y}h{WIDE}" stroke="#ddd"/>')
        parts.append(label(LEFT - 6, y + 4, str(part), "end", "#b35900"))
        parts.append(label(LEFT + WIDE + 6, y + 4, str(20 * part), "start", "#0b5394"))
    for step in range(0, last + 1, 1000):
        parts.append(label(LEFT + WIDE * step / last, TOP + HIGH + 18, str(step), "middle"))
    parts += [line(loss, last, 5, "#b35900"), line(top1, last, 100, "#0b5394"),
              label(LEFT, 18, "training loss", "start", "#b35900"),
              label(LEFT + WIDE, 18, "validation top-1, %", "end", "#0b5394"),
              label(LEFT + WIDE / 2, TOP + HIGH + 34, "step", "middle"), "</svg>"]
    out.write_text("\n".join(parts) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
