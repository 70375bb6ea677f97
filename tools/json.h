/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON that commands print. That memory ran out while it was made is told by those that end its way. */
#ifndef LUTRA_TOOLS_JSON_H
#define LUTRA_TOOLS_JSON_H

#include <jansson.h>

#include "command.h"

/* A number, or null where it is none (JSON has no NaN). */
json_t *tool_json_real(double value);
/* The shortest decimal that is the same float: 0.485, not 0.48500001430511475. */
json_t *tool_json_float(float value);
json_t *tool_json_size(uint64_t value);
/* Text; bytes that are not UTF-8 become U+FFFD. NULL becomes null. */
json_t *tool_json_text(const char *text);
json_t *tool_json_preprocessing(const lutra_preprocessing *preprocessing);

/* Sets "threads" and "isa", which every command reports. */
void tool_json_machine(json_t *object, size_t n_threads, const char *isa);
/* The same of a context, and "mode" with its "mode_source", "option" or "auto". */
void tool_json_context(json_t *object, const tool_arguments *arguments, const lutra_context *context);
const char *tool_mode_name(lutra_mode mode);
const char *tool_crop_name(lutra_crop_mode mode);
const char *tool_resample_name(int code);

/* To be called before all else: from now on it is noticed where Jansson runs out of memory, which it mostly
 * keeps to itself. */
void tool_json_watch(void);
/* The same for memory that was not Jansson's to ask for; NULL, which is left out of objects and arrays. */
json_t *tool_json_no_memory(void);
/* json_dumps and json_loads; NULL when out of memory, also where that happened when `json` was made. */
char *tool_json_dump(const json_t *json, size_t flags);
json_t *tool_json_parse(const char *text);

/* Prints and frees `json`, indented or on one line; the exit status. */
int tool_json_print(json_t *json, bool one_line);

#endif
