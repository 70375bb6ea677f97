/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cuts a stream of JPEGs that follow each other (motion JPEG) into frames. A frame goes from its SOI marker
 * to its EOI marker; marker segments are skipped by their lengths, so that a thumbnail inside one does not
 * end the frame early (ITU-T T.81, annex B). Bytes between frames are passed over. A frame that breaks off is
 * abandoned at the SOI of the next; where it does so inside a segment, it takes with it what the segment's
 * length covers.
 */
#ifndef LUTRA_TOOLS_JPEG_FRAMES_H
#define LUTRA_TOOLS_JPEG_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tool_frame_cutter {
    int state;     /* of the automaton in jpeg_frames.c */
    size_t length; /* bytes of a marker segment still to pass */
    uint8_t *data; /* [size] of the frame so far */
    size_t size, capacity;
    bool too_large;  /* the frame is beyond 64 MiB or the memory: `data` is not whole */
    uint64_t number; /* of the frame, from 1: each SOI counts */
    uint64_t n_abandoned;
} tool_frame_cutter;

/* Takes one byte; true when it ended a frame, which then is cutter->data [cutter->size] until the next call,
 * unless it was too large. */
bool tool_frame_byte(tool_frame_cutter *cutter, uint8_t byte);
/* Whether the stream ended inside a frame. */
bool tool_frame_cut_off(const tool_frame_cutter *cutter);
void tool_frame_free(tool_frame_cutter *cutter);

#endif
