# SPDX-License-Identifier: Apache-2.0
"""From font packages to data/embedded in one command.

    python training/make_model.py --work DIR [--resume] [--no-install]

Installs the packages of fonts.list (Debian, as root), draws the glyphs,
trains, exports, draws the test pictures and the line, writes the licence notes
and the log.  DIR holds the glyph store and the checkpoints.
"""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

import chars
import fonts

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PER_CLASS = 12


def step(script: str, *words: object) -> None:
    """Run one script of this folder.

    Threads wait asleep: on a busy machine spinning ones slow the training down
    several times.
    """
    print("==", script, *words, flush=True)
    env = dict(os.environ, OMP_WAIT_POLICY="PASSIVE")
    subprocess.run([sys.executable, HERE / script, *map(str, words)], check=True, env=env)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "data" / "embedded")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--no-install", action="store_true")
    args = parser.parse_args()
    store, run = args.work / "glyphs", args.work / "run"
    if not args.no_install:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends",
                        *fonts.packages()], check=True)
    if not (args.resume and (store / "glyphs.json").exists()):
        step("glyphs.py", store)
    step("train.py", "--glyphs", store, "-o", run,
         *(["--resume"] if args.resume and (run / "checkpoint.pt").exists() else []))
    step("export.py", run / "checkpoint.pt", "-o", args.out)
    step("render_test.py", "--glyphs", store, "--count", PER_CLASS * len(chars.classes()),
         "--seed", 0, "-o", args.out / "test")
    step("line.py", "--glyphs", store, "-o", args.out / "line")
    step("fonts_md.py", "--glyphs", store, "-o", args.out / "FONTS.md")
    shutil.copy(run / "log.jsonl", HERE / "log.jsonl")
    step("curve.py", HERE / "log.jsonl", HERE / "curve.svg")
    step("evaluate.py", args.out, args.out / "test")


if __name__ == "__main__":
    main()
