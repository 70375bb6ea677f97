#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Clusters a model's matrices by a plain k-means in double precision, as a yardstick for `lutra cluster`.

    python bench/reference_kmeans.py deit_tiny_patch16_224.safetensors -o reference.safetensors --scope tensor
    lutra eval reference.safetensors --images DIR --labels labels.tsv --against deit_tiny_patch16_224.safetensors --mode f32

One-dimensional Lloyd iterations over all sorted values, from several starts, the best kept; the result is written
as a dense F32 file, so that it is judged by the very same program. Needs numpy and safetensors.
"""

from __future__ import annotations

import argparse

import numpy as np
from safetensors.numpy import load_file, save_file


def lloyd(values: np.ndarray, centres: np.ndarray, iterations: int) -> tuple[np.ndarray, float]:
    """`values` [n] sorted, `centres` [k] -> centres [k] at a fixed point and the squared error."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    squares = np.concatenate([[0.0], np.cumsum(values * values)])
    for _ in range(iterations):
        centres = np.sort(centres)
        borders = np.searchsorted(values, (centres[1:] + centres[:-1]) / 2)
        ends = np.concatenate([[0], borders, [len(values)]])
        counts = np.diff(ends)
        means = np.divide(np.diff(sums[ends]), counts, out=centres.copy(), where=counts > 0)
        if np.abs(means - centres).max() <= 1e-12 * np.abs(means).max():
            break
        centres = means
    error = float(np.sum(np.diff(squares[ends]) - 2 * centres * np.diff(sums[ends]) + counts * centres**2))
    return centres, error


def kmeans(values: np.ndarray, k: int, iterations: int) -> np.ndarray:
    """The best of four starts: quantiles, an even grid, a mixture of both, random values."""
    values = np.sort(values.astype(np.float64).ravel())
    quantiles = np.quantile(values, (np.arange(k) + 0.5) / k)
    grid = np.linspace(values[0], values[-1], k + 2)[1:-1]
    starts = [quantiles, grid, (quantiles + grid) / 2, np.random.default_rng(0).choice(values, k)]
    return min((lloyd(values, start, iterations) for start in starts), key=lambda result: result[1])[0]


def assign(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Each value's nearest centre, in the shape and type of `values`."""
    borders = (centres[1:] + centres[:-1]) / 2
    return centres[np.searchsorted(borders, values.astype(np.float64))].astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--clusters", type=int, default=64)
    parser.add_argument("--scope", choices=["tensor", "model"], default="tensor")
    parser.add_argument("--iterations", type=int, default=2000)
    arguments = parser.parse_args()
    tensors = load_file(arguments.model)
    names = [name for name, tensor in tensors.items() if name.endswith(".weight") and tensor.ndim >= 2]
    if arguments.scope == "model":
        everything = np.concatenate([tensors[name].ravel() for name in names])
        shared = kmeans(everything, arguments.clusters, arguments.iterations)
    for name in names:
        centres = shared if arguments.scope == "model" else kmeans(tensors[name], arguments.clusters, arguments.iterations)
        tensors[name] = assign(tensors[name], centres)
    save_file(tensors, arguments.output)
    print(f"{len(names)} matrices clustered to {arguments.clusters} values each, scope {arguments.scope}")


if __name__ == "__main__":
    main()
