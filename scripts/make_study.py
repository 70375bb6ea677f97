#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes docs/study.md from what `lutra study` wrote on each machine: data/measurements/*.json.

    scripts/make_study.py [MEASUREMENT...] [-o docs/study.md]

A study that would take a machine for too long at once can be made in parts and put together:

    lutra study --arch deit_tiny_patch16_224 -o tiny.json      # and so on; --batch 1 or 8 parts it further
    scripts/make_study.py --join tiny.json ... --title 'Two cores of ...' -o data/measurements/NAME.json

A "note" that somebody writes into a measurement is shown with it. Measured and predicted numbers never share a column. What was not
measured says so, with the command that would. Accuracy is that of docs/accuracy.md and training/README.md, cold and contended caches
those of docs/benchmarks.md.
"""
import argparse
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
MIB = 2 ** 20
WEIGHTS = ["dense f32", "dense bf16", "256 clusters", "64 clusters", "16 clusters"]
MODES = ["f32", "int8"]
NOT_TESTED = "not tested here"
FASTER = 0.22  # the paper's claim: so much less time
# The rows of training/README.md for 64 clusters, and what they are.
EMBEDDED = {"64": "64 clusters", "64, scope tensor": "64 clusters, as in the paper: a codebook for each matrix",
            "64, scope model": "64 clusters, as in the paper: one codebook"}


# ---- tables and numbers -----------------------------------------------------------------------------------------


def table(head, rows, left=1):
    """Markdown; the first `left` columns are text."""
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" if i < left else "---:" for i in range(len(head))) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def table_of(path, first):
    """The rows of the table in a page of Markdown whose head begins with the cells `first`: dictionaries. Empty where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else [] for line in lines]
    for i, head in enumerate(cells):
        if head[:len(first)] == first:
            rows = cells[i + 2:]
            return [dict(zip(head, row)) for row in rows[:rows.index([])]]
    return []


def number(value, digits=3):
    if value is None:
        return "unknown"
    return f"{value:.{max(0, digits - len(str(int(abs(value)))))}f}"


def mib(value):
    return "unknown" if value is None else f"{value / MIB:.2f}"


def percent(value):
    return f"{100 * value:.0f} %"


def find(rows, **wanted):
    """The row that has all of `wanted`, or None."""
    return next((row for row in rows if all(row.get(key) == value for key, value in wanted.items())), None)


def values(rows, key):
    """The different values, in the order in which they come."""
    return list(dict.fromkeys(row[key] for row in rows))


def ratios(rows, weights, mode, key, against_mode="f32", batch=1):
    """Of `key`, dense weights in `against_mode` over `weights` in `mode`, for every model and number of threads."""
    found = []
    for row in rows:
        if (row["weights"], row["mode"], row["batch"]) == (weights, mode, batch):
            dense = find(rows, arch=row["arch"], weights="dense f32", mode=against_mode, threads=row.get("threads"), batch=batch)
            if dense and row.get(key) and dense.get(key):
                found.append(dense[key] / row[key])
    return found


