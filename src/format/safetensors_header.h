/* SPDX-License-Identifier: Apache-2.0 */
/* One safetensors file in memory: its header parsed, its tensors checked against what the file holds. */
#ifndef LUTRA_FORMAT_SAFETENSORS_HEADER_H
#define LUTRA_FORMAT_SAFETENSORS_HEADER_H

#include <jansson.h>

#include "format/json.h"
#include "format/safetensors.h"

/* The format's own limit; here also that of other JSON files. */
#define LUTRA_MAX_HEADER_BYTES LUTRA_MAX_JSON_BYTES

/* `*tensors` [*n_tensors], ordered by offset, malloc'ed; their names live as long as `*header`, for which
 * there must be room. */
lutra_status lutra_safetensors_parse(const uint8_t *data, size_t size, const char *path,
                                     lutra_json_room *room, json_t **header, lutra_tensor **tensors,
                                     size_t *n_tensors, lutra_error *error);

#endif
