#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times Lutra beside Pillow from the photo's bytes to 224 x 224 pixels (bicubic, crop_pct 0.875), in one run.

    python bench/compare_pillow.py --library build/liblutra.so PHOTO...

Both take turns, photo by photo and round by round, in one thread; the best round of each photo counts. Prints
the mean over the photos and how many bytes differ. Needs numpy and Pillow 13.0.0: older ones round in another order.
"""
import argparse
import ctypes as c
import io
import pathlib
import time

import numpy
from PIL import Image, ImageOps

SIDE, SHORTER = 224, 256


class Preprocessing(c.Structure):
    _fields_ = [("height", c.c_size_t), ("width", c.c_size_t), ("crop_pct", c.c_double),
                ("resize_height", c.c_size_t), ("resize_width", c.c_size_t), ("crop_mode", c.c_int),
                ("resample", c.c_int), ("mean", c.c_float * 3), ("std", c.c_float * 3), ("ignore_exif", c.c_bool)]


def with_lutra(library, data, pixels):
    options = Preprocessing(height=SIDE, width=SIDE, crop_pct=0.875, resample=3)
    status = library.lutra_image_read_memory(data, c.c_size_t(len(data)), b"photo", c.byref(options),
                                             pixels.ctypes.data_as(c.c_void_p), None)
    assert status == 0, status


def with_pillow(data):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    shorter, longer = sorted(image.size)
    longer = SHORTER * longer // shorter
    size = (SHORTER, longer) if image.width <= image.height else (longer, SHORTER)
    left, top = (round((side - SIDE) / 2) for side in size)
    return image.resize(size, Image.Resampling.BICUBIC).crop((left, top, left + SIDE, top + SIDE))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default="build/liblutra.so")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("photos", nargs="+")
    arguments = parser.parse_args()
    library = c.CDLL(arguments.library)
    pixels = numpy.empty((SIDE, SIDE, 3), numpy.uint8)
    total, differing = [0.0, 0.0], 0
    for photo in arguments.photos:
        data = pathlib.Path(photo).read_bytes()
        best = [float("inf")] * 2
        for _ in range(arguments.rounds):
            times = [time.perf_counter()]
            with_lutra(library, data, pixels)
            times.append(time.perf_counter())
            expected = with_pillow(data)
            times.append(time.perf_counter())
            best = [min(best[i], times[i + 1] - times[i]) for i in range(2)]
        total = [total[i] + best[i] for i in range(2)]
        differing += int((numpy.asarray(expected) != pixels).sum())
    n = len(arguments.photos)
    print(f"{n} photos: Lutra {total[0] / n * 1e3:.2f} ms, Pillow {total[1] / n * 1e3:.2f} ms, "
          f"ratio {total[1] / total[0]:.2f}; {differing} bytes differ")


main()
