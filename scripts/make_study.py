#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/study.md from what `lutra study` wrote on each machine: data/measurements/*.json.

    scripts/make_study.py [MEASUREMENT...] [-o docs/study.md]

Measured and predicted numbers never share a column. What was not measured says so, with the command that would.
"""
import argparse
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MIB = 2 ** 20
WEIGHTS = ["dense f32", "dense bf16", "256 clusters", "64 clusters", "16 clusters"]
TODO = "not tested here"


def table(head, rows, left=1):
    """Markdown; the first `left` columns are text."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if i < left else "---:" for i in range(len(head))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def number(value, digits=3):
    if value is None:
        return "unknown"
    return f"{value:.{max(0, digits - len(str(int(abs(value)))))}f}"


def mib(value):
    return "unknown" if value is None else f"{value / MIB:.2f}"


def find(rows, **wanted):
    """The row that has all of `wanted`, or None."""
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)


def values(rows, key):
    """The different values, in the order in which they come."""
    return list(dict.fromkeys(row[key] for row in rows))


def machine_name(study):
    machine = study["machine"]
    caches = ", ".join(f"L{i} {size / MIB:g} MiB" if size >= MIB else f"L{i} {size // 1024} KiB"
                       for i, size in enumerate(machine["cache_bytes"], 1))
    return f"{machine['title']}, {machine['cores']} cores, {machine['isa']}, {caches}"


def measured_section(study):
    rows = study["measured"]
    yield f"## Measured: {machine_name(study)}\n"
    if study["quick"]:
        yield "A quick measurement (`lutra study --quick`): few models, few runs.\n"
    for threads in values(rows, "threads"):
        for batch in values(rows, "batch"):
            yield f"### {threads} thread{'s' if threads > 1 else ''}, batch {batch}\n"
            lines = []
            for arch in values(rows, "arch"):
                for weights in WEIGHTS:
                    one = {mode: find(rows, arch=arch, weights=weights, mode=mode, threads=threads, batch=batch)
                           for mode in ("f32", "int8")}
                    if not one["f32"]:
                        continue
                    dense = find(rows, arch=arch, weights="dense f32", mode="f32", threads=threads, batch=batch)
                    cells = [arch, weights, mib(one["f32"]["file_bytes"])]
                    for mode in ("f32", "int8"):
                        row = one[mode]
                        cells += [mib(row["weight_bytes"] / batch), mib(row["dram_bytes"] / batch if row["dram_bytes"] is not None else None),
                                  number(row["median_ms"] / batch), f"{row['median_ms'] / dense['median_ms']:.2f}"]
                    lines.append(cells)
            head = ["model", "weights", "file MiB"]
            for mode in ("f32", "int8"):
                head += [f"{mode}: weights MiB", f"{mode}: DRAM MiB (modelled)", f"{mode}: ms (measured)", f"{mode}: / dense f32"]
            yield table(head, lines, left=2) + "\n"
    yield ("Weights and DRAM are bytes for one image. *Weights* is what a run must read (compulsory); *DRAM* is what a model of this machine's "
           "last cache says crosses from main memory when runs follow each other, so 0 where all of it stays in the cache. Times are "
           "medians of runs in turns, for one image.\n")


def predicted_section(study):
    rows = study["predicted"]
    yield "## Predicted: other devices\n"
    yield ("Nothing here was measured. Each number is predicted from the description of the device ([devices.md](devices.md)), on all of its cores. The energy is a "
           "lower bound: that of the bare operations and of the bytes from main memory.\n")
    for device in values(rows, "device"):
        title = find(rows, device=device)["title"]
        lines = []
        for arch in values(rows, "arch"):
            for weights in WEIGHTS:
                cells = [arch, weights]
                for mode in ("f32", "int8"):
                    for batch in values(rows, "batch"):
                        row = find(rows, device=device, arch=arch, weights=weights, mode=mode, batch=batch)
                        if not row:
                            break
                        cells += [number(row["ms"] / batch), mib(row["dram_bytes"] / batch), number(row["mj_lower_bound"] / batch),
                                  f"{100 * row['memory_bound_share']:.0f} %"]
                if len(cells) > 2:
                    lines.append(cells)
        head = ["model", "weights"]
        for mode in ("f32", "int8"):
            for batch in values(rows, "batch"):
                what = f"{mode}, batch {batch}:"
                head += [f"{what} predicted ms", f"{what} predicted DRAM MiB", f"{what} mJ at the least", f"{what} time bound by memory"]
        yield f"### {title}\n"
        yield table(head, lines, left=2) + "\n"


def ratio_range(rows, arch_key, weights, mode, against_mode, key, batch=1):
    """The least and largest ratio of `weights` to dense f32, over models and threads."""
    found = []
    for row in rows:
        if row["weights"] == weights and row["mode"] == mode and row["batch"] == batch:
            dense = find(rows, arch=row["arch"], weights="dense f32", mode=against_mode, threads=row.get("threads"), batch=batch)
            if dense and row.get(key) and dense.get(key):
                found.append(dense[key] / row[key])
    return (min(found), max(found)) if found else None


