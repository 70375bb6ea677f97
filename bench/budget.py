#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what a budget gains over one number of clusters everywhere, and whether a budget of loss is kept to.

    python bench/budget.py --lutra build/tools/lutra --images DIR --labels labels.tsv -o budget.json \\
        --model DeiT-Tiny=deit_tiny_patch16_224.safetensors [--equal 16:4bits 8:3bits] [--loss 0.005 0.02] [--folds 4]

In folds, as bench/accuracy.py: every fourth picture calibrates, the other three quarters judge. `16:4bits` sets 16 clusters
everywhere beside --budget 4bits, both calibrated on the same pictures. For --loss the pictures that calibrate are also those
that the command reserves some of, and the loss is then measured on pictures that it never saw. Sensitivities are measured
once a fold. What OUT already has is kept, so that a run may be continued. Needs numpy.
"""
import argparse
import json
import pathlib
import tempfile

import numpy

from accuracy import Bench, figures, run


class Budgets(Bench):
    def spend(self, model, fold, *options):
        """The path and what the command told."""
        path = self.folder / "clustered.safetensors"
        mine = [i for i in range(len(self.pictures.paths)) if i % 4 == fold]
        count = min(len(mine), self.options.calibrate_count)
        told = json.loads(run(self.options.lutra, "cluster", model, "-o", path, "--calibrate", self.listed(mine),
                              "--calibrate-count", count, "--json", "--quiet", "--threads", self.options.threads, *options))
        return path, told

    def judge_budget(self, dense, model, name, options):
        n = len(self.pictures.paths)
        judged, of, rows = [], [], []
        for fold in range(self.options.folds):
            rest = [i for i in range(n) if i % 4 != fold]
            report = ["--report", self.folder / f"{name}-{fold}.json"] if "--budget" in options else []
            path, told = self.spend(model, fold, *options, *report)
            rows.append((told["bytes_out"], told["seconds"], told.get("chosen", {}).get("kl")))
            judged.append(self.log_probabilities(path, rest, "f32"))
            of += rest
        sizes, seconds, told_kl = zip(*rows)
        result = figures(dense[of], numpy.concatenate(judged), self.pictures.truth[of], numpy.array(of))
        return {**result, "bytes": float(numpy.mean(sizes)), "seconds": float(numpy.mean(seconds)), "told_kl": told_kl}


def line(row):
    low, high = row["kl_interval"]
    return (f"{row['model']:12} {row['what']:12} {row['bytes']:12,.0f} bytes  KL {row['kl']:.5f} ({low:.5f} - {high:.5f})  "
            f"agreement {row['agreement']:.1f} %  {row['seconds']:.0f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lutra", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=pathlib.Path, required=True)
    parser.add_argument("--labels", type=pathlib.Path, required=True)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--equal", nargs="*", default=["16:4bits"], metavar="CLUSTERS:BUDGET")
    parser.add_argument("--loss", nargs="*", default=[], metavar="KL")
    parser.add_argument("--folds", type=int, default=4, help="judge the first of the four folds only")
    parser.add_argument("--calibrate-count", type=int, default=128, metavar="N", help="of a fold's pictures, at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    options = parser.parse_args()
    rows = json.loads(options.output.read_text()) if options.output.exists() else []
    wanted = [(f"{c} clusters", ["--clusters", c]) for c, _ in (pair.split(":") for pair in options.equal)]
    wanted += [(b, ["--budget", b]) for _, b in (pair.split(":") for pair in options.equal)]
    wanted += [(f"kl={kl}", ["--budget", f"kl={kl}"]) for kl in options.loss]
    with tempfile.TemporaryDirectory() as folder:
        bench = Budgets(options, folder)
        for name, model in (text.split("=", 1) for text in options.model):
            dense = None
            for what, arguments in wanted:
                key = {"model": name, "what": what, "folds": options.folds}
                if any(key.items() <= row.items() for row in rows):
                    continue
                if dense is None:
                    dense = bench.log_probabilities(model, range(len(bench.pictures.paths)), "f32")
                rows.append({**key, **bench.judge_budget(dense, model, name, arguments)})
                options.output.write_text(json.dumps(rows, indent=1) + "\n")
                print(line(rows[-1]), flush=True)
            found = {row["what"]: row for row in rows if row["model"] == name and row["folds"] == options.folds}
            for clusters, budget in (pair.split(":") for pair in options.equal):
                ratio = found[budget]["kl"] / found[f"{clusters} clusters"]["kl"]
                print(f"{name}: KL of {budget} over that of {clusters} clusters: {ratio:.3f}")
            for kl in options.loss:
                print(f"{name}: KL on unseen pictures over kl={kl}: {found[f'kl={kl}']['kl'] / float(kl):.3f}")


if __name__ == "__main__":
    main()
