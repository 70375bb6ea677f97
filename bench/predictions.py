#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predictions for the machine at hand beside what is then measured: a table in Markdown. Wants a quiet machine.

    build/release/tools/lutra device measure      # first: the peaks, and the kernels' costs, frozen from here on
    bench/predictions.py [LUTRA] [--arch NAME...]

Nothing of the models that are run went into the prediction.
"""
import argparse
import json
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
ARCHS = [f"deit_{size}_patch16_224" for size in ("tiny", "small", "base")]
# What is run -> options, environment. None of these went into the calibration: that has kernels on one thread.
CONDITIONS = {
    "1 thread": (["--threads", "1"], {}),
    "all threads": ([], {}),
    "1 thread, batch 8": (["--threads", "1", "--batch", "8"], {}),
    "1 thread, LUTRA_ISA=avx2": (["--threads", "1"], {"LUTRA_ISA": "avx2"}),
}
WANTED = 15  # per cent


def profile(lutra, *arguments, environment):
    command = [lutra, "profile", *arguments, "--dense", "--no-energy", "--json", "--quiet"]
    made = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    result = json.loads(made.stdout)
    return {"64 clusters": result["total_ms"], "dense": result["against"]["total_ms"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lutra", nargs="?", default=str(ROOT / "build/release/tools/lutra"))
    parser.add_argument("--arch", nargs="+", default=ARCHS)
    arguments = parser.parse_args()
    print("| model | weights | mode | condition | predicted ms | measured ms | off by |\n|---|---|---|---|---:|---:|---:|")
    off = []
    for arch in arguments.arch:
        for mode in ("f32", "int8"):
            for condition, (options, environment) in CONDITIONS.items():
                common = ["--arch", arch, "--mode", mode, *options]
                predicted = profile(arguments.lutra, *common, "--on", "this", environment=environment)
                measured = profile(arguments.lutra, *common, environment=environment)
                for weights in predicted:
                    off.append(100 * (predicted[weights] / measured[weights] - 1))
                    print(f"| {arch} | {weights} | {mode} | {condition} | {predicted[weights]:.2f} | {measured[weights]:.2f} | {off[-1]:+.0f} % |",
                          flush=True)
    print(f"\n{sum(abs(value) <= WANTED for value in off)} of {len(off)} within {WANTED} %")


if __name__ == "__main__":
    main()
