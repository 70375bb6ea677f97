/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns a picture into a model's input while its rows arrive, top to bottom as the file stores them:
 *
 *     lutra_resizer_create(preprocessing, width, height, orientation, pixels, &resizer, error);
 *     for (size_t y = 0; y < height; y++)
 *         lutra_resizer_row(resizer, row);
 *     lutra_resizer_free(resizer);
 *
 * Holds only the rows that the filter needs at a time.
 */
#ifndef LUTRA_IMAGE_RESIZER_H
#define LUTRA_IMAGE_RESIZER_H

#include "base/error.h"

typedef struct lutra_resizer lutra_resizer;

/* `width` and `height` as stored; `orientation` is EXIF's, 1..8. `pixels` [height][width][3] of the
 * preprocessing. Errors: ARGUMENT, MEMORY. */
lutra_status lutra_resizer_create(const lutra_preprocessing *preprocessing, size_t width, size_t height,
                                  unsigned orientation, uint8_t *pixels, lutra_resizer **resizer,
                                  lutra_error *error);
/* `row` [width][3] RGB. Exactly `height` calls complete the pixels. */
void lutra_resizer_row(lutra_resizer *resizer, const uint8_t *row);
void lutra_resizer_free(lutra_resizer *resizer); /* NULL is fine */

#endif
