/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from files, through Jansson: duplicate keys refused, errors with the byte where they are. */
#ifndef LUTRA_FORMAT_JSON_H
#define LUTRA_FORMAT_JSON_H

#include <jansson.h>

#include "base/error.h"

/* What is longer, or has more values, is refused before it is parsed. It takes up to 200 bytes for each value
 * (of small objects) and twice its length. A header at the limit of tensors, of 8 dimensions each, has
 * 917,505. */
#define LUTRA_MAX_JSON_BYTES 100000000
#define LUTRA_MAX_JSON_VALUES (1 << 20)

/* `base` is the offset of `text` in the file `path`, for messages; LUTRA_NO_OFFSET where it has none. Release
 * with json_decref. */
lutra_status lutra_json_parse(const void *text, size_t size, const char *path, uint64_t base, json_t **json,
                              lutra_error *error);

/* What is left of these limits for texts that are kept at the same time, as the headers of shards are: each
 * that is parsed takes its part. */
typedef struct lutra_json_room {
    size_t bytes, values;
} lutra_json_room;
#define LUTRA_JSON_ROOM ((lutra_json_room){LUTRA_MAX_JSON_BYTES, LUTRA_MAX_JSON_VALUES})
lutra_status lutra_json_parse_in(lutra_json_room *room, const void *text, size_t size, const char *path,
                                 uint64_t base, json_t **json, lutra_error *error);

/* Adds a member, or an element, whose reference it takes. Where that fails for lack of memory the whole
 * object becomes NULL and stays so, and so does what it is added to: a document is there in full or not at
 * all. Text in it is UTF-8 (else it is lost as if memory had run out). */
void lutra_json_set(json_t **object, const char *key, json_t *value);
void lutra_json_append(json_t **array, json_t *value);

/* A document as text, as json_dumps makes it, with as many digits as lutra_json_parse needs to return the
 * very same numbers; free with free(). NULL: LUTRA_ERROR_MEMORY, as where memory runs out now. `what` is for
 * the message. */
lutra_status lutra_json_text(const json_t *json, size_t flags, const char *what, char **text,
                             lutra_error *error);

/* The whole file; `*json` NULL and LUTRA_OK where it is absent (base/path.h). */
lutra_status lutra_json_read_optional(const char *path, json_t **json, lutra_error *error);

/* A member that must be an integer in 0..limit; LUTRA_ERROR_FORMAT names the key. `found` false where it is
 * absent or null. */
lutra_status lutra_json_size(const json_t *object, const char *key, size_t limit, const char *path,
                             size_t *value, bool *found, lutra_error *error);

#endif
