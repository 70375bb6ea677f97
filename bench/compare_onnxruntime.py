#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times Lutra beside ONNX Runtime in f32 on the same model, in one run.

    python bench/compare_onnxruntime.py --library build/liblutra.so --weights deit_tiny_patch16_224.safetensors \
        --clustered deit-tiny-64.safetensors --threads 2

Each engine lives in a process of its own, so that neither's threads run while the other is timed; the processes
take turns, a few pictures each, so that a clock that drifts meets both alike. Prints medians, the spread, the
median of the ratios turn by turn with its quartiles, and how far the logits are apart.

Needs numpy, torch, timm, onnx, onnxruntime (bench/requirements.txt).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

SIZE = 224
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)


def random_picture() -> np.ndarray:
    """[224][224][3] uint8, the same in every process."""
    return np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


class LutraEngine:
    """A model run through the C library; `path` is dense or clustered."""

    class Options(ctypes.Structure):
        _fields_ = [("n_threads", ctypes.c_size_t), ("max_batch", ctypes.c_size_t), ("mode", ctypes.c_int)]

    def __init__(self, library: str, path: str, threads: int, classes: int) -> None:
        self.lib = ctypes.CDLL(os.path.abspath(library))
        self.error = ctypes.create_string_buffer(4096)
        self.model, self.context = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.lib.lutra_model_open(path.encode(), None, ctypes.byref(self.model), self.error))
        options = self.Options(threads, 1, 0)
        self.check(self.lib.lutra_context_create(self.model, ctypes.byref(options), ctypes.byref(self.context), self.error))
        self.pixels = random_picture()
        self.logits = np.empty(classes, np.float32)

    def check(self, status: int) -> None:
        if status:
            raise RuntimeError(self.error.raw[16 + 512:].split(b"\0")[0].decode())

    def run(self) -> np.ndarray:
        self.check(self.lib.lutra_context_run(
            self.context, self.pixels.ctypes.data_as(ctypes.c_void_p), ctypes.c_size_t(1),
            self.logits.ctypes.data_as(ctypes.c_void_p), None, self.error))
        return self.logits


class OnnxEngine:
    """The ONNX file run by ONNX Runtime's CPU provider with all graph optimisations."""

    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        normalised = (random_picture().astype(np.float32) / 255 - MEAN) / STD
        self.input = np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])

    def run(self) -> np.ndarray:
        return self.session.run(None, {"x": self.input})[0][0]


def export_onnx(arch: str, weights: str, path: str) -> int:
    """Writes the model as ONNX; returns its number of classes."""
    import safetensors.torch
    import timm
    import torch

    model = timm.create_model(arch, pretrained=False)
    if weights:
        model.load_state_dict(safetensors.torch.load_file(weights))
    model.eval()
    torch.onnx.export(model, (torch.zeros(1, 3, SIZE, SIZE),), path, input_names=["x"], opset_version=17, dynamo=False)
    return model.num_classes


def serve(engine) -> None:
    """Answers each line 'run N' with the milliseconds of N runs, 'logits' with the numbers."""
    for line in sys.stdin:
        if line.startswith("run"):
            times = []
            for _ in range(int(line.split()[1])):
                start = time.perf_counter()
                engine.run()
                times.append((time.perf_counter() - start) * 1e3)
            print(json.dumps(times), flush=True)
        else:
            print(json.dumps([float(x) for x in engine.run()]), flush=True)


class Worker:
    """An engine in a process of its own."""

    def __init__(self, name: str, arguments: list[str]) -> None:
        self.name, self.times = name, []
        command = [sys.executable, os.path.abspath(__file__), "--serve", name, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, question: str) -> list[float]:
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def compare(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        onnx = os.path.join(folder, "model.onnx")
        classes = export_onnx(arguments.arch, arguments.weights, onnx)
        common = ["--threads", str(arguments.threads), "--library", arguments.library, "--classes", str(classes)]
        workers = [Worker("onnxruntime", common + ["--weights", onnx]),
                   Worker("lutra dense", common + ["--weights", arguments.weights])]
        if arguments.clustered:
            workers.append(Worker("lutra clustered", common + ["--weights", arguments.clustered]))
        logits = [np.array(worker.ask("logits")) for worker in workers]
        for worker in workers:
            worker.ask("run 5")
        for _ in range(arguments.turns):
            for worker in workers:
                worker.times.append(statistics.median(worker.ask(f"run {arguments.runs}")))
        for worker in workers:
            worker.process.stdin.close()
            worker.process.wait()
    report(workers, logits, arguments)


def report(workers: list[Worker], logits: list[np.ndarray], arguments: argparse.Namespace) -> None:
    print(f"{arguments.arch}, f32, batch 1, {arguments.threads} threads, {arguments.turns} turns of {arguments.runs} runs")
    print(f"{'engine':<18}{'median ms':>10}{'min':>8}{'max':>8}{'  time / onnxruntime (quartiles)':<34}{'logits apart':>12}")
    for worker, values in zip(workers, logits):
        ratios = [mine / other for mine, other in zip(worker.times, workers[0].times)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"{worker.name:<18}{statistics.median(worker.times):>10.2f}{min(worker.times):>8.2f}{max(worker.times):>8.2f}"
              f"  {middle:.3f} ({low:.3f} .. {high:.3f}){'':<10}{abs(values - logits[0]).max():>12.2e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default="build/liblutra.so")
    parser.add_argument("--arch", default="deit_tiny_patch16_224")
    parser.add_argument("--weights", required=True, help="the dense model, timm's names")
    parser.add_argument("--clustered", help="the same model, clustered")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--runs", type=int, default=5, help="per engine and turn")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--classes", type=int, default=1000, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve == "onnxruntime":
        serve(OnnxEngine(arguments.weights, arguments.threads))
    elif arguments.serve:
        serve(LutraEngine(arguments.library, arguments.weights, arguments.threads, arguments.classes))
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
