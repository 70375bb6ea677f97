/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "base/memory.h"
#include "image/encoded_input.h"
#include "image/picture.h"

static const lutra_codec codecs[] = {
#define LUTRA_CODEC(name) {#name, lutra_##name##_recognises, lutra_##name##_decode},
#include "image/codecs.inc"
#undef LUTRA_CODEC
    {NULL, NULL, NULL},
};

lutra_status lutra_picture_begin(lutra_picture *picture, uint64_t width, uint64_t height,
                                 unsigned orientation, lutra_error *error)
{
    if (width == 0 || height == 0)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, picture->name, LUTRA_NO_OFFSET,
                          "the picture is %" PRIu64 " x %" PRIu64 " pixels", width, height);
    if (width > LUTRA_MAX_SIDE || height > LUTRA_MAX_SIDE || width * height > LUTRA_MAX_PIXELS)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, picture->name, LUTRA_NO_OFFSET,
                          "the picture is %" PRIu64 " x %" PRIu64
                          " pixels; the limits are 2^28 pixels and 2^20 a side",
                          width, height);
    if (picture->preprocessing->ignore_exif || orientation < 1 || orientation > 8)
        orientation = 1;
    const lutra_status status = lutra_resizer_create(picture->preprocessing, (size_t)width, (size_t)height,
                                                     orientation, picture->pixels, &picture->resizer, error);
    return status == LUTRA_ERROR_UNSUPPORTED
               ? lutra_fail(error, status, picture->name, LUTRA_NO_OFFSET,
                            "%" PRIu64 " x %" PRIu64 " pixels are too narrow to be resized", width, height)
               : status;
}

lutra_status lutra_picture_allocate(uint64_t width, uint64_t height, uint8_t **rows, lutra_error *error)
{
    size_t n = (size_t)(width * height); /* lutra_picture_begin has checked them */
    *rows = calloc(n, 3);
    return *rows ? LUTRA_OK : lutra_fail_memory(error, n * 3, "a whole picture");
}

static const lutra_codec *find_codec(const lutra_picture *picture)
{
    for (const lutra_codec *codec = codecs; codec->recognises; codec++)
        if (codec->recognises(picture->data, picture->size))
            return codec;
    return NULL;
}

/* Why no codec was found. */
static lutra_status fail_unrecognised(const lutra_picture *picture, lutra_error *error)
{
    if (!codecs[0].name)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, picture->name, LUTRA_NO_OFFSET,
                          "this build of Lutra reads no picture files");
    if (picture->size == 0)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, picture->name, LUTRA_NO_OFFSET, "is empty");
    return lutra_fail(error, LUTRA_ERROR_FORMAT, picture->name, 0, "is not a JPEG, PNG or WebP picture");
}

lutra_status lutra_image_read_memory(const void *data, size_t size, const char *name,
                                     const lutra_preprocessing *preprocessing, uint8_t *pixels,
                                     lutra_error *error)
{
    lutra_picture picture = {
        .name = name, .data = data, .size = size, .preprocessing = preprocessing, .pixels = pixels};
    const lutra_codec *codec = find_codec(&picture);
    lutra_status status = codec ? codec->decode(&picture, error) : fail_unrecognised(&picture, error);
    lutra_resizer_free(picture.resizer);
    return status;
}

lutra_status lutra_image_read(const char *path, const lutra_preprocessing *preprocessing, uint8_t *pixels,
                              lutra_error *error)
{
    lutra_encoded_input input = {0};
    lutra_status status = lutra_encoded_input_open(path, &input, error);
    if (!status)
        status = lutra_image_read_memory(input.data, input.size, input.name, preprocessing, pixels, error);
    lutra_encoded_input_close(&input);
    return status;
}

static void order_row(const uint8_t *source, size_t width, lutra_pixel_order order, uint8_t *row)
{
    size_t bytes = order == LUTRA_RGBA ? 4 : 3, red = order == LUTRA_BGR ? 2 : 0;
    for (size_t x = 0; x < width; x++, source += bytes, row += 3) {
        row[0] = source[red];
        row[1] = source[1];
        row[2] = source[2 - red];
    }
}

lutra_status lutra_image_from_rgb8(const uint8_t *source, size_t width, size_t height, size_t stride,
                                   lutra_pixel_order order, const lutra_preprocessing *preprocessing,
                                   uint8_t *pixels, lutra_error *error)
{
    lutra_picture picture = {.preprocessing = preprocessing, .pixels = pixels};
    uint8_t *row = NULL;
    if (order != LUTRA_RGB && order != LUTRA_BGR && order != LUTRA_RGBA)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "unknown pixel order");
    if (width == 0 || height == 0 || stride / (order == LUTRA_RGBA ? 4 : 3) < width)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "a frame of %zu x %zu pixels with rows %zu bytes apart", width, height, stride);
    lutra_status status = lutra_picture_begin(&picture, width, height, 1, error);
    if (!status && order != LUTRA_RGB)
        status = lutra_allocate(width, 3, "a row of a frame", &row, error);
    for (size_t y = 0; !status && y < height; y++) {
        if (row)
            order_row(source + y * stride, width, order, row);
        lutra_picture_row(&picture, row ? row : source + y * stride);
    }
    free(row);
    lutra_resizer_free(picture.resizer);
    return status;
}
