# SPDX-License-Identifier: Apache-2.0
"""Time Lutra beside the other engines on the same weights, taking turns in one run.

    bench/peers/run --arch deit_tiny_patch16_224 deit_small_patch16_224 --threads 1 2 -o peers

Each engine lives in a process of its own, pinned to the same CPUs, so that none's threads run while another is
timed; they take turns, a few pictures each, so that a clock that drifts meets all alike.  Without --weights the
weights are random (`lutra random`), the same for all.  Writes OUT.json, OUT.md and OUT.svg.

With --weights and --photos (a folder), also: how far each engine's answers lie from
PyTorch's in f32 on those photos, as KL divergence in nats and agreement.  Every fifth photo is not judged on but
calibrates: Lutra's clusters and static quantisation.

In two steps, where only the timed one needs a quiet machine: --prepare makes all files, and with --photos judges
without timing; --accuracy takes such judgements from the JSON that it wrote.  --join makes one report of several.
"""
from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import models
import photos
import report
from engines import ENGINES

HERE = Path(__file__).resolve().parent
REFERENCE = "PyTorch f32"
LONGEST_REST = 2.0  # seconds


@dataclass
class Row:
    """What is known of one engine: its worker, its times in ms (a list a turn), its answers."""

    name: str
    process: subprocess.Popen | None = None
    turns: list[list[float]] = field(default_factory=list)
    logits: np.ndarray | None = None
    photo_logits: np.ndarray | None = None
    failure: str | None = None

    def ask(self, question: str) -> list[float] | None:
        """The answer; None, and the failure noted, where the worker died."""
        if self.failure:
            return None
        try:
            self.process.stdin.write(question + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            self.failure = self.failure or f"the engine's process ended with {self.process.wait()}"
            return None

    def processor_seconds(self) -> float:
        """Of all its threads so far; Linux."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rest(self) -> None:
        """Wait until its threads sleep: some engines' spin for a while after a run, and would take a processor
        from the next one's."""
        end = time.monotonic() + LONGEST_REST
        before = None
        while not self.failure and time.monotonic() < end:
            now = self.processor_seconds()
            if now == before:
                break
            before = now
            time.sleep(0.1)

    def close(self) -> None:
        if self.process:
            self.process.stdin.close()
            self.process.wait()


def start(name: str, model: models.Model, cpus: list[int], log: Path) -> Row:
    """Prepare the engine's files and open its worker; what goes wrong is part of the row."""
    try:
        ENGINES[name].prepare(model)
    except Exception as error:  # any engine may fail in ways of its own
        return Row(name, failure=f"{type(error).__name__}: {error}".splitlines()[0][:200])
    parts = {"arch": model.arch, "folder": str(model.folder), "dense": str(model.dense),
             "calibration": model.calibration and str(model.calibration)}
    command = [sys.executable, HERE / "worker.py", name, "--model", json.dumps(parts),
               "--cpus", ",".join(map(str, cpus))]
    env = dict(os.environ, OMP_NUM_THREADS=str(len(cpus)))
    return Row(name, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env,
                                      stderr=log.open("a")))


def measure(rows: list[Row], turns: int, runs: int) -> None:
    """Warm up, then take turns."""
    for row in rows:
        row.ask("run 5")
        row.rest()
    for turn in range(turns):
        print(f"\r  turn {turn + 1} of {turns}", end="", file=sys.stderr, flush=True)
        for row in rows:
            row.ask("run 1")  # the others have taken its place in the caches
            times = row.ask(f"run {runs}")
            if times:
                row.turns.append(times)
            row.rest()
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)


def answers(rows: list[Row], pixels: np.ndarray, folder: str) -> list[np.ndarray | None]:
    """Logits [N][classes] of every engine."""
    given = os.path.join(folder, "in.npy")
    np.save(given, pixels)
    found = []
    for number, row in enumerate(rows):
        made = os.path.join(folder, f"{number}.npy")
        row.ask(f"logits {given} {made}")
        found.append(np.load(made) if os.path.exists(made) else None)
    return found


