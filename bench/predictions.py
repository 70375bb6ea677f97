#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predictions for the machine at hand beside what is then measured: a table in Markdown. Wants a quiet machine.

    build/release/tools/lutra device measure      # first: the peaks, and the kernels' costs, frozen from here on
    bench/predictions.py [LUTRA] [--arch NAME...]

Nothing of the models that are run went into the prediction. For the condition "contended", another program copies memory on
the last CPU without end; what is left of the bandwidths is measured beside it, and stands in the description then.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUNS = {"deit_tiny_patch16_224": 40, "deit_small_patch16_224": 20, "deit_base_patch16_224": 10}
# What is run -> options, environment. None of these went into the calibration: that has kernels on one thread.
CONDITIONS = {
    "1 thread": (["--threads", "1"], {}),
    "all threads": ([], {}),
    "1 thread, batch 8": (["--threads", "1", "--batch", "8"], {}),
    "1 thread, LUTRA_ISA=avx2": (["--threads", "1"], {"LUTRA_ISA": "avx2"}),
}
CONTENDED = ["--threads", "1", "--cpus", "0"]
COPY = "a, b = bytearray(1 << 28), memoryview(bytearray(1 << 28))\nwhile True: b[:] = a"
WANTED = 15  # per cent


@contextlib.contextmanager
def contention():
    """Another program that copies 256 MiB again and again on the last CPU."""
    with subprocess.Popen([sys.executable, "-c", COPY]) as other:
        os.sched_setaffinity(other.pid, {max(os.sched_getaffinity(0))})
        try:
            yield
        finally:
            other.kill()


def contended_device(lutra, folder):
    """The frozen description of this machine with the bandwidths that the other program leaves: a file."""
    environment = {**os.environ, "XDG_CACHE_HOME": folder}
    with contention():
        subprocess.run(["taskset", "--cpu-list", "0", lutra, "device", "measure", "--quiet"], check=True,
                       stdout=subprocess.DEVNULL, env=environment)
    shown = subprocess.run([lutra, "device", "show", "--json"], check=True, capture_output=True, text=True).stdout
    device = json.loads(shown)
    left = json.loads((pathlib.Path(folder) / "lutra" / "device.json").read_text())
    device["dram_gb_per_s"] = left["dram_gb_per_s"]
    device["caches"] = left["caches"]
    path = pathlib.Path(folder) / "contended.json"
    path.write_text(json.dumps(device))
    return str(path)


def clustered(lutra, arch, folder):
    """A file of random weights in 64 clusters: time does not depend on what the weights say."""
    dense, path = f"{folder}/dense.safetensors", f"{folder}/{arch}.safetensors"
    subprocess.run([lutra, "random", "--quiet", "--arch", arch, "-o", dense], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([lutra, "cluster", "--quiet", dense, "--arch", arch, "-o", path], check=True, stdout=subprocess.DEVNULL)
    os.unlink(dense)
    return path


def profile(lutra, *arguments, environment):
    command = [lutra, "profile", *arguments, "--dense", "--no-energy", "--json", "--quiet"]
    made = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    result = json.loads(made.stdout)
    return {"64 clusters": result["total_ms"], "dense": result["against"]["total_ms"]}


def both(lutra, arguments, device, environment=None):
    """(predicted, measured) milliseconds by what the weights are."""
    environment = environment or {}
    return (profile(lutra, *arguments, "--on", device, environment=environment),
            profile(lutra, *arguments, environment=environment))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lutra", nargs="?", default=str(ROOT / "build/release/tools/lutra"))
    parser.add_argument("--arch", nargs="+", default=list(RUNS), choices=list(RUNS))
    options = parser.parse_args()
    print("| model | weights | mode | condition | predicted ms | measured ms | off by |\n|---|---|---|---|---:|---:|---:|")
    off = []

    def add_rows(arch, mode, condition, predicted, measured):
        for weights in predicted:
            off.append(100 * (predicted[weights] / measured[weights] - 1))
            print(f"| {arch} | {weights} | {mode} | {condition} | {predicted[weights]:.2f} | {measured[weights]:.2f} | {off[-1]:+.0f} % |",
                  flush=True)

    with tempfile.TemporaryDirectory() as folder:
        busy = contended_device(options.lutra, folder)
        for arch in options.arch:
            path = clustered(options.lutra, arch, folder)
            for mode in ("f32", "int8"):
                common = [path, "--mode", mode, "--repeat", str(RUNS[arch])]
                for condition, (more, environment) in CONDITIONS.items():
                    add_rows(arch, mode, condition, *both(options.lutra, [*common, *more], "this", environment))
                with contention():
                    add_rows(arch, mode, "1 thread, contended", *both(options.lutra, [*common, *CONTENDED], busy))
    print(f"\n{sum(abs(value) <= WANTED for value in off)} of {len(off)} within {WANTED} %")


if __name__ == "__main__":
    main()