def span(found, form="{:.2f}x"):
    """From the least to the largest."""
    if not found:
        return NOT_TESTED
    ends = [form.format(min(found)), form.format(max(found))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def machine_name(study):
    machine = study["machine"]
    caches = "".join(f", L{i} {size / MIB:g} MiB" if size >= MIB else f", L{i} {size // 1024} KiB"
                       for i, size in enumerate(machine["cache_bytes"], 1))
    return f"{machine['title']}: {machine['cores']} cores, kernels {machine['isa']}{caches}"


# ---- the parts of the page --------------------------------------------------------------------------------------


def intro(studies):
    yield "<!-- SPDX-License-Identifier: Apache-2.0 -->\n<!-- Made by scripts/make_study.py; do not edit. -->\n# The study\n"
    yield ("What does it buy to cluster the weights of a vision transformer: in bytes, in time, in energy, at which cost in accuracy, and where? ViT and DeiT of "
           "several sizes, with dense weights in f32 and bf16 and with 256, 64 and 16 clusters (indices of 8, 6 and 4 bits), are run on the machines "
           "below and predicted for [others](devices.md). ViT and DeiT have the same matrices in each size, so one of them stands for both; the weights are "
           "random, since neither size nor time depends on what they say. Accuracy is that of real weights.\n")
    yield ("*f32* and *int8* are the arithmetic of the products. In int8, dense weights are rounded to 8 bits when the model is opened, clustered ones are used "
           "as they are; activations are rounded either way. One command measures all of it, another makes this page:\n\n"
           "    lutra study -o data/measurements/NAME.json    # on each machine; --quick for a small board\n    scripts/make_study.py\n")
    if not any(study["machine"]["isa"].startswith(("neon", "i8mm")) for study in studies):
        yield "**Measured on Arm: none yet.** Run the first command on a Raspberry Pi, a Jetson or a phone, and the second here.\n"


def in_short(studies):
    yield "## In short\n"
    for study in studies:
        rows = study["measured"]
        yield f"{study['machine']['title']}, batch 1, over all models and numbers of threads:\n"
        lines = [
            f"**Size**: 64 clusters make a file {span(ratios(rows, '64 clusters', 'f32', 'file_bytes'))} smaller than f32.",
            f"**Data**: a run reads {span(ratios(rows, '64 clusters', 'f32', 'weight_bytes'))} fewer bytes of weights than dense f32, "
            f"and {span(ratios(rows, '64 clusters', 'int8', 'weight_bytes', 'int8'))} fewer than dense int8.",
            f"**Time**: in f32 it is {span(ratios(rows, '64 clusters', 'f32', 'median_ms'))} as fast as dense f32; in int8 "
            f"{span(ratios(rows, '64 clusters', 'int8', 'median_ms', 'int8'))} as fast as dense int8 and "
            f"{span(ratios(rows, '64 clusters', 'int8', 'median_ms'))} as fast as dense f32.",
            "**Energy**: no meter here; by the bare operations and bytes from main memory, which bound it from below, dense f32 takes "
            f"{span(ratios(rows, '64 clusters', 'f32', 'mj_lower_bound'))} of what 64 clusters take in f32, "
            f"{span(ratios(rows, '64 clusters', 'int8', 'mj_lower_bound'))} of what they take in int8.",
        ]
        yield "\n".join(f"- {line}" for line in lines) + "\n"


def claims(studies):
    yield "## Beside the paper's claims\n"
    yield ("The paper (Tabani et al., DSD 2021) clusters to 64 centroids, computes in f32 and measures on a mobile device. Ratios are dense f32 over 64 clusters at batch 1, "
           "from the least to the largest over models and threads: above 1 clustering is better.\n")
    data, speed, energy = [], [], []
    for study in studies:
        rows, name = study["measured"], study["machine"]["title"]
        data += [["weights that a run reads", name, span(ratios(rows, "64 clusters", "f32", "weight_bytes")), "`lutra study`"],
                 ["from main memory, modelled; models that stay in the last cache left out", name,
                  span(ratios(rows, "64 clusters", "f32", "dram_bytes")), "`lutra study`"]]
        speed += [["f32, warm caches, measured", name, span(ratios(rows, "64 clusters", "f32", "median_ms")), "`lutra study`"],
                  ["int8 of 64 clusters over dense f32, measured", name, span(ratios(rows, "64 clusters", "int8", "median_ms")), "`lutra study`"]]
        energy += [["f32, by bare operations and bytes (a bound from below, not measured)", name,
                    span(ratios(rows, "64 clusters", "f32", "mj_lower_bound")), "`lutra study`"]]
    for circumstance, option in (("cold", "--cold"), ("contended", "--contend 1")):
        found = [1 / float(row["over dense f32"].split()[0]) for row in benchmarks() if row["circumstance"] == circumstance]
        speed.append([f"f32, {circumstance} caches, measured", "as in [benchmarks.md](benchmarks.md#clustered-weights-beside-dense-ones)", span(found),
                      f"`lutra bench --arch NAME --dense {option}`"])
    mobile = "a mobile device"
    data.append(["as in the paper: counted by the hardware", mobile, NOT_TESTED, "`lutra profile MODEL --dense` there"])
    speed.append(["as in the paper", mobile, NOT_TESTED, "`lutra study` there"])
    energy.append(["as in the paper", mobile, NOT_TESTED, "`lutra profile MODEL --dense` there, with a meter (`lutra device check`)"])
    loss = [[f"the embedded model, {found}, on 40,140 pictures drawn for it ([training](../training/README.md#what-clustering-costs))", "",
             f"{row['change, points']} points of top-1", "`lutra eval`"] for name, found in EMBEDDED.items()
            for row in table_of(ROOT / "training/README.md", ["clusters", "file"]) if row["clusters"] == name]
    loss += [[f"{row['model']}, 64 clusters{', calibrated' if row['calibrated'] == 'yes' else ''}, {row['judged']} judgements on {judges(row)}", "",
              f"{row['top-1 change']} points of top-1", "`lutra eval`"] for row in accuracies() if (row["clusters"], row["arithmetic"]) == ("64", "f32")]
    loss.append(["as in the paper: the whole validation set", "", NOT_TESTED, "`lutra eval MODEL --images val --labels labels.tsv --against DENSE`"])
    lines = []
    for claim, found in (("over 4x less data from main memory", data), ("up to 22 % faster (1.28x)", speed), ("39 % less energy (1.64x)", energy),
                         ("under 0.1 % accuracy lost", loss)):
        lines += [[claim if i == 0 else "", *row] for i, row in enumerate(found)]
    yield table(["claim", "what was compared", "where", "found", "command"], lines, left=5) + "\n"


def benchmarks():
    """Clustered beside dense weights, warm, cold and contended."""
    rows = table_of(ROOT / "docs/benchmarks.md", ["", "circumstance"])
    return [row for row in rows if re.match(r"[\d.]+ \(", row["over dense f32"])]


def accuracies():
    """Rows of docs/accuracy.md for the clusters that the study has."""
    return [row for row in table_of(ROOT / "docs/accuracy.md", ["model", "clusters"])
            if row.get("scope") == "row" and f"{row['clusters']} clusters" in WEIGHTS and "top-1" in row]


def judges(row):
    return "pictures of its own" if row["model"] == "embedded" else "500 photos"


def accuracy():
    yield "## Accuracy\n"
    yield ("Where real weights were at hand, from [accuracy.md](accuracy.md), which says how: 500 labelled photos of ImageNet-1k, and pictures of its own for the embedded model. KL is from the dense model, in nats, with its 95 % interval; "
           "the change of top-1 is in points, with its standard error, which no 500 photos bring below some tenths. Small, Base and Large were not judged: "
           "no weights of theirs were at hand.\n")
    rows = [[row["model"], f"{row['clusters']} clusters", row["calibrated"], row["arithmetic"], row["KL (95 %)"], row["agreement"], row["top-1 change"]]
            for row in accuracies()]
    yield table(["model", "weights", "calibrated", "arithmetic", "KL (95 %)", "agreement", "top-1 change"], rows, left=4) + "\n"


def measured(study):
    rows = study["measured"]
    yield f"## Measured: {machine_name(study)}\n"
    if study["quick"]:
        yield "A quick measurement (`lutra study --quick`): few models, few runs.\n"
    if study.get("note"):
        yield study["note"] + "\n"
    yield ("All is for one image. *Weights* are the bytes that a run must read. *DRAM*, modelled, is what a model of this machine's last cache says crosses from "
           "main memory when one run follows another: 0 where all of it stays in the cache. *ms*, measured, is the median of runs of all models in turns, "
           "and beside it the time over that of dense f32. *mJ at the least*, counted, is what the bare operations and the bytes from main memory "
           "take ([devices.md](devices.md#energy)); the energy of the machine is many times that, and was not measured: it has no meter.\n")
    for threads in values(rows, "threads"):
        for batch in values(rows, "batch"):
            lines = []
            for arch in values(rows, "arch"):
                dense = find(rows, arch=arch, weights="dense f32", mode="f32", threads=threads, batch=batch)
                for weights in WEIGHTS:
                    cells = [arch, weights]
                    for mode in MODES:
                        row = find(rows, arch=arch, weights=weights, mode=mode, threads=threads, batch=batch)
                        if not row or not dense:
                            break
                        cells += [mib(row["file_bytes"])] if mode == MODES[0] else []
                        cells += [mib(row["weight_bytes"] / batch), mib(row["dram_bytes"] / batch), number(row["median_ms"] / batch),
                                  f"{row['median_ms'] / dense['median_ms']:.2f}", number(row["mj_lower_bound"] / batch)]
                    if len(cells) > 2:
                        lines.append(cells)
            head = ["model", "weights", "file MiB"]
            for mode in MODES:
                head += [f"{mode}: weights MiB", "DRAM MiB (modelled)", "ms (measured)", "/ dense f32", "mJ at the least"]
            if lines:
                yield f"### {threads} thread{'s' if threads > 1 else ''}, batch {batch}\n"
                yield table(head, lines, left=2) + "\n"


def bound(study):
    """What a run needs of the memory for each multiply-add, and what the machine reached."""
    rows, lines = study["measured"], []
    for arch in values(rows, "arch"):
        cells = [arch]
        for mode in MODES:
            dense = find(rows, arch=arch, weights="dense f32", mode=mode, threads=1, batch=1)
            few = find(rows, arch=arch, weights="64 clusters", mode=mode, threads=1, batch=1)
            if not dense or not few:
                return
            rate = [row["macs"] / row["median_ms"] * 1e-6 for row in (dense, few)]
            cells += [f"{rate[0]:.0f}, {rate[1]:.0f}", f"{dense['percent_of_peak']:.0f} %, {few['percent_of_peak']:.0f} %",
                      f"{dense['weight_bytes'] / dense['median_ms'] * 1e-6:.1f}, {few['weight_bytes'] / few['median_ms'] * 1e-6:.1f}",
                      f"{dense['weight_bytes'] * (1 - FASTER) / dense['macs']:.4f}"]
        lines.append(cells)
    head = ["model"]
    for mode in MODES:
        head += [f"{mode}: GMAC/s", "of the peak", "GB/s of weights", f"gains {percent(FASTER)} below bytes / MAC"]
    yield f"Measured on {study['machine']['title']}, one thread, batch 1; dense, 64 clusters:\n"
    yield table(head, lines) + "\n"


def reasons(studies):
    yield "## Where each model is bound, and why clustering helps or does not\n"
    yield ("A ViT multiplies each weight with some 200 tokens, so each of the 4 bytes of an f32 weight is worth 50 multiply-adds: a core that does 50 x 10⁹ of them a second asks for "
           "1 GB/s of weights, where main memory gives ten or more. Arithmetic is the limit, and smaller weights leave it as it is. What indices cost to decode is about what dense f32 costs to be "
           "laid out for the kernels, so the time is nearly the same. Clustering saves time where multiply-adds are so fast, or memory is so slow, "
           "that the ratio turns: int8 arithmetic on many cores, one token at a time (the head, a decoder), a memory that others use. It saves bytes, and the energy of moving "
           "them, always; in batches less of both, as the weights are read once for all images and activations outweigh them.\n")
    yield (f"When would it gain the paper's {percent(FASTER)}? If memory and arithmetic overlap, once reading dense weights takes 1 / (1 - {FASTER}) of the time of the multiply-adds: on a device "
           f"whose main memory gives fewer bytes for each multiply-add that it reaches than the last column of each mode says.\n")
    for study in studies:
        yield from bound(study)
    rows = max((study["predicted"] for study in studies), key=len)
    archs = values(rows, "arch")
    lines = []
    for device in values(rows, "device"):
        for mode in MODES:
            cells = [find(rows, device=device)["title"], mode]
            for arch in archs:
                dense, few = (find(rows, device=device, arch=arch, weights=weights, mode=mode, batch=1) for weights in ("dense f32", "64 clusters"))
                cells.append(f"{dense['ms'] / few['ms']:.2f}x ({percent(dense['memory_bound_share'])}, {percent(few['memory_bound_share'])})"
                             if dense and few else NOT_TESTED)
            lines.append(cells)
    yield ("Predicted, on all cores, batch 1: the time of dense weights over that of 64 clusters in the same arithmetic, and in brackets the share of the time that is "
           "bound by memory, dense and clustered:\n")
    yield table(["device (predicted)", "arithmetic", *archs], lines, left=2) + "\n"


def predicted(studies):
    rows = max((study["predicted"] for study in studies), key=len)
    yield "## Predicted: other devices\n"
    yield ("Nothing here was measured. Each number is predicted from the description of the device, on all of its cores; [devices.md](devices.md) says how far such numbers can be "
           "trusted: of another class than the server on which the kernels were calibrated, the order of magnitude and the shape. All is for one image, "
           "bytes and energy at batch 1.\n")
    for device in values(rows, "device"):
        lines = []
        for arch in values(rows, "arch"):
            for weights in WEIGHTS:
                cells = [arch, weights]
                for mode in MODES:
                    found = {batch: find(rows, device=device, arch=arch, weights=weights, mode=mode, batch=batch) for batch in values(rows, "batch")}
                    if not all(found.values()):
                        break
                    cells += [number(row["ms"] / batch) for batch, row in found.items()]
                    cells += [mib(found[1]["dram_bytes"]), number(found[1]["mj_lower_bound"]), percent(found[1]["memory_bound_share"])]
                if len(cells) > 2:
                    lines.append(cells)
        head = ["model", "weights"]
        for mode in MODES:
            times = [f"ms, batch {batch} (predicted)" for batch in values(rows, "batch")]
            head += [f"{mode}: {times[0]}", *times[1:], "DRAM MiB", "mJ at the least", "bound by memory"]
        yield f"<details><summary>{find(rows, device=device)['title']}</summary>\n"
        yield table(head, lines, left=2) + "\n"
        yield "</details>\n"


def page(studies):
    yield from intro(studies)
    yield from in_short(studies)
    yield from claims(studies)
    yield from accuracy()
    for study in studies:
        yield from measured(study)
    yield from reasons(studies)
    yield from predicted(studies)


# ---- parts of a study -------------------------------------------------------------------------------------------


def join(parts, title):
    """One study; of rows that several parts have, those of the last."""
    keys = ("device", "arch", "weights", "mode", "threads", "batch")
    whole = {"lutra": parts[-1]["lutra"], "quick": any(part["quick"] for part in parts), "machine": dict(parts[0]["machine"])}
    for part in parts:
        if part["machine"] != parts[0]["machine"]:
            sys.exit("these are parts of several machines' studies")
    if title:
        whole["machine"]["title"] = title
    for kind in ("measured", "predicted"):
        rows = {tuple(row.get(key) for key in keys): row for part in parts for row in part[kind]}
        whole[kind] = list(rows.values())
    return whole


def one_row_a_line(study):
    lists = ("measured", "predicted")
    text = json.dumps({key: value for key, value in study.items() if key not in lists}, indent=1)[:-2]
    for kind in lists:
        text += f',\n "{kind}": [\n' + ",\n".join("  " + json.dumps(row) for row in study[kind]) + "\n ]"
    return text + "\n}\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", nargs="*", type=pathlib.Path)
    parser.add_argument("--join", action="store_true", help="put the parts of one machine's study together")
    parser.add_argument("--title", help="with --join: what the machine is")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=None)
    arguments = parser.parse_args()
    paths = arguments.measurements or sorted((ROOT / "data/measurements").glob("*.json"))
    if not paths:
        sys.exit("no measurements: run lutra study -o data/measurements/NAME.json first")
    studies = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if arguments.join:
        if not arguments.output:
            sys.exit("--join needs -o FILE")
        arguments.output.write_text(one_row_a_line(join(studies, arguments.title)), encoding="utf-8")
        return
    output = arguments.output or ROOT / "docs/study.md"
    output.write_text("\n".join(page(studies)), encoding="utf-8")
    print(f"{output}: {len(studies)} machine{'s' if len(studies) > 1 else ''}")


if __name__ == "__main__":
    main()
