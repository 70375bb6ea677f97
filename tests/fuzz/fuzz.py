#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fuzzes with clang's libFuzzer, and keeps the corpora.

    tests/fuzz/fuzz.py run BUILD [--seconds N] [TARGET...]   from the corpora and what earlier runs found; prints TAP
    tests/fuzz/fuzz.py seeds RELEASE_BUILD                   inputs made by Lutra's own tools, for the first run
    tests/fuzz/fuzz.py minimise BUILD [TARGET...]            tests/fuzz/corpus becomes what reaches all that was reached,
                                                             and tests/fuzz/log.tsv tells of the runs since the last time
    tests/fuzz/fuzz.py figures                               the table of docs/reliability.md

BUILD is made with: CC=clang meson setup BUILD -Dfuzzing=true -Db_sanitize=address,undefined -Db_lundef=false, then
ninja -C BUILD fuzzers. What runs find lies in build/fuzzing until then: the inputs in TARGET, those that crash in
TARGET.crashes, a line a run in log.tsv. Random numbers begin with --seed (1), so a run of --runs N is repeatable.
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/fuzz/corpus"
FOUND = ROOT / "build/fuzzing"
LOG = FOUND / "log.tsv"
KEPT_LOG = ROOT / "tests/fuzz/log.tsv"  # a line for each target of a series of runs

# The longest input (the corpora are small, and most of what goes wrong does so early), inputs that lie elsewhere, and
# the sources whose strings are words of the inputs.
TARGETS = {
    "safetensors_header": {"max_len": 2048, "words": ["src/format/dtype.c", "src/format/safetensors*.c"]},
    "clustered_file": {"max_len": 16384, "words": ["src/format/*.c", "src/model/*.c"]},
    "config": {"max_len": 6144, "words": ["src/model/config_*.c"]},
    "labels": {"max_len": 1024},
    "device": {"max_len": 6144, "inputs": ["data/devices"], "words": ["src/profile/device.c"]},
    "cluster": {"max_len": 4200},
    "image": {"max_len": 8192, "inputs": ["tests/golden/images"]},
}
# Bytes of the corpora: what fits the repository, 2 MiB in all.
MAX_CORPUS = {"clustered_file": 900_000, "image": 500_000}
MAX_CORPUS_OTHERS = 100_000

# What JSON has besides: its signs, and numbers at the edges of their types.
JSON_TOKENS = ["{}", "[]", "[0]", '""', ":", ",", "null", "true", "false", "-1", "0.5", "1e300", "1e-300", "256", "65536",
               "4294967296", "9223372036854775807", "\\u0000", "\\ud83e"]

