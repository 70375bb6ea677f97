/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One dimension of a resize: which source pixels make which output pixel, and with which weights. Filters,
 * supports and rounding are Pillow's (Image.resize on 8-bit channels), so that the bytes are equal.
 */
#ifndef LUTRA_IMAGE_AXIS_H
#define LUTRA_IMAGE_AXIS_H

#include "base/error.h"

/* Weights are integers in units of 2^-22: 32 bits less 8 of the pixel and 2 for overshoot and sign. */
#define LUTRA_WEIGHT_BITS 22

typedef struct lutra_taps {
    size_t first, count; /* source pixels first .. first + count - 1 */
} lutra_taps;

typedef struct lutra_axis {
    size_t n_outputs;
    size_t max_taps;  /* >= 1 */
    lutra_taps *taps; /* [n_outputs], both ends ascending */
    int32_t *weights; /* [n_outputs][max_taps] */
    bool mirrored;    /* output j belongs at place n_outputs - 1 - j */
} lutra_axis;

/* What one dimension of the whole resize looks like, and which part of it is wanted. */
typedef struct lutra_axis_request {
    size_t source;          /* pixels, before */
    size_t resized;         /* pixels, after */
    size_t begin, n_wanted; /* of the resized pixels, n_wanted >= 1 */
    int resample;           /* Pillow's code, 0..5 */
    bool mirrored;          /* the source runs backwards */
} lutra_axis_request;

/* Plans the wanted outputs; free with lutra_axis_free, also after an error. Errors: MEMORY. */
lutra_status lutra_axis_create(const lutra_axis_request *request, lutra_axis *axis, lutra_error *error);
void lutra_axis_free(lutra_axis *axis);

#endif
