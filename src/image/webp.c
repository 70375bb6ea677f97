/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebP through libwebp, which decodes whole pictures only (16383 pixels a side at most). Of an animation the
 * first frame is read. Transparency is dropped, not blended.
 */
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "image/exif.h"
#include "image/picture.h"

bool lutra_webp_recognises(const uint8_t *data, size_t size)
{
    return size >= 12 && memcmp(data, "RIFF", 4) == 0 && memcmp(data + 8, "WEBP", 4) == 0;
}

static unsigned find_orientation(const WebPDemuxer *file)
{
    WebPChunkIterator chunk;
    unsigned orientation = 1;
    if (WebPDemuxGetChunk(file, "EXIF", 1, &chunk)) {
        orientation = lutra_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    return orientation;
}

static lutra_status damaged(const lutra_picture *picture, lutra_error *error)
{
    return lutra_fail(error, LUTRA_ERROR_FORMAT, picture->name, LUTRA_NO_OFFSET,
                      "the WebP picture is damaged or cut short");
}

/* Into `rgb`, whose rows lie `row_bytes` apart and end after `size` bytes. */
static lutra_status decode_pixels(const lutra_picture *picture, const WebPData *frame, uint8_t *rgb,
                                  size_t row_bytes, size_t size, lutra_error *error)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, picture->name, LUTRA_NO_OFFSET,
                          "libwebp is not of the version that Lutra was built with");
    config.output.colorspace = MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA = (WebPRGBABuffer){.rgba = rgb, .stride = (int)row_bytes, .size = size};
    switch (WebPDecode(frame->bytes, frame->size, &config)) {
    case VP8_STATUS_OK:
        return LUTRA_OK;
    case VP8_STATUS_OUT_OF_MEMORY:
        return lutra_fail(error, LUTRA_ERROR_MEMORY, picture->name, LUTRA_NO_OFFSET,
                          "not enough memory to decode it");
    default:
        return damaged(picture, error);
    }
}

/* A frame may be smaller than the picture: black, the colour of nothing, surrounds it. */
static lutra_status decode_frame(lutra_picture *picture, const WebPIterator *frame, size_t width,
                                 size_t height, lutra_error *error)
{
    uint8_t *rows = NULL;
    size_t x = (size_t)frame->x_offset, y = (size_t)frame->y_offset, row_bytes = width * 3;
    if (frame->x_offset < 0 || frame->y_offset < 0 || frame->width < 1 || frame->height < 1 || x > width ||
        y > height || (size_t)frame->width > width - x || (size_t)frame->height > height - y)
        return damaged(picture, error);
    lutra_status status = lutra_picture_allocate(width, height, &rows, error);
    if (status)
        return status;
    size_t begin = y * row_bytes + x * 3;
    status =
        decode_pixels(picture, &frame->fragment, rows + begin, row_bytes, row_bytes * height - begin, error);
    for (size_t i = 0; !status && i < height; i++)
        lutra_picture_row(picture, rows + i * row_bytes);
    free(rows);
    return status;
}

lutra_status lutra_webp_decode(lutra_picture *picture, lutra_error *error)
{
    WebPData data = {picture->data, picture->size};
    WebPIterator frame;
    WebPDemuxer *file = WebPDemux(&data);
    if (!file)
        return damaged(picture, error);
    uint32_t width = WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH);
    uint32_t height = WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT);
    lutra_status status = lutra_picture_begin(picture, width, height, find_orientation(file), error);
    if (!status && !WebPDemuxGetFrame(file, 1, &frame))
        status = damaged(picture, error);
    else if (!status) {
        status = decode_frame(picture, &frame, width, height, error);
        WebPDemuxReleaseIterator(&frame);
    }
    WebPDemuxDelete(file);
    return status;
}
