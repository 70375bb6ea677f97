# SPDX-License-Identifier: Apache-2.0
"""The modelled bytes of `lutra profile` beside the last-level data misses that Cachegrind counts in the same cache."""
import json
import os
import pathlib
import re
import subprocess

from this_machine import this_machine

LINE = 64
WAYS = 16
RUNS = 1  # more than in a second program: what it misses more is theirs


def number(value):
    return {"value": value, "source": "measured: by nobody"}


def environment(lutra, folder, cache):
    """One in which the device has one cache, of `cache` bytes; its description lies in `folder`."""
    # Valgrind 3.19 knows AVX2 and nothing beyond it.
    level = {**os.environ, "LUTRA_ISA": "avx2"}
    place = pathlib.Path(folder) / str(cache) / "lutra"
    place.mkdir(parents=True, exist_ok=True)
    (place / "device.json").write_text(json.dumps({
        **this_machine([lutra], level), "name": "this", "core": "none", "clock_ghz": number(1),
        "macs_per_cycle": {"f32": number(1), "int8": number(1)},
        "caches": [{"level": 1, "bytes": number(cache), "shared_by": 1}],
        "dram_gb_per_s": {"one_core": number(1), "all_cores": number(1)},
        "pj": {"dram_byte": number(1), "mac_f32": number(1), "mac_bf16": number(1), "mac_int8": number(1)}, "published": []}))
    return {**level, "XDG_CACHE_HOME": str(place.parent)}


def profile(lutra, model, runs):
    """`model` is a path and its options."""
    return [lutra, "profile", *map(str, model), "--threads", "1", "--no-energy", "--json", "--quiet", "--repeat", str(runs)]


def misses(lutra, model, cache, runs, folder):
    """Of the whole program, which runs the model `runs` times and once more."""
    # The model of the caches runs too: of a cache so small, it is done at once.
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=yes", f"--LL={cache},{WAYS},{LINE}", "--cachegrind-out-file=/dev/null",
               *profile(lutra, model, runs)]
    result = subprocess.run(command, env=environment(lutra, folder, 4096), capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return int(re.search(r"LLd misses: +([\d,]+)", result.stderr).group(1).replace(",", ""))


def compare(lutra, model, cache, folder):
    """Bytes of a run from beyond a cache of `cache` bytes: modelled, counted."""
    result = subprocess.run(profile(lutra, model, 1), env=environment(lutra, folder, cache), capture_output=True, text=True, check=True)
    more = misses(lutra, model, cache, 1 + RUNS, folder) - misses(lutra, model, cache, 1, folder)
    return json.loads(result.stdout)["traffic"]["modelled_bytes"], more / RUNS * LINE
