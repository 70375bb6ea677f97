# SPDX-License-Identifier: Apache-2.0
"""Lutra, through its C library."""
from __future__ import annotations

import ctypes as c
import os
from pathlib import Path

import numpy as np

from models import Model

MODES = {"f32": 1, "bf16": 2, "int8": 3}


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("offset", c.c_uint64), ("path", c.c_char * 512), ("message", c.c_char * 768)]


class ModelOptions(c.Structure):
    _fields_ = [("arch", c.c_char_p), ("image_size", c.c_size_t), ("crop_pct", c.c_double), ("labels", c.c_char_p),
                ("ignore_exif", c.c_bool)]


class ContextOptions(c.Structure):
    _fields_ = [("n_threads", c.c_size_t), ("max_batch", c.c_size_t), ("mode", c.c_int),
                ("cpus", c.POINTER(c.c_size_t)), ("n_cpus", c.c_size_t)]


def prepare(model: Model, precision: str) -> None:
    """Nothing: the files are the common ones."""


class Lutra:
    """A dense or clustered model in one mode.  LUTRA_LIBRARY names the shared library."""

    def __init__(self, model: Model, threads: int, mode: str, clustered: bool) -> None:
        self.library = c.CDLL(os.environ["LUTRA_LIBRARY"])
        self.model, self.context = c.c_void_p(), c.c_void_p()
        path = model.clustered if clustered else model.dense
        options = ModelOptions(model.arch.encode(), 0, 0, None, False)
        self.call("lutra_model_open", os.fsencode(path), c.byref(options), c.byref(self.model))
        context = ContextOptions(threads, 1, MODES[mode])
        self.call("lutra_context_create", self.model, c.byref(context), c.byref(self.context))
        self.n_classes = model.facts["classes"]

    def call(self, name: str, *arguments: object) -> None:
        error = Error()
        if getattr(self.library, name)(*arguments, c.byref(error)):
            raise RuntimeError(error.message.decode())

    def input(self, pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(pixels)

    def run(self, pixels: np.ndarray) -> np.ndarray:
        logits = np.empty(self.n_classes, np.float32)
        self.call("lutra_context_run", self.context, pixels.ctypes.data_as(c.c_void_p), c.c_size_t(1),
                  logits.ctypes.data_as(c.c_void_p), None)
        return logits
