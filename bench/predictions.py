#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predictions for the machine at hand beside what is then measured: a table in Markdown. Wants a quiet machine.

    build/release/tools/lutra device measure      # first: the peaks, and the kernels' costs, frozen from here on
    bench/predictions.py [LUTRA] [--arch NAME...]

Nothing of the models that are run went into the prediction. LUTRA_ISA=avx2 makes another device of the machine, which is measured
first. Neighbours on the same processor take their share of it: "peak
meanwhile" is what was left of the peak of `lutra device measure` while the model ran. For the condition "contended", another program copies memory on
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

import random_model

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUNS = {"deit_tiny_patch16_224": 30, "deit_small_patch16_224": 15, "deit_base_patch16_224": 7}
BATCH_RUNS = 3
AVX2 = {"LUTRA_ISA": "avx2"}
# What is run -> options, environment. None of these went into the calibration: that has kernels on one thread.
CONDITIONS = {
    "1 thread": (["--threads", "1"], {}),
    "all threads": ([], {}),
    "1 thread, batch 8": (["--threads", "1", "--batch", "8"], {}),
    "1 thread, LUTRA_ISA=avx2": (["--threads", "1"], AVX2),
}
CONTENDED = ["--threads", "1", "--cpus", "0"]
COPY = "a, b = bytearray(1 << 28), memoryview(bytearray(1 << 28))\nwhile True: b[:] = a"
WANTED = 15  # per cent


def this_device():
    """The file that `lutra device measure` wrote."""
    cache = os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")
    return pathlib.Path(cache) / "lutra" / "device.json"


def measured_device(lutra, folder, environment, prefix=()):
    """What it writes now, into `folder`."""
    subprocess.run([*prefix, lutra, "device", "measure", "--quiet"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **environment, "XDG_CACHE_HOME": str(folder)})
    return folder / "lutra" / "device.json"


def peak(path, mode, threads):
    """1e9 multiply-adds a second of so many of the described device's cores, whose clocks are as lutra_predict has them."""
    device = json.loads(path.read_text())
    clock, clock_all = device["clock_ghz"]["value"], device["clock_all_ghz"]["value"]
    return device["macs_per_cycle"][mode]["value"] * min(threads * clock, device["cores"]["value"] * clock_all)


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
    """The frozen description of this machine with the bandwidths that the other program leaves, and without the caches that it shares, which
    it sweeps through between two runs."""
    with contention():
        left = json.loads(measured_device(lutra, folder, {}, ["taskset", "--cpu-list", "0"]).read_text())
    device = json.loads(this_device().read_text())
    device["dram_gb_per_s"] = left["dram_gb_per_s"]
    device["caches"] = [cache for cache in left["caches"] if cache["shared_by"] == 1] or left["caches"]
    path = folder / "contended.json"
    path.write_text(json.dumps(device))
    return path


def json_of(command, environment):
    made = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return json.loads(made.stdout)


def predicted(lutra, arguments, device, environment):
    """Milliseconds of a run by what the weights are."""
    result = json_of([lutra, "profile", *arguments, "--dense", "--no-energy", "--json", "--quiet", "--on", str(device)], environment)
    return {"64 clusters": result["total_ms"], "dense": result["against"]["total_ms"]}


def measured(lutra, arguments, mode, runs, device, environment):
    """The same as it is, and the share of the machine's peak that was to be had meanwhile."""
    rows = json_of([lutra, "bench", *arguments, "--dense", "--repeat", str(runs), "--json", "--quiet"], environment)
    rows = [row for row in rows if row["mode"] == mode]
    share = rows[0]["peak_gmacs"] / peak(device, mode, rows[0]["threads"])
    return {"64 clusters" if row["clusters"] else "dense": row["median_ms"] for row in rows}, share


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lutra", nargs="?", default=str(ROOT / "build/release/tools/lutra"))
    parser.add_argument("--arch", nargs="+", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--mode", nargs="+", default=["f32", "int8"], choices=["f32", "int8"])
    options = parser.parse_args()
    print("| model | weights | mode | condition | predicted ms | measured ms | off by | peak meanwhile | off by, less that |\n"
          "|---|---|---|---|---:|---:|---:|---:|---:|")
    off = {"as they are": [], "at the peak of the run": []}

    def add_rows(arch, mode, condition, path, more, device, environment):
        arguments = [path, "--mode", mode, *more]
        expected = predicted(options.lutra, arguments, device, environment)
        runs = BATCH_RUNS if "--batch" in more else RUNS[arch]
        found, share = measured(options.lutra, arguments, mode, runs, device, environment)
        for weights, ms in expected.items():
            raw, even = (100 * (ms / by / found[weights] - 1) for by in (1, share))
            off["as they are"].append(raw)
            off["at the peak of the run"].append(even)
            print(f"| {arch} | {weights} | {mode} | {condition} | {ms:.2f} | {found[weights]:.2f} | {raw:+.0f} % | {share:.0%} | {even:+.0f} % |",
                  flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        busy = contended_device(options.lutra, folder / "busy")
        plain = measured_device(options.lutra, folder / "avx2", AVX2)
        for arch in options.arch:
            path = str(random_model.clustered(options.lutra, arch, folder))
            for mode in options.mode:
                for condition, (more, environment) in CONDITIONS.items():
                    add_rows(arch, mode, condition, path, more, plain if environment else this_device(), environment)
                with contention():
                    add_rows(arch, mode, "1 thread, contended", path, CONTENDED, busy, {})
    print()
    for how, values in off.items():
        print(f"{sum(abs(value) <= WANTED for value in values)} of {len(values)} within {WANTED} %, times {how}.")


if __name__ == "__main__":
    main()
