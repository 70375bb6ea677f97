/* SPDX-License-Identifier: Apache-2.0 */
#include "operands.h"

#include <math.h>
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

/* A weight in -1..1 as they are spread in a trained matrix: 30 of 127 is the standard deviation (those of
 * DeiT-Tiny's matrices, clustered at 64, are 13 to 37), and each row has one of the largest. */
static float trained_weight(harness *h, size_t column)
{
    float sum = 0;
    if (column == 0)
        return 1;
    for (int i = 0; i < 6; i++)
        sum += random_float(h, -1.0f / 6, 1.0f / 6);
    return sum;
}

static void fill_trained(harness *h, const lutra_matrix *w, float *codebook, uint8_t *packed)
{
    const float last = (float)((1 << w->layout.bits) - 1);
    uint8_t *indices = malloc(LUTRA_TILE_OUTPUTS * w->k);
    if (!indices)
        abort();
    for (size_t i = 0; (float)i <= last; i++)
        codebook[i] = roundf(254 * (float)i / last) - 127;
    for (size_t block = 0; block < w->layout.n_blocks; block++) {
        const size_t rest = w->n - block * LUTRA_TILE_OUTPUTS;
        for (size_t i = 0; i < LUTRA_TILE_OUTPUTS * w->k; i++)
            indices[i] = (uint8_t)roundf((trained_weight(h, i % w->k) + 1) / 2 * last);
        lutra_pack_block(&w->layout, indices, rest < LUTRA_TILE_OUTPUTS ? rest : LUTRA_TILE_OUTPUTS,
                         packed + block * w->layout.block_bytes);
    }
    free(indices);
}

static void make_packed(harness *h, const matrix_kind *kind, random_matrix *result)
{
    lutra_matrix *w = &result->matrix;
    if (!lutra_index_layout_of(w->n, w->k, kind->bits, &w->layout))
        abort();
    uint8_t *packed = guarded(h, w->layout.bytes, 64); /* random bytes: any index, in the padding too */
    float *scale = guarded_floats(h, kind->scale_per_row ? w->n : 1, ORDINARY);
    fill_codebook(h, kind->bits, kind->i8, result->codebook);
    if (kind->trained)
        fill_trained(h, w, result->codebook, packed);
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
        const float value = kind->trained ? trained_weight(h, i % w->k) : random_float(h, -2.0f, 2.0f);
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
