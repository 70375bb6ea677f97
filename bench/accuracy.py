#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what clustering costs, with and without calibration, on pictures that calibration has not seen.

    python bench/accuracy.py --lutra build/tools/lutra --images DIR --labels labels.tsv -o accuracy.json \\
        --model DeiT-Tiny=deit_tiny_patch16_224.safetensors [--clusters 64 16 8] [--page docs/accuracy.md] [--plot KL.svg]

Every fourth picture (fold 0, 1, 2, 3 in turn; with --folds 1 the first alone) calibrates a model that is then judged on the
other three quarters; the folds' judgements are pooled. Uncalibrated models are judged on the same pictures, as often. The
figures are from every class's probability of every picture; KL is from the dense model to the clustered one, in nats, with
the 95 % interval of 2,000 bootstrap samples over pictures. What OUT has already, in as many folds or more, is kept: a run may
be continued, and other models, with other pictures, be added. bench/accuracy runs this for all that docs/accuracy.md shows.
Needs numpy, and matplotlib for --plot.
"""
import argparse
import csv
import json
import pathlib
import subprocess
import tempfile

import numpy

BEGIN, END = "<!-- made by bench/accuracy.py -->", "<!-- end -->"


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

    def cluster(self, model, clusters, scope, calibration):
        """Path, bytes and seconds."""
        path = self.folder / "clustered.safetensors"
        count = min(len(calibration), self.options.calibrate_count)
        more = ["--calibrate", self.listed(calibration), "--calibrate-count", count] if calibration else []
        if self.options.codebook:
            more += ["--codebook", self.options.codebook]
        report = json.loads(run(self.options.lutra, "cluster", model, "-o", path, "--clusters", clusters, "--scope", scope,
                                "--json", "--quiet", "--threads", self.options.threads, *more))
        return path, report["bytes_out"], report["seconds"]

    def judge(self, dense, model, clusters, scope, calibrated, modes):
        """A row of figures for each of the modes."""
        n, folds = len(self.pictures.paths), self.options.folds
        of, judged, seconds, plain = [], {mode: [] for mode in modes}, 0, {}
        if not calibrated:
            path, size, seconds = self.cluster(model, clusters, scope, [])
        for fold in range(folds):
            mine = [i for i in range(n) if i % 4 == fold]
            rest = [i for i in range(n) if i % 4 != fold][::self.options.every]
            if calibrated:
                path, size, took = self.cluster(model, clusters, scope, mine)
                seconds += took / folds
            for mode in modes:
                if calibrated or folds == 1:
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


def table(rows):
    lines = ["| model | clusters | scope | calibrated | arithmetic | bytes | judged | KL (95 %) | agreement | top-1 change | top-1 | top-5 | NLL |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in sorted(rows, key=lambda r: (r["model"], r["scope"] != "row", r["scope"] != "tensor", -r["clusters"], r["calibrated"], r["mode"])):
        low, high = r["kl_interval"]
        lines.append(f"| {r['model']} | {r['clusters']} | {r['scope']} | {'yes' if r['calibrated'] else 'no'} | {r['mode']} | "
                     f"{r['bytes']:,} | {r['judgements']:,} | {r['kl']:.5f} ({low:.5f} - {high:.5f}) | {r['agreement']:.1f} ± {r['agreement_se']:.1f} % | "
                     f"{r['top1_change']:+.2f} ± {r['top1_change_se']:.2f} | {r['top1']:.2f} % | {r['top5']:.2f} % | {r['nll']:.4f} |")
    return "\n".join(lines)


def write_page(path, rows):
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(before + BEGIN + "\n\n" + table(rows) + "\n\n" + END + rest.split(END)[1])


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
                                r["calibrated"] == calibrated and r["mode"] == "f32")
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
    parser.add_argument("--codebook", choices=["i8", "f32"], help="as for lutra cluster")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--page", type=pathlib.Path, help="replace the table in this page")
    parser.add_argument("--plot", type=pathlib.Path)
    options = parser.parse_args()
    rows = json.loads(options.output.read_text()) if options.output.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, folder)
        for name, model in (text.split("=", 1) for text in options.model):
            dense = None
            for scope, clusters, kind in ((s, c, k) for s in options.scope for c in options.clusters for k in options.kind):
                key = {"model": name, "clusters": clusters, "scope": scope, "calibrated": kind == "calibrated"}
                modes = [mode for mode in options.mode if not any({**key, "mode": mode}.items() <= row.items() and
                                                                  row["folds"] >= options.folds for row in rows)]
                if not modes:
                    continue
                if dense is None:
                    dense = bench.log_probabilities(model, range(len(bench.pictures.paths)), "f32")
                judged = bench.judge(dense, model, clusters, scope, key["calibrated"], modes)
                for mode in modes:
                    rows = [row for row in rows if not {**key, "mode": mode}.items() <= row.items()]
                    rows.append({**key, "mode": mode, "folds": options.folds, **judged[mode]})
                    print(table(rows[-1:]).splitlines()[-1], flush=True)
                save(options.output, rows)
    if options.page:
        write_page(options.page, rows)
    if options.plot:
        plot(options.plot, rows)


if __name__ == "__main__":
    main()
