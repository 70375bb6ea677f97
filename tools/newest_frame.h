/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the thread that reads a stream and the one that classifies it, which may be slower: of the frames
 * that came meanwhile only the newest is kept.
 */
#ifndef LUTRA_TOOLS_NEWEST_FRAME_H
#define LUTRA_TOOLS_NEWEST_FRAME_H

#include <pthread.h>

#include "jpeg_frames.h"

typedef struct tool_newest_frame {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint8_t *data; /* [size]: the newest that nobody took yet; NULL: none */
    size_t size;
    uint64_t number;  /* of it */
    uint64_t dropped; /* frames that were replaced, since the last one taken */
    uint64_t too_large;
    bool ended;
} tool_newest_frame;

#define TOOL_NO_FRAME_YET                                                                                    \
    {                                                                                                        \
        .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                               \
    }

typedef struct tool_taken_frame {
    uint8_t *data; /* [size], owned */
    size_t size;
    uint64_t number, dropped;
} tool_taken_frame;

/* Hands a copy of the cutter's frame over; an older one that waits is dropped. */
void tool_newest_frame_offer(tool_newest_frame *newest, const tool_frame_cutter *cutter);
/* No more will come. */
void tool_newest_frame_end(tool_newest_frame *newest);
/* Waits for a frame and takes it; false at the end of the stream. */
bool tool_newest_frame_take(tool_newest_frame *newest, tool_taken_frame *taken);

#endif
