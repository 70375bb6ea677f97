# SPDX-License-Identifier: Apache-2.0
"""One engine in a process of its own, pinned, that answers on standard output.

Each line of standard input is a question: `run N` -> the milliseconds of N runs on one picture as a JSON list;
`logits IN OUT` -> logits [N][classes] of the pictures in IN, both .npy, and "null".
"""
from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from engines import ENGINES
from models import Model, random_pixels


def timed(engine, x: object, count: int) -> list[float]:
    """Milliseconds of each of `count` runs."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        engine.run(x)
        times.append((time.perf_counter() - start) * 1e3)
    return times


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("--model", required=True, help="JSON of arch, folder, dense, calibration")
    parser.add_argument("--cpus", required=True, help="as in 0,1: one thread on each")
    args = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the engines print goes to standard error
    cpus = [int(cpu) for cpu in args.cpus.split(",")]
    os.sched_setaffinity(0, cpus)
    parts = json.loads(args.model)
    calibration = parts["calibration"] and Path(parts["calibration"])
    model = Model(parts["arch"], Path(parts["folder"]), Path(parts["dense"]), calibration)
    engine = ENGINES[args.engine].open(model, len(cpus))
    x = engine.input(random_pixels(1)[0])
    for line in sys.stdin:
        words = line.split()
        if words[0] == "run":
            answers.write(json.dumps(timed(engine, x, int(words[1]))) + "\n")
        else:
            rows = [np.array(engine.run(engine.input(row))) for row in np.load(words[1])]
            np.save(words[2], np.stack(rows))
            answers.write("null\n")


if __name__ == "__main__":
    main()
