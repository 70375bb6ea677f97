/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect.h"

tool_totals tool_inspect_totals(const tool_inspection *inspection)
{
    tool_totals totals = {0};
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
        }
    }
    return totals;
}
