/* SPDX-License-Identifier: Apache-2.0 */
/* "Did you mean ...": the nearest of a list of names. */
#ifndef LUTRA_TOOLS_SUGGEST_H
#define LUTRA_TOOLS_SUGGEST_H

#include <stddef.h>

#define TOOL_N_SUGGESTIONS 3

typedef struct tool_suggestions {
    const char *word;
    const char *names[TOOL_N_SUGGESTIONS]; /* the nearest first; NULL: no more */
    size_t distances[TOOL_N_SUGGESTIONS];
} tool_suggestions;

/* Offers `name` for what was written as suggestions->word; kept while it is among the nearest. */
void tool_suggest(tool_suggestions *suggestions, const char *name);

/* " (did you mean X, Y or Z?)" or "" -> `text` [size]; returns `text`. */
const char *tool_suggestions_text(const tool_suggestions *suggestions, char *text, size_t size);

#endif
