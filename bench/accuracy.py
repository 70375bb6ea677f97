#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what clustering costs, with and without calibration, on pictures that calibration has not seen.

    python bench/accuracy.py --lutra build/tools/lutra --images DIR --labels labels.tsv --page accuracy.md \\
        --model DeiT-Tiny=deit_tiny_patch16_224.safetensors [--clusters 64 16 8] [--plot KL.svg]

Every fourth picture (fold 0, 1, 2, 3 in turn; with --folds 1 the first alone) calibrates a model that is then judged on the
other three quarters; the folds' judgements are pooled. Uncalibrated models are judged on the same pictures, as often. The
figures are from every class's probability of every picture; KL is from the dense model to the clustered one, in nats, with
the 95 % interval of 2,000 bootstrap samples over pictures. Each row goes into its table of the page at once. A row that the
page has already, of as many judgements or more, is not measured again: a run may be continued, and other models, with other
pictures, be added. bench/accuracy runs this for all that docs/accuracy.md shows. Needs numpy, and matplotlib for --plot.
"""
import argparse
import csv
import itertools
import json
import pathlib
import subprocess
import tempfile

import numpy

BEGIN = "<!-- made by bench/accuracy.py: {} -->"
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

    def calibrating(self, fold):
        """The list of pictures and how many of them to take."""
        if self.options.calibrate_from:
            return self.options.calibrate_from.split("=", 1)[1], self.options.calibrate_count
        mine = range(fold, len(self.pictures.paths), 4)
        return self.listed(mine), min(len(mine), self.options.calibrate_count)

    def judging(self, fold):
        """Which pictures judge what this fold has calibrated."""
        return [i for i in range(len(self.pictures.paths)) if i % 4 != fold][::self.options.every]

    def cluster(self, model, key, fold):
        """Path and bytes."""
        path = self.folder / "clustered.safetensors"
        more = ["--codebook", key["codebook"]]
        if key["calibrated"] != "no":
            pictures, count = self.calibrating(fold)
            more += ["--calibrate", pictures, "--calibrate-count", count]
        report = json.loads(run(self.options.lutra, "cluster", model, "-o", path, "--clusters", key["clusters"], "--scope",
                                key["scope"], "--json", "--quiet", "--threads", self.options.threads, *more))
        return path, report["bytes_out"]

    def judge(self, dense, model, key, modes):
        """Figures for each of the modes."""
        folds = self.options.folds
        of, judged, plain = [], {mode: [] for mode in modes}, {}
        for fold in range(folds):
            rest = self.judging(fold)
            if key["calibrated"] != "no" or fold == 0:
                path, size = self.cluster(model, key, fold)
            for mode in modes:
                if key["calibrated"] != "no" or folds == 1:
                    judged[mode].append(self.log_probabilities(path, rest, mode))
                    continue
                if mode not in plain:
                    plain[mode] = self.log_probabilities(path, range(len(self.pictures.paths)), mode)
                judged[mode].append(plain[mode][rest])
            of += rest
        return {mode: {**figures(dense[of], numpy.concatenate(judged[mode]), self.pictures.truth[of], numpy.array(of)),
                       "bytes": size} for mode in modes}


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


SHOWN = {
    "bytes": lambda f: f"{f['bytes']:,}",
    "judged": lambda f: f"{f['judgements']:,}",
    "KL (95 %)": lambda f: "{:.5f} ({:.5f} - {:.5f})".format(f["kl"], *f["kl_interval"]),
    "agreement": lambda f: f"{f['agreement']:.1f} ± {f['agreement_se']:.1f} %",
    "top-1 change": lambda f: f"{f['top1_change']:+.2f} ± {f['top1_change_se']:.2f}",
    "top-1": lambda f: f"{f['top1']:.2f} %",
    "top-5": lambda f: f"{f['top5']:.2f} %",
    "NLL": lambda f: f"{f['nll']:.4f}",
}
BRIEFLY = ["judged", "KL (95 %)", "agreement", "top-1 change"]
# The tables of a page: their columns, and what all rows of one have in common.
TABLES = {
    "table": (["model", "clusters", "scope", "calibrated", "arithmetic", *SHOWN], {"codebook": "auto"}),
    "pictures": (["model", "clusters", "calibrated", *BRIEFLY], {"scope": "row", "codebook": "auto", "arithmetic": "f32"}),
    "codebook": (["model", "clusters", "scope", "calibrated", "codebook", *BRIEFLY], {"arithmetic": "f32"}),
}


def table_of(row):
    """Where it belongs: into "table" where it is clustered as `lutra cluster` does it by itself."""
    if row["codebook"] != "auto":
        return "codebook"
    return "table" if row["calibrated"] in ("no", "yes") else "pictures"


def order(row):
    count = row["calibrated"].split()[0]
    return (row["model"], ["row", "tensor", "model"].index(row["scope"]), -int(row["clusters"]),
            -int(count) if count.isdigit() else 0, row["calibrated"], row["arithmetic"], row["codebook"])


def line(cells):
    return "| " + " | ".join(cells) + " |"


def read_page(path):
    """Its rows, column by column as they stand there."""
    rows = []
    if path.exists():
        for name, (columns, common) in TABLES.items():
            made = path.read_text().split(BEGIN.format(name))[1].split(END)[0]
            rows += [{**common, **dict(zip(columns, text.strip("| ").split(" | "), strict=True))}
                     for text in made.strip().splitlines()[2:]]
    return rows


def write_page(path, rows):
    """Replaces the tables; a page that is not there yet has nothing else."""
    text = path.read_text() if path.exists() else "\n".join(f"{BEGIN.format(name)}\n{END}\n" for name in TABLES)
    for name, (columns, _) in TABLES.items():
        made = [line(row[column] for column in columns) for row in sorted(rows, key=order) if table_of(row) == name]
        before, rest = text.split(BEGIN.format(name))
        text = "\n".join([before + BEGIN.format(name), "", line(columns), "|---" * len(columns) + "|", *made, "",
                          END + rest.split(END, 1)[1]])
    partial = path.with_suffix(".part")
    partial.write_text(text)
    partial.replace(path)


def plot(path, rows):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lutra"  # the same figures, the same file
    from matplotlib import pyplot
    rows = [row for row in rows if table_of(row) == "table" and row["arithmetic"] == "f32"]
    models = sorted({row["model"] for row in rows})
    figure, axes = pyplot.subplots(1, len(models), figsize=(1 + 4.2 * len(models), 4.2), sharey=True, squeeze=False)
    for ax, model in zip(axes[0], models):
        for scope, colour in (("row", "C0"), ("tensor", "C1"), ("model", "C2")):
            for calibrated in ("no", "yes"):
                # what is shown as 0.00000 is drawn as the most that it can be
                points = sorted((int(row["bytes"].replace(",", "")) / 2**20, max(float(row["KL (95 %)"].split()[0]), 5e-6))
                                for row in rows if (row["model"], row["scope"], row["calibrated"]) == (model, scope, calibrated))
                if points:
                    ax.plot(*zip(*points), marker="o", markersize=4, color=colour, linestyle="-" if calibrated == "yes" else "--",
                            label=f"{scope}, {'calibrated' if calibrated == 'yes' else 'plain'}")
        ax.set(title=model, xlabel="size of the file, MiB", yscale="log")
        ax.grid(alpha=0.3)
    axes[0][0].set_ylabel("KL from the dense model, nats")
    axes[0][-1].legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def keys(options, name):
    """What is to be clustered and judged."""
    calibrated = "yes" if options.calibrate_count >= 125 else str(options.calibrate_count)
    if options.calibrate_from:
        calibrated = f"{options.calibrate_count} {options.calibrate_from.split('=', 1)[0]}"
    for scope, clusters, kind, codebook in itertools.product(options.scope, options.clusters, options.kind, options.codebook):
        yield {"model": name, "clusters": str(clusters), "scope": scope, "codebook": codebook,
               "calibrated": calibrated if kind == "calibrated" else "no"}


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
    parser.add_argument("--page", type=pathlib.Path, required=True, help="has the rows measured so far, and gets the others")
    parser.add_argument("--plot", type=pathlib.Path, help="draw all rows of the page")
    options = parser.parse_args()
    rows = read_page(options.page)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        judgements = sum(len(bench.judging(fold)) for fold in range(options.folds))
        for name, model in (text.split("=", 1) for text in options.model):
            dense = None
            for key in keys(options, name):
                wanted = {mode: {**key, "arithmetic": mode} for mode in options.mode}
                enough = [row for row in rows if int(row["judged"].replace(",", "")) >= judgements]
                modes = [mode for mode in wanted if not any(wanted[mode].items() <= row.items() for row in enough)]
                if not modes:
                    continue
                if dense is None:
                    dense = bench.log_probabilities(model, range(len(bench.pictures.paths)), "f32")
                for mode, judged in bench.judge(dense, model, key, modes).items():
                    rows = [row for row in rows if not wanted[mode].items() <= row.items()]
                    rows.append({**wanted[mode], **{column: show(judged) for column, show in SHOWN.items()}})
                    print(line(rows[-1].values()), flush=True)
                write_page(options.page, rows)
    if options.plot:
        plot(options.plot, rows)


if __name__ == "__main__":
    main()
