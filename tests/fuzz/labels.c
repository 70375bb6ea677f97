/* SPDX-License-Identifier: Apache-2.0 */
/* A list of labels: refused with a reason, or as many texts as its lines or its highest index tell. */
#include "model/labels.h"

#include <string.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *labels = NULL;
    lutra_error error;
    const fuzz_file file = fuzz_open_file(data, size);
    const lutra_status status = lutra_labels_read(file.path, &labels, &error);
    fuzz_close_file(&file);
    if (status) {
        fuzz_require_error(status, &error);
        return 0;
    }
    fuzz_require(json_is_array(labels) && json_array_size(labels) <= LUTRA_MAX_LABELS);
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const json_t *element = json_array_get(labels, i);
        const char *label = json_string_value(element);
        fuzz_require(label && strlen(label) <= size && !strchr(label, '\n'));
        fuzz_require(strlen(label) == json_string_length(element));
    }
    json_decref(labels);
    return 0;
}
