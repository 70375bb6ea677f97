/* SPDX-License-Identifier: Apache-2.0 */
/* The size a picture is resized to, and which part of that becomes the model's input. */
#ifndef LUTRA_IMAGE_GEOMETRY_H
#define LUTRA_IMAGE_GEOMETRY_H

#include "base/error.h"

/* One dimension of a crop: output pixels 0 .. padding - 1 hold the fill, then come n_visible pixels of the
 * resized picture from `begin` on, then the fill again. */
typedef struct lutra_span {
    size_t resized;
    size_t begin, n_visible; /* n_visible >= 1 */
    size_t padding;
} lutra_span;

typedef struct lutra_geometry {
    lutra_span x, y;
    uint8_t fill[3]; /* RGB */
} lutra_geometry;

/* `width` and `height` are the picture's, upright. Errors: ARGUMENT (an option out of range),
 * UNSUPPORTED (so narrow a picture that its longer side would be resized to more than 2^28). */
lutra_status lutra_geometry_plan(const lutra_preprocessing *preprocessing, size_t width, size_t height,
                                 lutra_geometry *geometry, lutra_error *error);

#endif
