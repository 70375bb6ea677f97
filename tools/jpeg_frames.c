/* SPDX-License-Identifier: Apache-2.0 */
#include "jpeg_frames.h"

#include <stdlib.h>

/* No camera sends larger frames; a stream that is no motion JPEG must not fill the memory. */
#define MAX_FRAME_BYTES (64u << 20)

enum {
    OUTSIDE,       /* waiting for FF D8 */
    OUTSIDE_FF,    /* FF seen */
    BEFORE_MARKER, /* in a frame, FF is next; what stands before it is passed over */
    MARKER,        /* FF seen, the code is next */
    LENGTH_HIGH,
    LENGTH_LOW,
    SEGMENT, /* `length` bytes to pass */
    SCAN,    /* entropy-coded data */
    SCAN_FF,
    ENDED, /* a frame was delivered; `data` is free for the next */
};

enum { SOI = 0xd8, EOI = 0xd9, SOS = 0xda, RST0 = 0xd0, RST7 = 0xd7, TEM = 0x01 };

static void append(tool_frame_cutter *cutter, uint8_t byte)
{
    if (cutter->too_large)
        return;
    if (cutter->size == cutter->capacity) {
        const size_t capacity = cutter->capacity ? 2 * cutter->capacity : 1u << 16;
        uint8_t *larger = capacity <= MAX_FRAME_BYTES ? realloc(cutter->data, capacity) : NULL;
        if (!larger) {
            cutter->too_large = true;
            return;
        }
        cutter->data = larger;
        cutter->capacity = capacity;
    }
    cutter->data[cutter->size++] = byte;
}

static int begin(tool_frame_cutter *cutter)
{
    cutter->size = 0;
    cutter->too_large = false;
    cutter->number++;
    append(cutter, 0xff);
    append(cutter, SOI);
    return BEFORE_MARKER;
}

/* What a marker's code leads to; `length` tells a scan's header from other segments. */
static int after_marker(tool_frame_cutter *cutter, uint8_t code)
{
    if (code == 0xff) /* fill */
        return MARKER;
    if (code == EOI)
        return ENDED;
    if (code == SOI) {
        cutter->n_abandoned++;
        return begin(cutter);
    }
    if (code == 0 || code == TEM || (code >= RST0 && code <= RST7)) /* without a length */
        return BEFORE_MARKER;
    cutter->length = code == SOS;
    return LENGTH_HIGH;
}

/* `length` holds, above its lowest bit, the bytes to pass; the lowest bit says that a scan follows. */
static int after_segment_byte(tool_frame_cutter *cutter)
{
    if (cutter->length >> 1 && (cutter->length -= 2) >> 1)
        return SEGMENT;
    return cutter->length & 1 ? SCAN : BEFORE_MARKER;
}

static int in_frame(tool_frame_cutter *cutter, uint8_t byte)
{
    switch (cutter->state) {
    case BEFORE_MARKER:
        return byte == 0xff ? MARKER : BEFORE_MARKER;
    case MARKER:
        return after_marker(cutter, byte);
    case LENGTH_HIGH:
        cutter->length |= (size_t)byte << 9;
        return LENGTH_LOW;
    case LENGTH_LOW:
        cutter->length |= (size_t)byte << 1;
        if (cutter->length >> 1 < 2)
            cutter->length &= 1; /* as libjpeg takes it: nothing to pass */
        else
            cutter->length -= 2 << 1; /* the length counts its own two bytes */
        return cutter->length >> 1 ? SEGMENT : after_segment_byte(cutter);
    case SEGMENT:
        return after_segment_byte(cutter);
    case SCAN:
        return byte == 0xff ? SCAN_FF : SCAN;
    default: /* SCAN_FF */
        if (byte == 0 || (byte >= RST0 && byte <= RST7))
            return SCAN;
        return byte == 0xff ? SCAN_FF : after_marker(cutter, byte);
    }
}

bool tool_frame_byte(tool_frame_cutter *cutter, uint8_t byte)
{
    if (cutter->state == ENDED)
        cutter->state = OUTSIDE;
    if (cutter->state == OUTSIDE) {
        cutter->state = byte == 0xff ? OUTSIDE_FF : OUTSIDE;
        return false;
    }
    if (cutter->state == OUTSIDE_FF) {
        if (byte != 0xff)
            cutter->state = byte == SOI ? begin(cutter) : OUTSIDE;
        return false;
    }
    append(cutter, byte);
    cutter->state = in_frame(cutter, byte);
    return cutter->state == ENDED;
}

bool tool_frame_cut_off(const tool_frame_cutter *cutter)
{
    return cutter->state != OUTSIDE && cutter->state != OUTSIDE_FF && cutter->state != ENDED;
}

void tool_frame_free(tool_frame_cutter *cutter)
{
    free(cutter->data);
    *cutter = (tool_frame_cutter){0};
}
