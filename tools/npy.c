/* SPDX-License-Identifier: Apache-2.0 */
#include "npy.h"

#include <stdio.h>
#include <string.h>

#define HEADER_BYTES 128

/* Magic, version 1.0, the length of the rest, and a Python dictionary padded with spaces. */
static void make_header(char header[HEADER_BYTES], size_t n_rows, size_t n_columns)
{
    static const unsigned char start[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, HEADER_BYTES - 10, 0};
    const unsigned one = 1;
    unsigned char low;
    memcpy(&low, &one, 1);
    memset(header, ' ', HEADER_BYTES);
    memcpy(header, start, sizeof start);
    char text[HEADER_BYTES];
    const int n =
        snprintf(text, sizeof text, "{'descr': '%cf4', 'fortran_order': False, 'shape': (%zu, %zu), }",
                 low ? '<' : '>', n_rows, n_columns);
    memcpy(header + sizeof start, text, (size_t)n);
    header[HEADER_BYTES - 1] = '\n';
}

lutra_status tool_write_npy(const char *path, const float *values, size_t n_rows, size_t n_columns,
                            lutra_error *error)
{
    char header[HEADER_BYTES];
    make_header(header, n_rows, n_columns);
    return lutra_write_file(path, header, sizeof header, values, n_rows * n_columns * sizeof *values, error);
}
