/* SPDX-License-Identifier: Apache-2.0 */
#include "operands.h"

#include <stdlib.h>
#include <string.h>

void fill_codebook(harness *h, unsigned bits, bool i8, float *codebook)
{
    memset(codebook, 0, 256 * sizeof *codebook);
    for (size_t i = 0; i < (size_t)1 << bits; i++)
        codebook[i] = i8 ? (float)((int)random_below(h, 255) - 127) : random_float(h, -3.0f, 3.0f);
    if (i8) {
        codebook[0] = -127.0f;
        codebook[((size_t)1 << bits) - 1] = 127.0f;
    }
}

static void make_packed(harness *h, const matrix_kind *kind, random_matrix *result)
{
    lutra_matrix *w = &result->matrix;
    if (!lutra_index_layout_of(w->n, w->k, kind->bits, &w->layout))
        abort();
    uint8_t *packed = guarded(h, w->layout.bytes, 64); /* random bytes: any index, in the padding too */
    float *scale = guarded_floats(h, kind->scale_per_row ? w->n : 1, ORDINARY);
    fill_codebook(h, kind->bits, kind->i8, result->codebook);
    w->indices = packed;
    w->codebook = result->codebook;
    w->codebook_is_i8 = kind->i8;
    w->scale = scale;
    w->scale_per_row = kind->scale_per_row;
}

static void make_dense(harness *h, const matrix_kind *kind, random_matrix *result)
{
    lutra_matrix *w = &result->matrix;
    const size_t size = kind->dtype == LUTRA_F64 ? 8 : kind->dtype == LUTRA_F32 ? 4 : 2;
    char *dense = guarded(h, w->n * w->k * size, 1);
    w->dense = dense;
    w->dtype = kind->dtype;
    for (size_t i = 0; i < w->n * w->k; i++) {
        const float value = random_float(h, -2.0f, 2.0f);
        const double wide = (double)value * 1.000000001;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        /* The upper half of an f32 is a BF16; any bits with an exponent below the last are a finite F16. */
        const uint16_t half = kind->dtype == LUTRA_BF16 ? (uint16_t)(bits >> 16) : (uint16_t)(bits & 0xbfffu);
        memcpy(dense + i * size,
               kind->dtype == LUTRA_F64   ? (const void *)&wide
               : kind->dtype == LUTRA_F32 ? (const void *)&value
                                          : (const void *)&half,
               size);
    }
}

void make_matrix(harness *h, size_t n, size_t k, matrix_kind kind, random_matrix *result)
{
    *result = (random_matrix){.matrix = {.n = n, .k = k}};
    if (kind.bits)
        make_packed(h, &kind, result);
    else
        make_dense(h, &kind, result);
}

const char *name_of_matrix(const matrix_kind *kind, char *text, size_t size)
{
    if (kind->bits)
        snprintf(text, size, "%u-bit indices, %s codebook, %s", kind->bits, kind->i8 ? "I8" : "F32",
                 kind->scale_per_row ? "row scales" : "one scale");
    else
        snprintf(text, size, "dense %s",
                 kind->dtype == LUTRA_F64   ? "F64"
                 : kind->dtype == LUTRA_F32 ? "F32"
                 : kind->dtype == LUTRA_F16 ? "F16"
                                            : "BF16");
    return text;
}
