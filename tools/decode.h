/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads pictures, several at a time on several threads:
 *
 *     while (tool_decoder_next(&decoder, &files))          // decodes up to max_batch
 *         lutra_context_run(context, decoder.pixels, decoder.n, ...);
 *
 * A picture that cannot be read is said so once, counted and left out.
 */
#ifndef LUTRA_TOOLS_DECODE_H
#define LUTRA_TOOLS_DECODE_H

#include "inputs.h"
#include "terminal.h"

typedef struct tool_decoder {
    const lutra_preprocessing *preprocessing;
    size_t max_batch, n_threads, picture_bytes;
    bool silent; /* no messages: another decoder of the same files gives them */

    uint8_t *pixels; /* [n][height][width][3]: those that could be read */
    size_t *index;   /* [n]: which of the files each one is */
    size_t n;

    size_t first, end;   /* the files [first, end) were tried in this batch */
    lutra_error *errors; /* [end - first]; status LUTRA_OK where the picture was read */
    size_t n_unreadable; /* so far */
    double seconds;      /* so far, decoding */
} tool_decoder;

/* False when out of memory; to be freed either way. */
bool tool_decoder_create(tool_decoder *decoder, const lutra_model_info *info, size_t max_batch,
                         size_t n_threads);
void tool_decoder_free(tool_decoder *decoder);

/* Decodes the next files; false at their end or once interrupted. May leave n = 0. `progress` (or NULL) is
 * hidden before a message. */
bool tool_decoder_next(tool_decoder *decoder, const tool_files *files, tool_progress *progress);

#endif
