/* SPDX-License-Identifier: Apache-2.0 */
/* PNG through libspng: row by row, or whole where it is interlaced. Transparency is dropped, not blended. */
#include <stdlib.h>
#include <string.h>

#include <spng.h>

#include "base/memory.h"
#include "image/exif.h"
#include "image/picture.h"

#define SIGNATURE_SIZE 8

/* Of text and colour profiles, which libspng unpacks although nobody looks at them here. */
#define MAX_CHUNK_BYTES ((size_t)1 << 24)

bool lutra_png_recognises(const uint8_t *data, size_t size)
{
    return size >= SIGNATURE_SIZE && memcmp(data, "\x89PNG\r\n\x1a\n", SIGNATURE_SIZE) == 0;
}

static uint32_t big_endian_32(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

/* eXIf may also follow the pixels, where libspng has not been yet when the first row comes. */
static unsigned find_orientation(const uint8_t *data, size_t size)
{
    size_t at = SIGNATURE_SIZE;
    while (size - at >= 12) { /* length 4, type 4, content, checksum 4 */
        size_t length = big_endian_32(data + at);
        if (length > size - at - 12)
            break;
        if (memcmp(data + at + 4, "eXIf", 4) == 0)
            return lutra_exif_orientation(data + at + 8, length);
        at += 12 + length;
    }
    return 1;
}

static lutra_status fail(const lutra_picture *picture, int code, lutra_error *error)
{
    if (code == SPNG_EMEM)
        return lutra_fail(error, LUTRA_ERROR_MEMORY, picture->name, LUTRA_NO_OFFSET,
                          "not enough memory to decode it");
    if (code == SPNG_IO_EOF || code == SPNG_EIDAT_TOO_SHORT || code == SPNG_EOF)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, picture->name, picture->size,
                          "the picture is cut short");
    return lutra_fail(error, LUTRA_ERROR_FORMAT, picture->name, LUTRA_NO_OFFSET, "not a sound PNG: %s",
                      spng_strerror(code));
}

static lutra_status decode_interlaced(lutra_picture *picture, spng_ctx *png, const struct spng_ihdr *header,
                                      lutra_error *error)
{
    uint8_t *rows = NULL;
    size_t row_bytes = (size_t)header->width * 3;
    lutra_status status = lutra_picture_allocate(header->width, header->height, &rows, error);
    if (!status) {
        int code = spng_decode_image(png, rows, row_bytes * header->height, SPNG_FMT_RGB8, 0);
        if (code)
            status = fail(picture, code, error);
    }
    for (size_t y = 0; !status && y < header->height; y++)
        lutra_picture_row(picture, rows + y * row_bytes);
    free(rows);
    return status;
}

static lutra_status decode_rows(lutra_picture *picture, spng_ctx *png, const struct spng_ihdr *header,
                                lutra_error *error)
{
    uint8_t *row = NULL;
    lutra_status status = lutra_allocate(header->width, 3, "a row of a picture", &row, error);
    int code = status ? 0 : spng_decode_image(png, NULL, 0, SPNG_FMT_RGB8, SPNG_DECODE_PROGRESSIVE);
    for (uint32_t y = 0; !status && !code && y < header->height; y++) {
        code = spng_decode_row(png, row, (size_t)header->width * 3);
        if (code == SPNG_EOI && y + 1 == header->height)
            code = 0; /* the last row says so */
        if (!code)
            lutra_picture_row(picture, row);
    }
    free(row);
    return status ? status : code ? fail(picture, code, error) : LUTRA_OK;
}

lutra_status lutra_png_decode(lutra_picture *picture, lutra_error *error)
{
    struct spng_ihdr header;
    spng_ctx *png = spng_ctx_new(0);
    if (!png)
        return fail(picture, SPNG_EMEM, error);
    lutra_status status = LUTRA_OK;
    int code = spng_set_png_buffer(png, picture->data, picture->size);
    if (!code)
        code = spng_set_chunk_limits(png, MAX_CHUNK_BYTES, MAX_CHUNK_BYTES);
    if (!code)
        code = spng_get_ihdr(png, &header);
    if (code)
        status = fail(picture, code, error);
    if (!status)
        status = lutra_picture_begin(picture, header.width, header.height,
                                     find_orientation(picture->data, picture->size), error);
    if (!status)
        status = header.interlace_method ? decode_interlaced(picture, png, &header, error)
                                         : decode_rows(picture, png, &header, error);
    spng_ctx_free(png);
    return status;
}
