#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The model of what runs bring from main memory, held against Valgrind's Cachegrind on whole architectures with random weights.

    bench/traffic.py [--build DIR] [--arch NAME...] [--cache MIB...]

Each line is a model in a mode in a cache: modelled and counted MiB a run, and their ratio. Needs valgrind and AVX2; some
minutes a model.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/cli"))
import cachegrind  # noqa: E402

MEANS_SOMETHING = 2**16  # bytes: what a model that fits in the cache misses now and then is no traffic


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="build folder (default build/release)")
    parser.add_argument("--arch", nargs="+", default=["deit_tiny_patch16_224", "deit_small_patch16_224"])
    parser.add_argument("--cache", nargs="+", type=float, default=[1, 8], help="MiB of the last cache (default 1 8)")
    arguments = parser.parse_args()
    lutra = str(arguments.build / "tools/lutra")
    print(f"{'architecture':28} {'weights':11} {'mode':5} {'cache MiB':>9} {'modelled MiB':>13} {'Cachegrind MiB':>15} {'ratio':>7}")
    with tempfile.TemporaryDirectory(prefix="lutra-traffic-") as folder:
        for arch in arguments.arch:
            dense, clustered = pathlib.Path(folder) / "dense.safetensors", pathlib.Path(folder) / "clustered.safetensors"
            subprocess.run([lutra, "random", "--arch", arch, "-o", dense, "--quiet"], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([lutra, "cluster", dense, "-o", clustered, "--quiet"], check=True, stdout=subprocess.DEVNULL)
            for model, mode in ((dense, "f32"), (clustered, "f32"), (clustered, "int8")):
                for cache in arguments.cache:
                    modelled, counted = cachegrind.compare(lutra, [model, "--mode", mode], int(cache * 2**20), folder)
                    ratio = f"{modelled / counted:.3f}" if counted > MEANS_SOMETHING else "-"
                    print(f"{arch:28} {model.stem:11} {mode:5} {cache:9g} {modelled / 2**20:13.3f} {counted / 2**20:15.3f} {ratio:>7}",
                          flush=True)


if __name__ == "__main__":
    main()
