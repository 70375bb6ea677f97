#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what clustering costs, with and without calibration, on pictures that calibration has not seen.

    python bench/accuracy.py --lutra build/tools/lutra --images DIR --labels labels.tsv -o accuracy.json \\
        --model DeiT-Tiny=deit_tiny_patch16_224.safetensors [--clusters 64 16 8] [--page docs/accuracy.md] [--plot KL.svg]

Every fourth picture (fold 0, 1, 2, 3 in turn) calibrates a model that is then judged on the other three quarters; the
folds' judgements are pooled. Uncalibrated models are judged on the same pictures, as often. The figures are from every class's
probability of every picture; KL is from the dense model to the clustered one, in nats, with the 95 % interval of 2,000
bootstrap samples over pictures. What OUT already has is kept, so that a run may be continued. Needs numpy, and
matplotlib for --plot.
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
        more = ["--calibrate", self.listed(calibration), "--calibrate-count", len(calibration)] if calibration else []
        report = json.loads(run(self.options.lutra, "cluster", model, "-o", path, "--clusters", clusters, "--scope", scope,
                                "--json", "--quiet", "--threads", self.options.threads, *more))
        return path, report["bytes_out"], report["seconds"]

    def judge(self, dense, model, clusters, scope, calibrated, mode):
        n = len(self.pictures.paths)
        judged, of, seconds, plain = [], [], 0, None
        for fold in range(self.options.folds):
            mine = [i for i in range(n) if i % 4 == fold]
            rest = [i for i in range(n) if i % 4 != fold]
            if calibrated:
                path, size, took = self.cluster(model, clusters, scope, mine)
                judged.append(self.log_probabilities(path, rest, mode))
                seconds += took / self.options.folds
            else:
                if plain is None:
                    path, size, seconds = self.cluster(model, clusters, scope, [])
                    plain = self.log_probabilities(path, range(n), mode)
                judged.append(plain[rest])
            of += rest
        return {**figures(dense[of], numpy.concatenate(judged), self.pictures.truth[of], numpy.array(of)), "bytes": size,
                "cluster_seconds": seconds}


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
    lines = ["| model | clusters | scope | calibrated | arithmetic | bytes | KL (95 %) | agreement | top-1 change | top-1 | top-5 | NLL |",
             "|---|---|---|---|---|---|---|---|---|---|---|---|"]
    for r in sorted(rows, key=lambda r: (r["model"], r["mode"], r["scope"] != "row", r["scope"], -r["clusters"], r["calibrated"])):
        low, high = r["kl_interval"]
        lines.append(f"| {r['model']} | {r['clusters']} | {r['scope']} | {'yes' if r['calibrated'] else 'no'} | {r['mode']} | "
                     f"{r['bytes']:,} | {r['kl']:.5f} ({low:.5f} - {high:.5f}) | {r['agreement']:.1f} ± {r['agreement_se']:.1f} % | "
                     f"{r['top1_change']:+.2f} ± {r['top1_change_se']:.2f} | {r['top1']:.2f} % | {r['top5']:.2f} % | {r['nll']:.4f} |")
    return "\n".join(lines)


def write_page(path, rows):
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(before + BEGIN + "\n\n" + table(rows) + "\n\n" + END + rest.split(END)[1])


def plot(path, rows):
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    for model in sorted({r["model"] for r in rows}):
        for calibrated in (False, True):
            points = sorted((r["bytes"] / 2**20, r["kl"]) for r in rows if r["model"] == model and
                            r["calibrated"] == calibrated and r["scope"] == "row" and r["mode"] == "f32")
            if points:
                axes.plot(*zip(*points), marker="o", linestyle="-" if calibrated else "--",
                          label=f"{model}, {'calibrated' if calibrated else 'plain'}")
    axes.set(xlabel="size of the file, MiB", ylabel="KL from the dense model, nats", yscale="log")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


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
    parser.add_argument("--folds", type=int, default=4, help="judge the first of the four folds only")
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
            for key in [{"model": name, "clusters": clusters, "scope": scope, "calibrated": kind == "calibrated", "mode": mode,
                         "folds": options.folds} for clusters in options.clusters for scope in options.scope
                        for mode in options.mode for kind in options.kind]:
                if any(key.items() <= row.items() for row in rows):
                    continue
                if dense is None:
                    dense = bench.log_probabilities(model, range(len(bench.pictures.paths)), "f32")
                rows.append({**key, **bench.judge(dense, model, key["clusters"], key["scope"], key["calibrated"], key["mode"])})
                options.output.write_text(json.dumps(rows, indent=1) + "\n")
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    if options.page:
        write_page(options.page, rows)
    if options.plot:
        plot(options.plot, rows)


if __name__ == "__main__":
    main()
