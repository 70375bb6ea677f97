/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PNG through libspng: row by row, or whole where it is interlaced. Transparency is dropped, not blended.
 * libspng gets to see the chunks that make pixels only: it would unpack and keep texts and colour profiles,
 * and refuse a picture over a damaged one.
 */
#include <stdlib.h>
#include <string.h>

#include <spng.h>

#include "base/memory.h"
#include "image/exif.h"
#include "image/picture.h"

#define SIGNATURE_SIZE 8
#define IHDR_SIZES 16  /* width and height in the first chunk */
#define CHUNK_FRAME 12 /* length 4, type 4, checksum 4 */
#define ANCILLARY 0x20 /* in the type's first byte: the pixels do not depend on it */

typedef struct chunk_reader {
    const lutra_picture *picture;
    size_t at;  /* of the next byte */
    size_t end; /* of the chunk that `at` lies in */
} chunk_reader;

bool lutra_png_recognises(const uint8_t *data, size_t size)
{
    return size >= SIGNATURE_SIZE && memcmp(data, "\x89PNG\r\n\x1a\n", SIGNATURE_SIZE) == 0;
}

static uint32_t big_endian_32(const uint8_t *data)
{
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

/* The end of the chunk that begins at `at`, or `size` where the file ends before. */
static size_t chunk_end(const uint8_t *data, size_t size, size_t at)
{
    if (size - at < CHUNK_FRAME)
        return size;
    size_t length = big_endian_32(data + at);
    return length > size - at - CHUNK_FRAME ? size : at + CHUNK_FRAME + length;
}

/* eXIf may also follow the pixels, so it is looked for before them. */
static unsigned find_orientation(const uint8_t *data, size_t size)
{
    for (size_t at = SIGNATURE_SIZE, end; size - at >= CHUNK_FRAME; at = end) {
        end = chunk_end(data, size, at);
        if (memcmp(data + at + 4, "eXIf", 4) == 0 && end - at >= CHUNK_FRAME)
            return lutra_exif_orientation(data + at + 8, end - at - CHUNK_FRAME);
    }
    return 1;
}

/* Steps over ancillary chunks; false at the end of the file. */
static bool enter_chunk(chunk_reader *reader)
{
    const uint8_t *data = reader->picture->data;
    size_t size = reader->picture->size;
    for (reader->at = reader->end; size - reader->at >= CHUNK_FRAME; reader->at = reader->end) {
        reader->end = chunk_end(data, size, reader->at);
        if (!(data[reader->at + 4] & ANCILLARY))
            return true;
    }
    return false;
}

static int read_critical(spng_ctx *png, void *user, void *target, size_t length)
{
    (void)png;
    chunk_reader *reader = user;
    uint8_t *out = target;
    while (length > 0) {
        if (reader->at == reader->end && !enter_chunk(reader))
            return SPNG_IO_EOF;
        size_t n = reader->end - reader->at < length ? reader->end - reader->at : length;
        memcpy(out, reader->picture->data + reader->at, n);
        reader->at += n;
        out += n;
        length -= n;
    }
    return 0;
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
    struct spng_ihdr header = {0};
    chunk_reader reader = {.picture = picture, .end = SIGNATURE_SIZE};
    spng_ctx *png = spng_ctx_new(0);
    if (!png)
        return fail(picture, SPNG_EMEM, error);
    lutra_status status = LUTRA_OK;
    int code = spng_set_png_stream(png, read_critical, &reader);
    if (!code)
        code = spng_get_ihdr(png, &header);
    if (code == SPNG_EOVERFLOW && picture->size >= IHDR_SIZES + 8) {
        /* More than a 32-bit machine can count: beyond the limits, which say so. */
        const uint8_t *sizes = picture->data + IHDR_SIZES;
        status = lutra_picture_begin(picture, big_endian_32(sizes), big_endian_32(sizes + 4), 1, error);
    }
    if (code && !status)
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
