/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a codec sees: encoded bytes, and where to hand the rows.
 *
 *     status = lutra_picture_begin(picture, width, height, orientation, error);
 *     for each row, top to bottom:
 *         lutra_picture_row(picture, rgb);
 *
 * To add a codec, add a line to codecs.inc and a file that defines its two functions.
 */
#ifndef LUTRA_IMAGE_PICTURE_H
#define LUTRA_IMAGE_PICTURE_H

#include "image/resizer.h"

#define LUTRA_MAX_PIXELS ((uint64_t)1 << 28)
#define LUTRA_MAX_SIDE ((uint64_t)1 << 20)

typedef struct lutra_picture {
    const char *name;    /* in messages */
    const uint8_t *data; /* [size], encoded */
    size_t size;
    const lutra_preprocessing *preprocessing;
    uint8_t *pixels; /* [height][width][3] of the preprocessing */
    lutra_resizer *resizer;
} lutra_picture;

/* `width` and `height` as stored, `orientation` EXIF's (not used where the preprocessing says so). Errors:
 * FORMAT (an empty picture), UNSUPPORTED (too large), MEMORY. */
lutra_status lutra_picture_begin(lutra_picture *picture, uint64_t width, uint64_t height,
                                 unsigned orientation, lutra_error *error);

/* `row` [width][3] RGB. */
static inline void lutra_picture_row(lutra_picture *picture, const uint8_t *row)
{
    lutra_resizer_row(picture->resizer, row);
}

/* Room for a whole picture of pixels that are about to be decoded, [height][width][3]. Not zeroed by hand, so
 * that a file that only declares a huge picture does not get its memory. Free with free(). */
lutra_status lutra_picture_allocate(uint64_t width, uint64_t height, uint8_t **rows, lutra_error *error);

typedef struct lutra_codec {
    const char *name;                                       /* "jpeg" */
    bool (*recognises)(const uint8_t *data, size_t size);   /* by the first bytes */
    lutra_status (*decode)(lutra_picture *, lutra_error *); /* calls begin once, then row for every row */
} lutra_codec;

#define LUTRA_CODEC(name)                                                                                    \
    bool lutra_##name##_recognises(const uint8_t *data, size_t size);                                        \
    lutra_status lutra_##name##_decode(lutra_picture *picture, lutra_error *error);
#include "image/codecs.inc"
#undef LUTRA_CODEC

#endif
