/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_MODEL_LABELS_H
#define LUTRA_MODEL_LABELS_H

#include <jansson.h>

#include "base/error.h"

#define LUTRA_MAX_LABELS 65536
#define LUTRA_MAX_LABEL_BYTES ((size_t)64 << 20) /* of a file of them */

/* LUTRA_ERROR_FORMAT where a file has more labels than may be; to be asked before memory is taken for them.
 */
lutra_status lutra_labels_check_count(size_t n, const char *path, lutra_error *error);

/* `*labels`: a new JSON array of strings, in the order of the classes. */
lutra_status lutra_labels_read(const char *path, json_t **labels, lutra_error *error);

#endif
