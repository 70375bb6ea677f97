/* SPDX-License-Identifier: Apache-2.0 */
/* What a person sees: messages and progress on standard error, sizes and names as text, Ctrl-C. */
#ifndef LUTRA_TOOLS_TERMINAL_H
#define LUTRA_TOOLS_TERMINAL_H

#include <stdio.h>

#include "command.h"

/* "lutra: ..." on standard error. */
void tool_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, unless --quiet. */
void tool_note(const tool_arguments *arguments, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Prints error->message; returns the exit status: TOOL_FAILED, or TOOL_INTERRUPTED where it was cancelled. */
int tool_fail(const lutra_error *error);
int tool_out_of_memory(void); /* says so, returns TOOL_FAILED */

/* Codes for bold and plain text on `stream`, "" unless it is a terminal that may have colour (NO_COLOR,
 * TERM). */
const char *tool_bold(FILE *stream);
const char *tool_plain(FILE *stream);

/* `text` with what steers a terminal escaped: names come from strangers' files. */
void tool_print(FILE *stream, const char *text);
void tool_print_bold(FILE *stream, const char *text);

typedef struct tool_text {
    char text[32];
} tool_text;
tool_text tool_bytes(uint64_t bytes); /* "4.44 MiB" */
tool_text tool_count(uint64_t count); /* "5,717,416" */
tool_text tool_large(uint64_t count); /* "1.26 G" */

double tool_seconds(void); /* of a clock that only goes forward */

/* Standard streams that the caller has closed stay useless, but no file that is opened takes their numbers:
 * a message would go into it. False where that cannot be. */
bool tool_hold_standard_streams(void);

/* From now on SIGINT and SIGTERM ask for an orderly end, unless the caller has them ignored; a second one
 * ends at once. */
void tool_catch_interrupts(void);
bool tool_interrupted(void);

/* Waits until there is something to read, or no more to come; false once interrupted. */
bool tool_wait_to_read(int descriptor);

/* Sees to it that what was printed has arrived: TOOL_DONE, or what it says went wrong: TOOL_FAILED, or
 * TOOL_INTERRUPTED where Ctrl-C ended the waiting for whoever reads it. */
int tool_finish_output(void);

typedef struct tool_progress {
    const char *action; /* "clustering" */
    bool quiet, terminal, drawn;
    double started, printed;
    uint64_t done;
    unsigned tenths; /* of the work, as last printed where it is not a terminal */
} tool_progress;

void tool_progress_begin(tool_progress *progress, const tool_arguments *arguments, const char *action);
/* A lutra_progress with a tool_progress as `user`; false once interrupted. */
bool tool_progress_update(void *progress, const char *what, uint64_t done, uint64_t total);
/* Wipes the bar; the next update draws it again. */
void tool_progress_hide(tool_progress *progress);

#endif
