#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Device descriptions (docs/devices.md): each number has a source, and no peak is below what another engine reached.

    scripts/check_devices.py [FILE...]

Prints one TAP line per file (data/devices/*.json where none is named). A published latency shorter than the multiply-adds
take at the described peak means that the peak is wrong, and fails. One more than twice as long is no failure, since engines
differ, but is printed.
"""
import json
import pathlib
import sys

TYPES = ["f32", "f16", "bf16", "int8"]
ENERGIES = ["dram_byte", "mac_f32", "mac_bf16", "mac_int8"]
TEXTS = ["name", "title", "core", "isa"]
PUBLISHED = {"engine": str, "model": str, "macs": int, "type": str, "threads": int, "ms": (int, float), "source": str}
WANTED_LATENCIES = 2


def numbers(device):
    """The numbers of a description: (where, value, is it optional)."""
    for key in ("cores", "clock_ghz", "clock_all_ghz"):
        yield key, device.get(key), key == "clock_all_ghz"
    for kind in TYPES:
        yield f"macs_per_cycle.{kind}", device.get("macs_per_cycle", {}).get(kind), kind in ("f16", "bf16")
    for i, cache in enumerate(device.get("caches", [])):
        yield f"caches[{i}].bytes", cache.get("bytes"), False
    for key in ("one_core", "all_cores"):
        yield f"dram_gb_per_s.{key}", device.get("dram_gb_per_s", {}).get(key), key == "one_core"
    for key in ENERGIES:
        yield f"pj.{key}", device.get("pj", {}).get(key), False


def form_problems(device, name):
    for key in TEXTS:
        if not isinstance(device.get(key), str) or not device[key]:
            yield f"{key} is missing"
    if device.get("name") != name:
        yield f"name is not the file's, {name}"
    for where, number, optional in numbers(device):
        if number is None and optional:
            continue
        if not isinstance(number, dict) or set(number) != {"value", "source"}:
            yield f"{where} is not {{value, source}}"
        elif not isinstance(number["value"], (int, float)) or not number["value"] > 0:
            yield f"{where} is not above 0"
        elif not isinstance(number["source"], str) or len(number["source"]) < 10:
            yield f"{where} has no source"
    if [cache.get("level") for cache in device.get("caches", [])] != list(range(1, len(device.get("caches", [])) + 1)):
        yield "caches are not in the order of their levels from 1"


def published_problems(device):
    """Entries that are malformed, and too few of them for a device that is not Lutra's own to measure."""
    published = device.get("published", [])
    for entry in published:
        for key, kind in PUBLISHED.items():
            if not isinstance(entry.get(key), kind):
                yield f"published: {key} is missing"
                return
        if entry["type"] not in device["macs_per_cycle"]:
            yield f"published: no peak for {entry['type']}"
        if "https://" not in entry["source"]:
            yield "published: a source without an address"
    is_arm = device.get("isa") in ("neon", "neondot", "i8mm")
    if is_arm and len(published) < WANTED_LATENCIES and "unchecked" not in device:
        yield f"fewer than {WANTED_LATENCIES} published latencies, and no \"unchecked\" that says why"


def peak_ms(device, entry):
    cores, alone = device["cores"]["value"], device["clock_ghz"]["value"]
    together = device.get("clock_all_ghz", device["clock_ghz"])["value"]
    clocks = min(min(entry["threads"], cores) * alone, cores * together)  # of all that work, as in predictions
    macs_per_second = device["macs_per_cycle"][entry["type"]]["value"] * clocks * 1e9
    return 1e3 * entry["macs"] / macs_per_second


def check(path):
    """(problems, notes) of one file."""
    path = pathlib.Path(path)
    try:
        device = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [str(error)], []
    problems = list(form_problems(device, path.stem))
    if problems:
        return problems, []
    problems = list(published_problems(device))
    notes = [f"unchecked: {device['unchecked']}"] if "unchecked" in device else []
    for entry in [] if problems else device.get("published", []):
        what = f"{entry['engine']} {entry['model']} {entry['type']}, {entry['threads']} threads: {entry['ms']} ms"
        least = peak_ms(device, entry)
        if least > entry["ms"]:
            problems.append(f"{what}, less than the {least:.2f} ms of the peak")
        elif entry["ms"] > 2 * least:
            notes.append(f"{what}, {entry['ms'] / least:.1f} times the {least:.2f} ms of the peak")
    return problems, notes


def main():
    root = pathlib.Path(__file__).resolve().parents[1]
    paths = sys.argv[1:] or sorted((root / "data/devices").glob("*.json"))
    failed = 0
    for number, path in enumerate(paths, 1):
        problems, notes = check(path)
        failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - device {pathlib.Path(path).stem}")
        for line in problems + notes:
            print(f"#   {line}")
    print(f"1..{len(paths)}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
