/* SPDX-License-Identifier: Apache-2.0 */
/* What inspect found, and the two ways to show it. */
#ifndef LUTRA_TOOLS_INSPECT_H
#define LUTRA_TOOLS_INSPECT_H

#include "command.h"

typedef struct tool_inspection {
    const tool_arguments *arguments;
    lutra_tensor_file *file;
    lutra_model *model;   /* NULL where the file is none that runs */
    lutra_error no_model; /* why */
} tool_inspection;

typedef struct tool_totals {
    size_t n_tensors, n_clustered_tensors;
    uint64_t bytes, clustered_bytes; /* in the file, its header not counted */
    uint64_t elements, clustered_elements;
} tool_totals;

tool_totals tool_inspect_totals(const tool_inspection *inspection);

/* Both print on standard output and return the exit status. */
int tool_inspect_text(const tool_inspection *inspection);
int tool_inspect_json(const tool_inspection *inspection);

#endif
