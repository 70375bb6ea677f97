/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of an encoded picture: a mapped file, or all of standard input for the path "-". */
#ifndef LUTRA_IMAGE_ENCODED_INPUT_H
#define LUTRA_IMAGE_ENCODED_INPUT_H

#include "base/file_map.h"

#define LUTRA_MAX_ENCODED_BYTES ((size_t)1 << 30) /* of standard input, which has no size to look at */

typedef struct lutra_encoded_input {
    const char *name;
    const uint8_t *data; /* [size] */
    size_t size;
    lutra_file_map map;
    uint8_t *buffer; /* standard input */
} lutra_encoded_input;

lutra_status lutra_encoded_input_open(const char *path, lutra_encoded_input *input, lutra_error *error);
void lutra_encoded_input_close(lutra_encoded_input *input);

#endif