# The reference kernels are the instrumented ones.
ENVIRONMENT = dict(os.environ, LUTRA_ISA="reference", ASAN_OPTIONS="detect_stack_use_after_return=1:allocator_may_return_null=1",
                   UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")


def command(build, target, *arguments, timeout=20):
    options = TARGETS[target]
    return [str(pathlib.Path(build) / "tests/fuzz" / f"fuzz-{target}"), f"-max_len={options['max_len']}", f"-timeout={timeout}", "-report_slow_units=10000",
            "-rss_limit_mb=3000", "-malloc_limit_mb=1500", *map(str, arguments)]


def inputs(target):
    folders = [CORPUS / target, *(ROOT / path for path in TARGETS[target].get("inputs", []))]
    return [folder for folder in folders if folder.is_dir()]


def dictionary(target):
    """Writes the words of JSON that the sources compare with; libFuzzer's option for them."""
    patterns = TARGETS[target].get("words")
    if not patterns:
        return []
    sources = "".join(path.read_text("utf-8") for pattern in patterns for path in sorted(ROOT.glob(pattern)))
    strings = sorted(set(re.findall(r'"[A-Za-z0-9_.]{2,}"', sources)))
    quoted = (token.replace("\\", "\\\\").replace('"', '\\"') for token in strings + JSON_TOKENS)
    path = FOUND / f"{target}.dict"
    path.write_text("".join(f'"{token}"\n' for token in quoted), "utf-8")
    return [f"-dict={path}"]


def execute(arguments):
    """(what it prints, whether it ended well, seconds of CPU)"""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, env=ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
        output.seek(0)
        return output.read(), status == 0, usage.ru_utime + usage.ru_stime


def fuzz(build, target, arguments):
    found, crashes = FOUND / target, FOUND / f"{target}.crashes"
    found.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(exist_ok=True)
    before = len(list(crashes.iterdir()))
    text, good, seconds = execute(command(
        build, target, f"-max_total_time={arguments.seconds}", f"-seed={arguments.seed}", f"-runs={arguments.runs}",
        "-print_final_stats=1", f"-artifact_prefix={crashes}/", *dictionary(target), found, *inputs(target), timeout=arguments.timeout))
    executions = re.search(r"stat::number_of_executed_units: (\d+)", text)
    executions = executions.group(1) if executions else 0
    edges, features = (re.findall(r" cov: (\d+) ft: (\d+)", text) or [(0, 0)])[-1]
    n_crashes = len(list(crashes.iterdir())) - before
    with open(LOG, "a", encoding="utf-8") as log:
        print(target, round(seconds), executions, edges, features, n_crashes, sep="\t", file=log)
    if not good or n_crashes:
        return False, f"{target}\n" + "\n".join("# " + line for line in text.splitlines()[-60:])
    return True, f"{target}: {executions} inputs in {seconds:.0f} s, {edges} edges"


def run(arguments):
    names = arguments.targets or list(TARGETS)
    failed = 0
    print(f"1..{len(names)}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = pool.map(lambda target: fuzz(arguments.build, target, arguments), names)
        for number, (good, what) in enumerate(results, 1):
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {what}", flush=True)
    return failed > 0


# ---- seeds ------------------------------------------------------------------------------------------------------


def header_seeds():
    def tensor(dtype, shape, begin, end):
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    headers = [
        {},
        {"a": tensor("F32", [2, 3], 0, 24), "b": tensor("U8", [5], 24, 29), "none": tensor("F16", [0, 7], 29, 29)},
        {"__metadata__": {"format": "pt", "lutra.config": "{}"}, "a": tensor("BF16", [1, 1, 4], 0, 8)},
        {f"t{i}": tensor(dtype, [2], i * 16, i * 16 + 16) for i, dtype in enumerate(["F64", "I64", "U64"])},
        {"s": tensor("F8_E4M3", [], 0, 1), "q": tensor("BOOL", [1] * 8, 1, 2)},
    ]
    for header in headers:
        text = json.dumps(header).encode()
        end = max((t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"), default=0)
        yield struct.pack("<Q", len(text)) + text + bytes(range(end))


def config_seeds(models):
    for folder in sorted((ROOT / "tests/golden/models").glob("*/config.json")):
        preprocessor = folder.parent / "preprocessor_config.json"
        text = json.dumps(json.loads(folder.read_text("utf-8"))).encode()
        yield text + (b"\0" + preprocessor.read_bytes() if preprocessor.exists() else b"")
    for path in models:
        data = path.read_bytes()
        header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
        yield header["__metadata__"]["lutra.config"].encode()


def cluster_seeds():
    numbers = random.Random(1)
    for flags in range(16):
        for spread in range(4):
            n = [64, 200, 400, 90][spread]
            start = bytes([[0, 2, 14, 62][spread], flags | (spread * 5 % 16) << 4, [7, 15, 31, 63][spread]])
            if flags & 8:
                yield start + bytes(int(abs(numbers.gauss(0, 40))) % 256 for _ in range(n))
            else:
                yield start + struct.pack(f"<{n}f", *(numbers.gauss(0, 10.0 ** (spread * 8 - 12)) for _ in range(n)))


def label_seeds():
    lines = (ROOT / "data/labels/imagenet1k.tsv").read_bytes().splitlines(keepends=True)
    yield b"".join(lines[:8])
    yield b"otter\nvole\r\n\nnewt"
    yield b"index\tname\n0\tcat\n3\tdog\n1\ta\tb\tc\n"
    yield "2\tcl\u00e9\n".encode()


def seeds(arguments):
    build = pathlib.Path(arguments.build)
    folder = FOUND / "models"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run([build / "tests/fuzz/lutra-differential", "--seed", "1", "--rounds", "120", "--keep", folder], check=True)
    models = [path for path in sorted(folder.iterdir()) if path.stat().st_size <= TARGETS["clustered_file"]["max_len"]]
    made = {
        "safetensors_header": header_seeds(),
        "clustered_file": (path.read_bytes() for path in models),
        "config": config_seeds(models),
        "labels": label_seeds(),
        "cluster": cluster_seeds(),
    }
    for target, items in made.items():
        (FOUND / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(items):
            (FOUND / target / f"seed-{number:03}").write_bytes(data)
    return False


# ---- corpora ----------------------------------------------------------------------------------------------------


def minimise(arguments):
    for target in arguments.targets or list(TARGETS):
        merged = FOUND / f"{target}.merged"
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir(parents=True)
        # What lies elsewhere in the repository comes first: the corpus need not have it again.
        elsewhere = [ROOT / path for path in TARGETS[target].get("inputs", [])]
        for path in elsewhere:
            for file in path.iterdir():
                shutil.copy(file, merged)
        kept_already = {file.name for file in merged.iterdir()}
        sources = [folder for folder in (CORPUS / target, FOUND / target) if folder.is_dir()]
        subprocess.run(command(arguments.build, target, "-merge=1", merged, *sources), check=True, env=ENVIRONMENT,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        new = sorted((file for file in merged.iterdir() if file.name not in kept_already), key=lambda f: f.stat().st_size)
        shutil.rmtree(CORPUS / target, ignore_errors=True)
        (CORPUS / target).mkdir(parents=True)
        total, limit = 0, MAX_CORPUS.get(target, MAX_CORPUS_OTHERS)
        for file in new:  # the smallest first: where not all fit, the most fit
            if total + file.stat().st_size <= limit:
                total += file.stat().st_size
                shutil.copy(file, CORPUS / target / file.name[:16])
        print(f"{target}: {len(list((CORPUS / target).iterdir()))} of {len(new)} inputs, {total} bytes")
    keep_log()
    return False


def sums(rows, totals):
    """Adds rows of text (target, CPU seconds, executions, edges, features, crashes) to totals by target."""
    for target, *numbers in rows:
        seconds, executions, edges, features, crashes = map(int, numbers)
        old = totals.setdefault(target, [0, 0, 0, 0, 0])
        totals[target] = [old[0] + seconds, old[1] + executions, max(old[2], edges), max(old[3], features), old[4] + crashes]
    return totals


def rows_of(path):
    return [line.split("\t") for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def keep_log():
    with open(KEPT_LOG, "a", encoding="utf-8") as kept:
        for target, numbers in sums(rows_of(LOG), {}).items():
            print(datetime.date.today(), target, *numbers, sep="\t", file=kept)
    LOG.unlink(missing_ok=True)


def figures(_):
    totals = sums((row[1:] for row in rows_of(KEPT_LOG)[1:]), {})
    totals = sums(rows_of(LOG), totals)
    print("| target | CPU seconds | executions | edges | features |\n|---|---|---|---|---|")
    for target, (seconds, executions, edges, features, _crashes) in totals.items():
        print(f"| `{target}` | {seconds:,} | {executions:,} | {edges:,} | {features:,} |")
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "seeds", "minimise", "figures"])
    parser.add_argument("build", nargs="?")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=int, default=20, help="seconds for one input; more where the process may be suspended")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--runs", type=int, default=-1)
    arguments = parser.parse_intermixed_args()
    return {"run": run, "seeds": seeds, "minimise": minimise, "figures": figures}[arguments.what](arguments)


if __name__ == "__main__":
    sys.exit(main())
