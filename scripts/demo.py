#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clusters a model, runs it beside the dense one and tabulates what that bought: what ./demo runs after building.

    scripts/demo.py ROOT BUILD [MODEL [IMAGES]]
"""
import ctypes
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT, BUILD = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
LUTRA = BUILD / "tools" / "lutra"
PICTURES = (".png", ".jpg", ".jpeg", ".webp")

# name in the tables | options of `lutra cluster` | compute mode
VARIANTS = [
    ("64 clusters", ["--clusters", "64"], "f32"),
    ("64 clusters, int8", ["--clusters", "64"], "int8"),
    ("16 clusters", ["--clusters", "16"], "f32"),
    ("64 as in the paper, per layer", ["--clusters", "64", "--scope", "tensor", "--codebook", "f32"], "f32"),
    ("64 as in the paper, whole model", ["--clusters", "64", "--scope", "model", "--codebook", "f32"], "f32"),
]


def say(text=""):
    print(text, flush=True)


def heading(text):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else ("", "")
    say(f"\n{bold}{text}{plain}")


def lutra(*arguments):
    """Runs the command; its standard output. Its messages pass through where it fails."""
    result = subprocess.run([LUTRA, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if result.returncode not in (0, 3):  # 3: some pictures could not be read
        sys.exit(f"{result.stderr}demo: lutra {arguments[0]} failed")
    return result.stdout


def modes():
    """The library's compute modes in the order of the header's enum: {"f32": 0, ...}."""
    header = (ROOT / "include" / "lutra" / "lutra.h").read_text(encoding="utf-8")
    names = re.search(r"typedef enum lutra_mode \{(.*?)\}", header, re.DOTALL).group(1)
    return {name.lower(): number for number, name in enumerate(re.findall(r"LUTRA_MODE_(\w+)", names))}


# ---- one run on one picture, timed through the library ------------------------------------------------------------

class Info(ctypes.Structure):
    """The beginning of lutra_model_info."""
    _fields_ = [(name, ctypes.c_char_p) for name in ("path", "arch", "arch_source", "family")] + \
        [(name, ctypes.c_size_t) for name in ("n_classes", "n_features", "input_bytes")]


class ContextOptions(ctypes.Structure):
    _fields_ = [("n_threads", ctypes.c_size_t), ("max_batch", ctypes.c_size_t), ("mode", ctypes.c_int),
                ("cpus", ctypes.POINTER(ctypes.c_size_t)), ("n_cpus", ctypes.c_size_t)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("offset", ctypes.c_uint64), ("path", ctypes.c_char * 512),
                ("message", ctypes.c_char * 768)]


class Runner:
    """An open model and its context; run() classifies one grey picture."""

    def __init__(self, library, path, mode):
        self.library, self.error = library, Error()
        self.model, self.context = ctypes.c_void_p(), ctypes.c_void_p()
        self.call(library.lutra_model_open, os.fsencode(path), None, ctypes.byref(self.model))
        options = ContextOptions(0, 1, mode)
        self.call(library.lutra_context_create, self.model, ctypes.byref(options), ctypes.byref(self.context))
        library.lutra_model_get_info.restype = ctypes.POINTER(Info)
        info = library.lutra_model_get_info(self.model).contents
        self.pixels = (ctypes.c_uint8 * info.input_bytes)(*([128] * info.input_bytes))
        self.logits = (ctypes.c_float * max(info.n_classes, 1))()
        self.features = (ctypes.c_float * info.n_features)()

    def call(self, function, *arguments):
        if function(*arguments, ctypes.byref(self.error)):
            sys.exit("demo: " + self.error.message.decode(errors="replace"))

    def run(self):
        self.call(self.library.lutra_context_run, self.context, self.pixels, ctypes.c_size_t(1), self.logits,
                  self.features)


def time_models(entries):
    """ms of the fastest run with one picture for each entry; they take turns, so that a busy machine slows all alike."""
    library = ctypes.CDLL(str(BUILD / "liblutra.so"))
    runners = [Runner(library, entry["path"], modes()[entry["mode"]]) for entry in entries]
    times = [[] for _ in runners]
    until = time.monotonic() + 2
    while len(times[0]) < 5 or time.monotonic() < until:
        for runner, own in zip(runners, times):
            runner.run()  # once to bring its weights into the cache, as a stream of frames would
            began = time.perf_counter()
            runner.run()
            own.append((time.perf_counter() - began) * 1e3)
    for entry, own in zip(entries, times):
        entry["ms"] = min(own)


# ---- models and what they answer -----------------------------------------------------------------------------------

def make_entries(model, work):
    """The dense model and each clustered variant of it: name, path, mode, bytes, weight bytes per picture."""
    work.mkdir(parents=True, exist_ok=True)
    entries = [{"name": "dense", "path": model, "mode": "f32"}]
    for name, options, mode in VARIANTS:
        if mode not in modes():
            continue
        path = work / ("-".join(option.lstrip("-") for option in options) + ".safetensors")
        if not any(entry["path"] == path for entry in entries):
            report = json.loads(lutra("cluster", model, "-o", path, *options, "--json"))
            say(f"  {name}: {report['bytes_in'] / 2**20:.2f} MiB -> {report['bytes_out'] / 2**20:.2f} MiB "
                f"in {report['seconds']:.2f} s")
        entries.append({"name": name, "path": path, "mode": mode})
    for entry in entries:
        report = json.loads(lutra("inspect", entry["path"], "--plan", "--json"))
        entry["bytes"] = report["model"]["file_bytes"]
        entry["weight_bytes"] = sum(step["weight_bytes"] for step in report["plan"])
        entry["n_classes"] = report["model"]["classes"]
        entry["machine"] = f"{report['threads']} threads, {report['isa']}"
    return entries


def shorter(path):
    return os.path.relpath(path) if path.is_relative_to(pathlib.Path.cwd()) else str(path)


def read_labels(table):
    """[(file, class)] of a table with a heading, its columns parted by tabs."""
    text = table.read_text(encoding="utf-8", errors="surrogateescape")  # a name may be any bytes
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        sys.exit(f"demo: {table}: is empty")
    columns = lines[0].split("\t")
    for name in ("file", "class_index"):
        if name not in columns:
            sys.exit(f"demo: {table}: its first line names no column '{name}'")
    file, label = columns.index("file"), columns.index("class_index")
    found = []
    for cells in (line.split("\t") for line in lines[1:]):
        if len(cells) <= max(file, label) or not re.fullmatch("[0-9]+", cells[label]):
            sys.exit(f"demo: {table}: no file and class_index in {cells}")
        found.append((cells[file], int(cells[label])))
    return found


def can_be_listed(path):
    """A list of pictures has one a line, and all in a folder that it names."""
    return not set("\n\r\0") & set(str(path)) and not path.is_dir()


def pictures_of(folder, n_classes, limit):
    """[(path, class or None)]: by labels.tsv, by one folder per class, or of unknown class."""
    table = folder / "labels.tsv"
    if table.is_file():
        found = [(folder / file, label) for file, label in read_labels(table)]
    else:
        classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
        label_of = {name: label for label, name in enumerate(classes)} if len(classes) == n_classes else {}
        found = [(path, label_of.get(path.relative_to(folder).parts[0]))
                 for path in sorted(folder.rglob("*")) if path.suffix.lower() in PICTURES]
    listed = [(path, label) for path, label in found if can_be_listed(path)]
    if len(listed) < len(found):
        say(f"  left out: {len(found) - len(listed)} that are folders, or have an end of a line in their names")
    count = min(len(listed), limit)
    return [listed[number * len(listed) // count] for number in range(count)]  # spread over the classes


def answers(entry, pictures, work):
    """{picture: the most probable class}; a picture that cannot be read is missing."""
    names = work / "pictures.txt"
    names.write_bytes(b"".join(os.fsencode(path) + b"\n" for path in pictures))
    report = json.loads(lutra("classify", entry["path"], f"@{names}", "--top", "1", "--json", "--quiet",
                              "--mode", entry["mode"]))
    # By their order: JSON cannot tell names that are not UTF-8.
    return {str(path): item["predictions"][0] for path, item in zip(pictures, report, strict=True) if item["predictions"]}


def evaluate(entries, pictures, work):
    """Top-1 where classes are known, agreement with the dense model, change of top-1 with its standard error."""
    truth = {str(path): label for path, label in pictures}
    for entry in entries:
        entry["answers"] = {name: best["index"] for name, best in answers(entry, list(truth), work).items()}
    dense = entries[0]["answers"]
    for entry in entries:
        own = entry["answers"]
        both = [name for name in dense if name in own]
        entry["agreement"] = 100 * sum(own[name] == dense[name] for name in both) / max(len(both), 1)
        labelled = [name for name in both if truth[name] is not None]
        if labelled:
            change = [(own[name] == truth[name]) - (dense[name] == truth[name]) for name in labelled]
            mean = sum(change) / len(change)
            variance = sum((value - mean) ** 2 for value in change) / max(len(change) - 1, 1)
            entry["top1"] = 100 * sum(own[name] == truth[name] for name in labelled) / len(labelled)
            entry["change"], entry["change_se"] = 100 * mean, 100 * math.sqrt(variance / len(change))


def measure_costs(entries):
    """Bytes from memory and energy: modelled and bounded everywhere, and as hardware counts them and a meter tells; None where it does not."""
    for entry in entries:
        report = json.loads(lutra("profile", entry["path"], "--mode", entry["mode"], "--repeat", "20", "--quick", "--json", "--quiet"))
        entry["modelled"], entry["cache"] = report["traffic"]["modelled_bytes"], report["traffic"]["modelled_cache_bytes"]
        entry["counted"], entry["mj"] = report["traffic"]["counted_bytes"], report["energy"]["mj_per_inference"]
        entry["least_mj"], entry["meter"] = report["energy"]["lower_bound_mj"], report["energy"]["source"]


# ---- tables --------------------------------------------------------------------------------------------------------

def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) if column == 0 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths))]
        say("  " + "  ".join(cells).rstrip())
        if number == 0:
            say("  " + "  ".join("-" * width for width in widths))


def measured(entries, name):
    return all(entry.get(name) is not None for entry in entries)


def add_costs(entries, rows):
    """A column for each cost that is known."""
    for name, title, unit in (("modelled", "modelled MiB", 2**20), ("counted", "counted MiB", 2**20), ("least_mj", "mJ at least", 1), ("mj", "mJ", 1)):
        if measured(entries, name):
            rows[0].append(title)
            for row, entry in zip(rows[1:], entries):
                row.append(f"{entry[name]:.3g}" if unit == 1 else f"{entry[name] / unit:.2f}")


def results_table(entries, n_pictures):
    rows = [["", "file MiB", "ratio", "top-1 %", "agreement %", "ms", "weights read MiB"]]
    for entry in entries:
        rows.append([entry["name"], f"{entry['bytes'] / 2**20:.2f}", f"{entries[0]['bytes'] / entry['bytes']:.2f}x",
                     f"{entry['top1']:.2f}" if "top1" in entry else "-",
                     f"{entry['agreement']:.2f}" if "agreement" in entry else "-",
                     f"{entry['ms']:.2f}", f"{entry['weight_bytes'] / 2**20:.2f}"])
    add_costs(entries, rows)
    print_table(rows)
    say(f"  ms: one picture from pixels to classes, {entries[0]['machine']}, the fastest of many (caches warm), the models taking turns;")
    say("  dense is Lutra's own f32 path (bench/ compares with other engines).")
    if n_pictures:
        say(f"  top-1 and agreement with the dense model: {n_pictures} pictures.")
    say("  weights read: what one picture must bring in at least, counted from the plan (lutra inspect --plan), not measured.")
    if measured(entries, "modelled"):
        say(f"  modelled: what one run behind another brings from main memory past a last cache of {entries[0]['cache'] / 2**20:g} MiB,")
        say("  by the plan's model of the caches (lutra profile), not measured.")
    if measured(entries, "counted"):
        say("  counted: what the last cache missed, by the processor's own counter (lutra profile).")
    if measured(entries, "least_mj"):
        say("  mJ at least: what the bare operations and the modelled bytes take (docs/devices.md), a bound from below; a machine takes many times that.")
    if measured(entries, "mj"):
        say(f"  mJ: energy of one picture beyond what the machine draws when idle, by {entries[0]['meter']} (lutra profile --quick).")


def by_name(entries, name):
    return next((entry for entry in entries if entry["name"] == name), None)


def claims_table(entries):
    heading("The paper's claims for 64 clusters (arXiv 2106.16006), and this machine")
    dense, *others = entries
    rows = [["", "weights from memory", "speed", "top-1 lost"],
            ["the paper's claim", "over 4x less", "up to +22 %", "under 0.1 %"]]
    columns = [entry for entry in others if entry["name"] != "16 clusters"]
    rows += [[entry["name"], f"{dense['weight_bytes'] / entry['weight_bytes']:.2f}x less (counted)",
              f"{100 * (dense['ms'] / entry['ms'] - 1):+.0f} %",
              f"{0.0 - entry['change']:.2f} +- {entry['change_se']:.2f} points" if "change" in entry else "-"]
             for entry in columns]
    untested = []
    for name, title, claim, cell, where in (
            ("mj", "energy", "39 % less", lambda part: f"{100 * (1 - part):.0f} % less",
             "energy (claim: 39 % less on a mobile device): not tested here. Where there is a meter:"),
            ("counted", "memory traffic", "over 4x less", lambda part: f"{1 / part:.2f}x less" if part else "-",
             "memory traffic as hardware counts it: not tested here. Where the processor's counters may be read:")):
        if measured(entries, name) and dense[name]:
            for row, text in zip(rows, [title, claim, *(cell(entry[name] / dense[name]) for entry in columns)]):
                row.append(text)
        else:
            untested.append(where)
    print_table(rows)
    for where in untested:
        say(f"  {where}")
        say(f"    {shorter(LUTRA)} profile {shorter(columns[0]['path'])} --against {shorter(dense['path'])}")


# ---- the demonstration ---------------------------------------------------------------------------------------------

def read_line(entries, folder, work):
    expected = (folder / "line.txt").read_text(encoding="utf-8").strip()
    # The model names its classes in words; the table of the test pictures knows the character of each.
    table = (folder.parent / "test" / "labels.tsv").read_text(encoding="utf-8").splitlines()
    columns = table[0].split("\t")
    character = {int(cells[columns.index("class_index")]): cells[columns.index("name")]
                 for cells in (line.split("\t") for line in table[1:])}
    crops = sorted(folder.glob("*.png"))
    heading("A line of text in a font that was never trained on, read crop by crop")
    say(f"  {'it says':32}{expected}")
    for name in ("dense", "64 clusters", "16 clusters"):
        best = answers(by_name(entries, name), crops, work)
        say(f"  {name:32}{''.join(character.get(best[str(path)]['index'], '?') for path in crops)}")


def show(title, model, images, limit, work, examples):
    heading(title)
    entries = make_entries(model, work)
    n_classes = entries[0]["n_classes"]
    pictures = pictures_of(images, n_classes, limit) if images and n_classes else []
    if images and not pictures:
        say(f"  no pictures to classify in {images}" if n_classes else "  the model has no head to classify with")
    if pictures:
        heading(f"Pictures, classified by the model with 64 clusters ({shorter(entries[1]['path'])})")
        chosen = [path for path, _ in pictures[::max(len(pictures) // examples, 1)][:examples]]
        subprocess.run([LUTRA, "classify", entries[1]["path"], *chosen, "--top", "3", "--draw", "--mode", entries[1]["mode"], "--quiet"], check=False)
    if images and (images.parent / "line" / "line.txt").exists():
        read_line(entries, images.parent / "line", work)
    if pictures:
        evaluate(entries, pictures, work)
    time_models(entries)
    measure_costs(entries)
    heading("What it bought")
    results_table(entries, len(pictures))
    claims_table(entries)


def random_clustered(arch):
    """A file of random weights in 64 clusters: seconds of work for a large model, so it is kept for the next time."""
    path = BUILD / "random" / f"{arch}.safetensors"
    if not path.exists() or path.stat().st_mtime < LUTRA.stat().st_mtime:
        path.parent.mkdir(exist_ok=True)
        dense = path.with_suffix(".dense.safetensors")
        try:
            lutra("random", "--arch", arch, "-o", dense)
            lutra("cluster", dense, "--arch", arch, "--clusters", "64", "-o", path)
        finally:
            dense.unlink(missing_ok=True)
    return path


def sizes():
    """DeiT in three sizes with random weights: speed and traffic do not depend on what the weights say."""
    heading("DeiT in three sizes on this machine, random weights: dense f32 beside 64 clusters in int8")
    rows = [["", "dense f32 ms", "64 clusters int8 ms", "times as fast", "weights read MiB"]]
    for size, repeats in (("tiny", 6), ("small", 6), ("base", 3)):
        found = json.loads(lutra("bench", random_clustered(f"deit_{size}_patch16_224"), "--mode", "f32,int8", "--dense",
                                 "--repeat", repeats, "--json", "--quiet"))
        dense = next(row for row in found if not row["clusters"] and row["mode"] == "f32")
        small = next(row for row in found if row["clusters"] and row["mode"] == "int8")
        ratio = next(ratio["median"] for ratio in small["over_dense"] if ratio["dense_mode"] == "f32")
        rows.append([f"DeiT-{size.capitalize()}", f"{dense['median_ms']:.1f}", f"{small['median_ms']:.1f}",
                     f"{1 / ratio:.2f}", f"{dense['weight_bytes'] / 2**20:.1f} -> {small['weight_bytes'] / 2**20:.1f}"])
    print_table(rows)


def main():
    sys.stdout.reconfigure(errors="backslashreplace")  # names may be any bytes
    if len(sys.argv) > 3:
        images = pathlib.Path(sys.argv[4]).resolve() if len(sys.argv) > 4 else None
        if images and not images.is_dir():
            sys.exit(f"demo: {images}: is not a folder of pictures")
        show(f"Clustering {sys.argv[3]}", pathlib.Path(sys.argv[3]).resolve(), images, 500, BUILD / "own", 3)
        return
    embedded = pathlib.Path(os.environ.get("LUTRA_DATA_DIR", ROOT / "data")) / "embedded"
    shared = pathlib.Path(os.environ.get("LUTRA_SHARED", ROOT.parent / "shared"))
    deit = shared / "models" / "deit_tiny_patch16_224.safetensors"
    shown = False
    if (embedded / "model.safetensors").exists():
        show("Clustering the embedded model: characters in fonts it never saw", embedded, embedded / "test", 1000,
             BUILD / "embedded", 3)
        shown = True
    if deit.exists():
        show("Clustering DeiT-Tiny, trained on ImageNet-1k", deit, shared / "images" / "imagenet-sample", 40,
             BUILD / "deit", 2)
        shown = True
    if not shown:
        sys.exit(f"demo: there is no model: neither {embedded}/model.safetensors nor {deit}.\n"
                 "Name one of your own: ./demo MODEL [IMAGES]")
    sizes()
    heading("Next, with your own model")
    say("  ./demo MODEL [IMAGES]                              this table for it (README.md says where to get models)")
    say("  build/demo/tools/lutra cluster MODEL -o small.safetensors --clusters 64")
    say("  build/demo/tools/lutra classify small.safetensors PICTURE...")
    say("  build/demo/tools/lutra eval small.safetensors --images DIR --labels labels.tsv --against MODEL")


if __name__ == "__main__":
    main()