def judge(model: models.Model, names: list[str], cpus: list[int], photos_judged: np.ndarray) -> dict:
    """The table of an architecture without times: each engine's answers on photos."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:  # one after the other: a process of each would not fit a small memory
            row = start(name, model, cpus, model.folder / "engines.log")
            row.photo_logits = answers([row], photos_judged, folder)[0]
            row.close()
            for left in Path(folder).glob("*.npy"):
                left.unlink()
            rows.append(row)
    return report.table(model.arch, len(cpus), rows, REFERENCE, None)


def prepare(model: models.Model, names: list[str]) -> None:
    """All engines' files; what fails is told, and again in the report."""
    for name in names:
        try:
            ENGINES[name].prepare(model)
        except Exception as error:  # any engine may fail in ways of its own
            print(f"{model.arch}, {name}: {type(error).__name__}: {error}".splitlines()[0][:200], file=sys.stderr)


def compare(model: models.Model, names: list[str], cpus: list[int], args: argparse.Namespace,
            judged: np.ndarray | None, accuracy: dict) -> dict:
    """One table: an architecture on these CPUs."""
    log = model.folder / "engines.log"
    rows = [start(name, model, cpus, log) for name in names]
    with tempfile.TemporaryDirectory() as folder:
        for row, logits in zip(rows, answers(rows, models.random_pixels(2), folder)):
            row.logits = logits
        if judged is not None:
            for row, logits in zip(rows, answers(rows, judged, folder)):
                row.photo_logits = logits
    measure(rows, args.turns, args.runs)
    for row in rows:
        row.close()
    return report.table(model.arch, len(cpus), rows, REFERENCE, accuracy)


def versions(names: list[str]) -> dict[str, str]:
    """Package -> version of the engines that were asked for."""
    packages = {ENGINES[name].package for name in names} - {None}
    return {package: importlib.metadata.version(package) for package in sorted(packages)}


def parse() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(prog="bench/peers/run", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE.parents[1] / "build" / "release",
                        help="the build directory (%(default)s)")
    parser.add_argument("--arch", nargs="+", default=["deit_tiny_patch16_224"], help="timm's names")
    parser.add_argument("--weights", type=Path, help="safetensors of the one --arch instead of random weights")
    parser.add_argument("--photos", type=Path, help="folder of photos to judge the answers on")
    parser.add_argument("--clusters", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--runs", type=int, default=5, help="pictures per engine and turn (%(default)s)")
    parser.add_argument("--engine", nargs="+", metavar="NAME", choices=ENGINES, default=list(ENGINES),
                        help="of: " + ", ".join(ENGINES))
    parser.add_argument("--prepare", action="store_true", help="make the files and, with --photos, judge; time nothing")
    parser.add_argument("--accuracy", type=Path, help="JSON of --prepare with --photos: what to say of each engine's answers")
    parser.add_argument("--join", type=Path, nargs="+", metavar="JSON", help="report what these reports say, and do nothing else")
    parser.add_argument("-o", "--out", type=Path, default=Path("peers"))
    args = parser.parse_args()
    if args.weights and len(args.arch) != 1:
        parser.error("--weights belong to one --arch")
    if args.photos and not args.weights:
        parser.error("--photos judge real weights: give --weights")
    return args


def main() -> None:
    """Compare every architecture with every number of threads."""
    args = parse()
    if args.join:
        report.join(args.out, args.join)
        return
    os.environ["LUTRA_LIBRARY"] = str((args.build / "liblutra.so").resolve())
    cpus = sorted(os.sched_getaffinity(0))
    tables = []
    accuracy = report.accuracy_of(json.loads(args.accuracy.read_text())) if args.accuracy else {}
    for arch in args.arch:
        folder = HERE.parents[1] / "build" / "peers" / "models" / f"{'real' if args.weights else 'random'}-{arch}"
        folder.mkdir(parents=True, exist_ok=True)
        judged, calibration = photos.split(args.photos, arch, folder) if args.photos else (None, None)
        model = models.make(arch, folder, args.build / "tools" / "lutra", args.clusters, args.weights, calibration)
        if args.prepare:
            print(f"{arch}: preparing", file=sys.stderr)
            prepare(model, args.engine)
            if judged is not None:
                tables.append(judge(model, args.engine, cpus, judged))
            continue
        for threads in args.threads:
            print(f"{arch}, {threads} thread{'s' if threads > 1 else ''}", file=sys.stderr)
            tables.append(compare(model, args.engine, cpus[:threads], args, judged, accuracy))
    if not tables:
        return
    report.write(args.out, {"machine": report.machine(), "versions": versions(args.engine), "clusters": args.clusters,
                            "turns": args.turns, "runs": args.runs,
                            "weights": "real" if args.weights else "random", "tables": tables})


if __name__ == "__main__":
    main()
