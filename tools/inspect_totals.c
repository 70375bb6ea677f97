/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "inspect.h"

/* The codebook of scope model is a tensor of its own (docs/format.md). */
static bool is_shared_codebook(const lutra_tensor_info *tensor)
{
    return !tensor->n_clusters && strcmp(tensor->name, "lutra.codebook") == 0;
}

tool_totals tool_inspect_totals(const tool_inspection *inspection)
{
    tool_totals totals = {0};
    uint64_t shared_bytes = 0, shared_elements = 0;
    bool is_shared = false;
    totals.n_tensors = lutra_tensor_file_n_tensors(inspection->file);
    for (size_t i = 0; i < totals.n_tensors; i++) {
        const lutra_tensor_info *tensor = lutra_tensor_file_tensor(inspection->file, i);
        uint64_t elements = 1;
        for (size_t j = 0; j < tensor->rank; j++)
            elements *= tensor->shape[j];
        totals.bytes += tensor->bytes;
        totals.elements += elements;
        if (tensor->n_clusters) {
            totals.n_clustered_tensors++;
            totals.clustered_bytes += tensor->bytes;
            totals.clustered_elements += elements;
            is_shared |= strcmp(tensor->scope, "model") == 0;
        } else if (is_shared_codebook(tensor)) {
            shared_bytes = tensor->bytes;
            shared_elements = elements;
        }
    }
    if (is_shared) {
        totals.clustered_bytes += shared_bytes;
        totals.elements -= shared_elements; /* which are no weights */
    }
    return totals;
}
