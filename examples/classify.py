#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Classifies a NumPy array [height][width][3] of RGB bytes (a camera's frame) through the C library:

    classify.py MODEL FRAME.npy
"""
import ctypes as c
import sys

import numpy

TEXT, SIZE, COUNT = c.c_char_p, c.c_size_t, c.c_uint64


class Preprocessing(c.Structure):
    _fields_ = [("height", SIZE), ("width", SIZE), ("crop_pct", c.c_double), ("resize_height", SIZE),
                ("resize_width", SIZE), ("crop_mode", c.c_int), ("resample", c.c_int), ("mean", c.c_float * 3),
                ("std", c.c_float * 3), ("ignore_exif", c.c_bool)]


class Info(c.Structure):
    _fields_ = [(name, kind) for kind, names in (
        (TEXT, "path arch arch_source family"),
        (SIZE, "n_classes n_features input_bytes dim depth n_heads mlp_dim patch_size n_tokens n_prefix_tokens"),
        (COUNT, "n_parameters n_clustered file_bytes macs"), (SIZE, "n_clusters n_copied_tensors"),
        (Preprocessing, "preprocessing")) for name in names.split()]


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("offset", COUNT), ("path", c.c_char * 512), ("message", c.c_char * 768)]


lutra = c.CDLL("liblutra.so.0")
lutra.lutra_model_get_info.restype = c.POINTER(Info)
lutra.lutra_model_label.restype = TEXT


def call(function, *arguments):
    error = Error()
    if function(*arguments, c.byref(error)):
        sys.exit(error.message.decode())


model, context, frame = c.c_void_p(), c.c_void_p(), numpy.ascontiguousarray(numpy.load(sys.argv[2]), numpy.uint8)
call(lutra.lutra_model_open, sys.argv[1].encode(), None, c.byref(model))
call(lutra.lutra_context_create, model, None, c.byref(context))
info = lutra.lutra_model_get_info(model).contents
pixels, logits = numpy.empty(info.input_bytes, numpy.uint8), numpy.empty(info.n_classes, numpy.float32)
call(lutra.lutra_image_from_rgb8, frame.ctypes.data_as(TEXT), SIZE(frame.shape[1]), SIZE(frame.shape[0]),
     SIZE(frame.strides[0]), 0, c.byref(info.preprocessing), pixels.ctypes.data_as(c.c_void_p))
call(lutra.lutra_context_run, context, pixels.ctypes.data_as(c.c_void_p), SIZE(1),
     logits.ctypes.data_as(c.c_void_p), None)
best = int(logits.argmax())
print(best, (lutra.lutra_model_label(model, SIZE(best)) or b"").decode())
