/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy format, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef LUTRA_TOOLS_NPY_H
#define LUTRA_TOOLS_NPY_H

#include "lutra/lutra.h"

/* Writes `values` [n_rows][n_columns] to `path`, whole or not at all. Errors: IO. */
lutra_status tool_write_npy(const char *path, const float *values, size_t n_rows, size_t n_columns,
                            lutra_error *error);

#endif
