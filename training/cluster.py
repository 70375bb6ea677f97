# SPDX-License-Identifier: Apache-2.0
"""What clustering costs: k-means of every matrix, without calibration.

Each row is divided by its root mean square, the rows of a matrix share one
codebook found by Lloyd's algorithm from quantiles, and the network runs with
the weights put back.  What the paper clusters is clustered: the matrices of
the blocks and the head; the patch embedding, biases, norms and position
embeddings stay.
"""
from __future__ import annotations

import argparse
from pathlib import Path

import torch

import load_model


def lloyd(values: torch.Tensor, clusters: int, rounds: int = 30) -> torch.Tensor:
    """Centres [clusters] of numbers [n], started at their quantiles, sorted."""
    ordered = values.sort().values
    total = torch.cat([torch.zeros(1, dtype=torch.float64), ordered.double().cumsum(0)])
    places = ((torch.arange(clusters) + 0.5) / clusters * len(ordered)).long()
    centres = ordered[places].double()
    for _ in range(rounds):
        edges = (centres[1:] + centres[:-1]) / 2
        cut = torch.searchsorted(ordered.double(), edges)
        cut = torch.cat([torch.tensor([0]), cut, torch.tensor([len(ordered)])])
        size = (cut[1:] - cut[:-1]).clamp_min(1)
        mean = (total[cut[1:]] - total[cut[:-1]]) / size
        centres = torch.where(cut[1:] > cut[:-1], mean, centres)
    return centres.float()


def clustered(weight: torch.Tensor, clusters: int) -> torch.Tensor:
    """A matrix [rows][columns] with every entry at a centre of its codebook."""
    scale = weight.pow(2).mean(1, keepdim=True).sqrt().clamp_min(1e-12)
    normal = weight / scale
    centres = lloyd(normal.flatten(), clusters)
    index = torch.bucketize(normal, (centres[1:] + centres[:-1]) / 2)
    return centres[index] * scale


def is_clustered(name: str, weight: torch.Tensor) -> bool:
    """Matrices of the blocks and the head."""
    return weight.ndim == 2 and (name.startswith("blocks.") or name == "head.weight")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--clusters", type=int, nargs="+", default=[64, 32, 16, 8, 4])
    parser.add_argument("--count", type=int, default=40000)
    args = parser.parse_args()
    torch.set_num_threads(2)
    model, _ = load_model.load(args.model)
    files, want = load_model.labels(args.pictures)
    every = max(1, len(files) // args.count)
    files, want = files[::every], want[::every]
    images = load_model.pictures(args.pictures, files)
    dense = {k: v.clone() for k, v in model.state_dict().items()}

    def top1() -> float:
        return 100 * (load_model.logits(model, images).argmax(1) == want).float().mean().item()

    base = top1()
    print(f"{len(files)} pictures\n\n| clusters | top-1 % | points lost |\n|---:|---:|---:|")
    print(f"| dense | {base:.2f} | |", flush=True)
    for clusters in args.clusters:
        model.load_state_dict({k: clustered(v, clusters) if is_clustered(k, v) else v
                               for k, v in dense.items()})
        now = top1()
        print(f"| {clusters} | {now:.2f} | {base - now:.2f} |", flush=True)


if __name__ == "__main__":
    main()
