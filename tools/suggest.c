/* SPDX-License-Identifier: Apache-2.0 */
#include "suggest.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define LONGEST 63

/* Edits (insert, delete, replace: Levenshtein 1966) that turn `a` into `b`. */
static size_t distance(const char *a, const char *b)
{
    size_t row[LONGEST + 1];
    const size_t n_a = strlen(a), n_b = strlen(b);
    if (n_a > LONGEST || n_b > LONGEST)
        return SIZE_MAX;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            size_t least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = replace < least ? replace : least;
        }
    }
    return row[n_b];
}

void tool_suggest(tool_suggestions *suggestions, const char *name)
{
    const size_t length = strlen(suggestions->word);
    size_t d = distance(suggestions->word, name);
    /* A name that goes on where the word stops is what people cut short. */
    if (length >= 3 && strncmp(suggestions->word, name, length) == 0 && d > 1)
        d = 1;
    if (d > 2 + length / 3)
        return;
    for (size_t i = 0; i < TOOL_N_SUGGESTIONS; i++) {
        if (suggestions->names[i] && suggestions->distances[i] <= d)
            continue;
        for (size_t j = TOOL_N_SUGGESTIONS - 1; j > i; j--) {
            suggestions->names[j] = suggestions->names[j - 1];
            suggestions->distances[j] = suggestions->distances[j - 1];
        }
        suggestions->names[i] = name;
        suggestions->distances[i] = d;
        return;
    }
}

const char *tool_suggestions_text(const tool_suggestions *suggestions, char *text, size_t size)
{
    size_t n = 0, used = 0;
    /* Beside a near miss, what is much further off only distracts. */
    while (n < TOOL_N_SUGGESTIONS && suggestions->names[n] &&
           suggestions->distances[n] <= suggestions->distances[0] + 2)
        n++;
    text[0] = 0;
    for (size_t i = 0; i < n && used < size; i++) {
        const char *before = i == 0 ? " (did you mean " : i + 1 == n ? " or " : ", ";
        const int written = snprintf(text + used, size - used, "%s%s%s", before, suggestions->names[i],
                                     i + 1 == n ? "?)" : "");
        used += written > 0 ? (size_t)written : 0;
    }
    return text;
}