def span(found, unit=""):
    return TODO if not found else f"{found[0]:.2f} to {found[1]:.2f}{unit}"


def claims_section(studies):
    yield "## Beside the paper's claims\n"
    yield ("The paper (Tabani et al., DSD 2021) clusters to 64 centroids and runs in f32 on a mobile device. Ratios are dense f32 over 64 clusters at batch 1, from the least to "
           "the largest over models and threads.\n")
    lines = []
    for study in studies:
        rows, name = study["measured"], study["machine"]["title"]
        lines += [
            ["over 4x less data from main memory", f"weights of a run (compulsory), {name}", span(ratio_range(rows, "arch", "64 clusters", "f32", "f32", "weight_bytes"), "x"),
             "`lutra study`"],
            ["", f"from main memory (modelled), {name}", span(ratio_range(rows, "arch", "64 clusters", "f32", "f32", "dram_bytes"), "x"), "`lutra study`"],
            ["up to 22 % faster", f"f32, as in the paper, warm caches, measured, {name}", span(ratio_range(rows, "arch", "64 clusters", "f32", "f32", "median_ms"), "x"), "`lutra study`"],
            ["", f"int8 of 64 clusters over dense f32, measured, {name}", span(ratio_range(rows, "arch", "64 clusters", "int8", "f32", "median_ms"), "x"), "`lutra study`"],
        ]
    lines += [
        ["", "as in the paper: a mobile device", TODO, "`lutra study` there"],
        ["", "with cold caches, with contended memory", TODO, "`lutra bench MODEL --dense --cold`, `--contend 1`"],
        ["39 % less energy", "as in the paper: a mobile device", TODO, "`lutra profile MODEL --dense` there, with a meter (`lutra device check`)"],
        ["under 0.1 % accuracy lost", "64 clusters on 500 ImageNet photos", "[results.md](results.md#accuracy-of-clustering-without-calibration)", "`lutra eval`"],
        ["", "as in the paper: the whole validation set", TODO, "`lutra eval MODEL --images val --labels labels.tsv --against DENSE`"],
    ]
    yield table(["claim", "what was compared", "found", "command"], lines, left=4) + "\n"


def reasons_section(studies):
    yield "## Where each model is bound, and why clustering helps or does not\n"
    yield ("A ViT multiplies each weight with some 200 tokens. In f32 a weight of 4 bytes is then worth 200 multiply-adds, 50 for each of its bytes, and a core that does 50 x 10⁹ "
           "multiply-adds a second needs 1 GB/s of weights: main memory is not the limit, and time spent on arithmetic is not saved by smaller weights. Clustering saves "
           "time where the multiply-adds are so fast, or the memory so slow, that the ratio turns: int8 arithmetic on many cores, one token at a time (the head, a decoder), cold caches, and "
           "memory that others use. It saves bytes, and the energy of moving them, always.\n")
    for study in studies:
        shares = {}
        for row in study["predicted"]:
            if row["batch"] == 1 and row["weights"] in ("dense f32", "64 clusters"):
                shares.setdefault((row["title"], row["mode"]), {})[row["arch"], row["weights"]] = row["memory_bound_share"]
        archs = values(study["predicted"], "arch")
        head = ["device (predicted)", "mode"] + [f"{arch}: {weights}" for arch in archs for weights in ("dense f32", "64 clusters")]
        yield "Share of the predicted time that is bound by memory, batch 1:\n"
        yield table(head, [[title, mode] + [f"{100 * found[arch, weights]:.0f} %" for arch in archs for weights in ("dense f32", "64 clusters")]
                           for (title, mode), found in shares.items()], left=2) + "\n"
        break  # predictions do not depend on where they were made


def page(studies):
    yield "<!-- SPDX-License-Identifier: Apache-2.0 -->\n<!-- Made by scripts/make_study.py; do not edit. -->\n# The study\n"
    yield ("What clustering buys, over models, batches and threads. ViT and DeiT have the same matrices in each size, so one of them stands for both; the weights are random, since "
           "neither size nor time depends on their values.\n\n    lutra study -o data/measurements/NAME.json    # on each machine\n    scripts/make_study.py\n")
    arm = [study for study in studies if study["machine"]["isa"].startswith(("neon", "i8mm"))]
    if not arm:
        yield "**Measured on Arm: none yet.** Run the first command on a Raspberry Pi, a Jetson or a phone, and the second here.\n"
    yield from claims_section(studies)
    for study in studies:
        yield from measured_section(study)
    yield from reasons_section(studies)
    if studies:
        yield from predicted_section(max(studies, key=lambda study: len(study["predicted"])))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", nargs="*", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, default=ROOT / "docs/study.md")
    arguments = parser.parse_args()
    paths = arguments.measurements or sorted((ROOT / "data/measurements").glob("*.json"))
    if not paths:
        sys.exit("no measurements: run lutra study -o data/measurements/NAME.json first")
    studies = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    arguments.output.write_text("\n".join(page(studies)), encoding="utf-8")
    print(f"{arguments.output}: {len(studies)} machine{'s' if len(studies) > 1 else ''}")


if __name__ == "__main__":
    main()
