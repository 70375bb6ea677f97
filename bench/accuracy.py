#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what clustering costs, with and without calibration, on pictures that calibration has not seen.

    python bench/accuracy.py --lutra build/tools/lutra --images DIR --labels labels.tsv -o accuracy.json \\
        --model DeiT-Tiny=deit_tiny_patch16_224.safetensors [--clusters 64 16 8] [--page docs/accuracy.md] [--plot KL.svg]

Every fourth picture (fold 0, 1, 2, 3 in turn; with --folds 1 the first alone) calibrates a model that is then judged on the
other three quarters; the folds' judgements are pooled. Uncalibrated models are judged on the same pictures, as often. The
figures are from every class's probability of every picture; KL is from the dense model to the clustered one, in nats, with
the 95 % interval of 2,000 bootstrap samples over pictures. What OUT has already, in as many folds or more and on as many
pictures or more of a fold, is kept: a run may be continued, and other models, with other pictures, be added. bench/accuracy
runs this for all that docs/accuracy.md shows. Needs numpy, and matplotlib for --plot.
"""
import argparse
import csv
import itertools
import json
import math
import pathlib
import subprocess
import tempfile

import numpy

END = "<!-- end -->"


class Pictures:
    def __init__(self, folder, table):
        with open(table, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        self.paths = [str(folder / row["file"]) for row in rows]
        self.truth = numpy.array([int(row["class_index"]) for row in rows])


def run(*command):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


class Bench:
    def __init__(self, options, folder):
        self.options = options
        self.folder = pathlib.Path(folder)
        self.pictures = Pictures(options.images, options.labels)

    def listed(self, which):
        """An argument that names these pictures."""
        path = self.folder / "list.txt"
        path.write_text("".join(self.pictures.paths[i] + "\n" for i in which))
        return f"@{path}"

    def log_probabilities(self, model, which, mode):
        """[pictures][classes]"""
        results = json.loads(run(self.options.lutra, "classify", model, self.listed(which), "--top", 1 << 20, "--mode", mode,
                                 "--json", "--quiet", "--threads", self.options.threads))
        log_p = numpy.full((len(results), len(results[0]["predictions"])), -numpy.inf)
        for row, result in zip(log_p, results):
            for prediction in result["predictions"]:
                row[prediction["index"]] = numpy.log(max(prediction["probability"], 1e-300))
        return log_p

    def calibrating(self, calibration, fold):
        """The list of pictures and how many of them to take."""
        if calibration["from"]:
            return calibration["from"], calibration["count"]
        mine = range(fold, len(self.pictures.paths), 4)
        return self.listed(mine), min(len(mine), calibration["count"])

    def cluster(self, model, key, fold):
        """Path, bytes and seconds."""
        path = self.folder / "clustered.safetensors"
        more = []
        if key["calibration"]:
            pictures, count = self.calibrating(key["calibration"], fold)
            more = ["--calibrate", pictures, "--calibrate-count", count]
        if key["codebook"] != "auto":
            more += ["--codebook", key["codebook"]]
        report = json.loads(run(self.options.lutra, "cluster", model, "-o", path, "--clusters", key["clusters"], "--scope",
                                key["scope"], "--json", "--quiet", "--threads", self.options.threads, *more))
        return path, report["bytes_out"], report["seconds"]

    def judge(self, dense, model, key, modes):
        """A row of figures for each of the modes."""
        n, folds = len(self.pictures.paths), self.options.folds
        of, judged, seconds, plain = [], {mode: [] for mode in modes}, 0, {}
        for fold in range(folds):
            rest = [i for i in range(n) if i % 4 != fold][::self.options.every]
            if key["calibration"] or fold == 0:
                path, size, took = self.cluster(model, key, fold)
                seconds += took / (folds if key["calibration"] else 1)
            for mode in modes:
                if key["calibration"] or folds == 1:
                    judged[mode].append(self.log_probabilities(path, rest, mode))
                    continue
                if mode not in plain:
                    plain[mode] = self.log_probabilities(path, range(n), mode)
                judged[mode].append(plain[mode][rest])
            of += rest
        return {mode: {**figures(dense[of], numpy.concatenate(judged[mode]), self.pictures.truth[of], numpy.array(of)),
                       "bytes": size, "cluster_seconds": seconds} for mode in modes}


def interval(values, pictures):
    """95 % of the means of bootstrap samples; a picture comes with all its judgements."""
    random = numpy.random.default_rng(0)
    n = pictures.max() + 1
    sums, counts = numpy.bincount(pictures, values, n), numpy.bincount(pictures, minlength=n)
    means = []
    for _ in range(2000):
        drawn = random.integers(0, n, n)
        means.append(sums[drawn].sum() / counts[drawn].sum())
    return [float(x) for x in numpy.quantile(means, [0.025, 0.975])]


def error_of_mean(values, pictures):
    low, high = interval(values, pictures)
    return (high - low) / 3.92


def right(log_p, truth, top):
    rank = (log_p > log_p[numpy.arange(len(truth)), truth][:, None]).sum(1)
    return rank < top


def figures(dense, log_p, truth, pictures):
    kl = (numpy.exp(dense) * (dense - log_p)).sum(1)
    change = right(log_p, truth, 1).astype(float) - right(dense, truth, 1)
    agree = (log_p.argmax(1) == dense.argmax(1)).astype(float)
    return {
        "judgements": len(truth),
        "kl": float(kl.mean()),
        "kl_interval": interval(kl, pictures),
        "agreement": 100 * float(agree.mean()),
        "agreement_se": 100 * error_of_mean(agree, pictures),
        "top1": 100 * float(right(log_p, truth, 1).mean()),
        "top1_change": 100 * float(change.mean()),
        "top1_change_se": 100 * error_of_mean(change, pictures),
        "top5": 100 * float(right(log_p, truth, 5).mean()),
        "nll": float(-log_p[numpy.arange(len(truth)), truth].mean()),
    }


def calibration_name(row):
    if not row["calibration"]:
        return "no"
    return f"{row['calibration']['count']} {row['calibration']['name']}".strip()


def order(row):
    calibrated = -row["calibration"]["count"] if row["calibration"] else -math.inf
    return (row["model"], ["row", "tensor", "model"].index(row["scope"]), -row["clusters"], calibrated, calibration_name(row),
            row["mode"], row["codebook"])


COLUMNS = {
    "model": lambda r: r["model"],
    "clusters": lambda r: str(r["clusters"]),
    "scope": lambda r: r["scope"],
    "codebook": lambda r: r["codebook"],
    "calibrated": lambda r: "yes" if r["calibration"] else "no",
    "calibration": calibration_name,
    "arithmetic": lambda r: r["mode"],
    "bytes": lambda r: f"{r['bytes']:,}",
    "judged": lambda r: f"{r['judgements']:,}",
    "KL (95 %)": lambda r: "{:.5f} ({:.5f} - {:.5f})".format(r["kl"], *r["kl_interval"]),
    "agreement": lambda r: f"{r['agreement']:.1f} ± {r['agreement_se']:.1f} %",
    "top-1 change": lambda r: f"{r['top1_change']:+.2f} ± {r['top1_change_se']:.2f}",
    "top-1": lambda r: f"{r['top1']:.2f} %",
    "top-5": lambda r: f"{r['top5']:.2f} %",
    "NLL": lambda r: f"{r['nll']:.4f}",
}
FIGURES = ["judged", "KL (95 %)", "agreement", "top-1 change", "top-1", "top-5", "NLL"]
# What a page shows where, and which columns: "table" all that is clustered as `lutra cluster` does it by itself.
TABLES = {
    "table": (["model", "clusters", "scope", "calibrated", "arithmetic", "bytes"] + FIGURES,
              lambda r: r["codebook"] == "auto" and usual(r)),
    "pictures": (["model", "clusters", "calibration"] + FIGURES[:4],
                 lambda r: r["codebook"] == "auto" and not usual(r)),
    "codebook": (["model", "clusters", "scope", "calibrated", "codebook"] + FIGURES[:4], lambda r: r["codebook"] != "auto"),
}


def usual(row):
    return not row["calibration"] or row["calibration"]["usual"]


def table(rows, columns):
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join(lines + ["| " + " | ".join(COLUMNS[c](row) for c in columns) + " |" for row in sorted(rows, key=order)])


def write_page(path, rows, picture):
    text = path.read_text()
    for name, (columns, wanted) in TABLES.items():
        begin = f"<!-- made by bench/accuracy.py: {name} -->"
        before, rest = text.split(begin)
        chosen = list(filter(wanted, rows))
        made = table(chosen, columns) if chosen else "Not measured yet."
        if picture and name == "table":
            made = f"![Size against KL]({picture.name})\n\n" + made
        text = before + begin + "\n\n" + made + "\n\n" + END + rest.split(END, 1)[1]
    path.write_text(text)


def plot(path, rows):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lutra"  # the same figures, the same file
    from matplotlib import pyplot
    models = sorted({r["model"] for r in rows})
    figure, axes = pyplot.subplots(1, len(models), figsize=(1 + 4.2 * len(models), 4.2), sharey=True, squeeze=False)
    for ax, model in zip(axes[0], models):
        for scope, colour in (("row", "C0"), ("tensor", "C1"), ("model", "C2")):
            for calibrated in (False, True):
                points = sorted((r["bytes"] / 2**20, r["kl"]) for r in rows if r["model"] == model and r["scope"] == scope and
                                r["mode"] == "f32" and r["codebook"] == "auto" and usual(r) and
                                bool(r["calibration"]) == calibrated)
                if points:
                    ax.plot(*zip(*points), marker="o", markersize=4, color=colour, linestyle="-" if calibrated else "--",
                            label=f"{scope}, {'calibrated' if calibrated else 'plain'}")
        ax.set(title=model, xlabel="size of the file, MiB", yscale="log")
        ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("KL from the dense model, nats")
    axes[0][-1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def save(path, rows):
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(rows, indent=1) + "\n")
    partial.replace(path)


def keys(options, name):
    """What is to be clustered and judged."""
    calibration = {"count": options.calibrate_count, "name": "", "from": None,
                   "usual": options.calibrate_count >= 125 and not options.calibrate_from}
    if options.calibrate_from:
        calibration["name"], calibration["from"] = options.calibrate_from.split("=", 1)
    for scope, clusters, kind, codebook in itertools.product(options.scope, options.clusters, options.kind, options.codebook):
        yield {"model": name, "clusters": clusters, "scope": scope, "codebook": codebook,
               "calibration": calibration if kind == "calibrated" else None}


def counts(row, key, options):
    return key.items() <= row.items() and row["folds"] >= options.folds and row["every"] <= options.every


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lutra", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--labels", type=pathlib.Path, required=True)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--clusters", type=int, nargs="+", default=[256, 128, 64, 32, 16, 8, 4])
    parser.add_argument("--scope", nargs="+", default=["row"])
    parser.add_argument("--mode", nargs="+", default=["f32"])
    parser.add_argument("--kind", nargs="+", default=["plain", "calibrated"], choices=["plain", "calibrated"])
    parser.add_argument("--folds", type=int, default=4, help="how many of the four folds to run")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="judge every Nth of the pictures to be judged")
    parser.add_argument("--calibrate-count", type=int, default=125, metavar="N", help="of a fold's pictures, at most")
    parser.add_argument("--calibrate-from", metavar="NAME=DIR", help="calibrate with other pictures than the fold's")
    parser.add_argument("--codebook", nargs="+", default=["auto"], choices=["auto", "i8", "f32"], help="as for lutra cluster")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--page", type=pathlib.Path, help="replace the tables in this page, and show --plot there")
    parser.add_argument("--plot", type=pathlib.Path)
    options = parser.parse_args()
    rows = json.loads(options.output.read_text()) if options.output.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        for name, model in (text.split("=", 1) for text in options.model):
            dense = None
            for key in keys(options, name):
                modes = [mode for mode in options.mode if not any(counts(row, {**key, "mode": mode}, options) for row in rows)]
                if not modes:
                    continue
                if dense is None:
                    dense = bench.log_probabilities(model, range(len(bench.pictures.paths)), "f32")
                judged = bench.judge(dense, model, key, modes)
                for mode in modes:
                    rows = [row for row in rows if not {**key, "mode": mode}.items() <= row.items()]
                    rows.append({**key, "mode": mode, "folds": options.folds, "every": options.every, **judged[mode]})
                    print(table(rows[-1:], list(COLUMNS)).splitlines()[-1], flush=True)
                save(options.output, rows)
    if options.page:
        write_page(options.page, rows, options.plot)
    if options.plot:
        plot(options.plot, rows)


if __name__ == "__main__":
    main()
