/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/source.h"

#include <string.h>

static void read_f32_row(const void *matrix_, size_t row, float *out)
{
    const lutra_matrix *matrix = matrix_;
    memcpy(out, (const uint8_t *)matrix->dense + row * matrix->k * sizeof(float), matrix->k * sizeof(float));
}

static void read_any_row(const void *matrix, size_t row, float *out)
{
    lutra_matrix_row(matrix, row, out);
}

lutra_row_source lutra_source_of(const lutra_named_matrix *named)
{
    const lutra_matrix *matrix = &named->matrix;
    return (lutra_row_source){.n = matrix->n,
                              .k = matrix->k,
                              .read = matrix->dtype == LUTRA_F32 ? read_f32_row : read_any_row,
                              .matrix = matrix};
}

void lutra_decode_clustering(const lutra_clustering *clustering, size_t n, size_t k, bool scale_per_row,
                             float *weights)
{
    for (size_t row = 0; row < n; row++) {
        const float scale = clustering->scale[scale_per_row ? row : 0];
        for (size_t i = row * k; i < (row + 1) * k; i++)
            weights[i] = scale * clustering->codebook.entries[clustering->indices[i]];
    }
}
