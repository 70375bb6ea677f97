/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 64 weights are looked up by one vpermb. In 8 bits they are vpdpbusd's operand as they are. For floats,
 * vpshufb brings the four weights of an output to the top byte of its double word, one after the other: 2^24
 * times the weight, exactly, which the last step takes back.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm/few_rows_tuned.h"
#include "kernels/gemm/index_vectors_avx512.h"
#include "kernels/gemm/look_up_vbmi.h"

#define MAX_GROUP_INPUTS 32
#define FROM_TOP_BYTE 0x1p-24f

LUTRA_INLINE void load_table(const int8_t *codebook, __m512i *table)
{
    LUTRA_UNROLL
    for (size_t i = 0; i < LUTRA_MAX_VBMI_TABLES; i++)
        table[i] = _mm512_loadu_si512(codebook + 64 * i);
}

/* ---- f32 --------------------------------------------------------------------------------------- */

/* Two blocks side by side: the sums of one alone, each in its order, would wait for each other. */
#define PAIR 2

/* The shuffle that brings byte `i` of each double word to its top and clears the others. */
LUTRA_INLINE __m512i byte_to_top(const unsigned i)
{
    const unsigned clear = 0x00808080u + (i << 24), next = 4u << 24;
    return _mm512_broadcast_i32x4(
        _mm_set_epi32((int)(clear + 3 * next), (int)(clear + 2 * next), (int)(clear + next), (int)clear));
}

/* One group of tiles of both blocks with the inputs a[row][0..]. */
LUTRA_INLINE void add_group_f32(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                const size_t m, const uint8_t *const *blocks, const __m512i *table,
                                const float *const *a, __m512 (*sum)[PAIR])
{
    __m512i vectors[PAIR][8];
    LUTRA_UNROLL
    for (size_t b = 0; b < PAIR; b++)
        LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++)
        vectors[b][v] = _mm512_loadu_si512(blocks[b] + v * (size_t)LUTRA_TILE_LANES);
    LUTRA_UNROLL
    for (unsigned t = 0; t < n_tiles; t++) {
        __m512i bytes[PAIR];
        LUTRA_UNROLL
        for (size_t b = 0; b < PAIR; b++)
            bytes[b] = lutra_look_up_vbmi(bits, table, lutra_indices_of_tile(bits, n_vectors, vectors[b], t));
        LUTRA_UNROLL
        for (unsigned i = 0; i < LUTRA_TILE_INPUTS; i++)
            LUTRA_UNROLL
        for (size_t b = 0; b < PAIR; b++) {
            const __m512 w = _mm512_cvtepi32_ps(_mm512_shuffle_epi8(bytes[b], byte_to_top(i)));
            LUTRA_UNROLL
            for (size_t row = 0; row < m; row++)
                sum[row][b] =
                    _mm512_fmadd_ps(_mm512_set1_ps(a[row][t * LUTRA_TILE_INPUTS + i]), w, sum[row][b]);
        }
    }
}

/* A pair of blocks; `a` has LUTRA_FEW_ROWS rows of which m count. */
LUTRA_INLINE void multiply_pair_f32(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                    const size_t m, const lutra_index_layout *layout,
                                    const uint8_t *const *pair, const int8_t *codebook,
                                    const float *const *rows, float (*c)[PAIR][LUTRA_PANEL])
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    const uint8_t *blocks[PAIR] = {pair[0], pair[1]};
    const float *a[LUTRA_FEW_ROWS] = {rows[0], rows[1], rows[2], rows[3]};
    __m512i table[LUTRA_MAX_VBMI_TABLES];
    __m512 sum[LUTRA_FEW_ROWS][PAIR];
    load_table(codebook, table);
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        sum[row][0] = sum[row][1] = _mm512_setzero_ps();
    size_t k = 0;
    for (; k + group_inputs <= layout->k; k += group_inputs) {
        add_group_f32(bits, n_tiles, n_vectors, m, blocks, table, a, sum);
        LUTRA_UNROLL
        for (size_t b = 0; b < PAIR; b++) {
            prefetch_group(n_vectors, blocks[b], PAIR * layout->block_bytes);
            blocks[b] += n_vectors * (size_t)LUTRA_TILE_LANES;
        }
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            a[row] += group_inputs;
    }
    if (k < layout->k) { /* inputs beyond k are zeros */
        float last[LUTRA_FEW_ROWS][MAX_GROUP_INPUTS] = {{0}};
        for (size_t row = 0; row < m; row++) {
            memcpy(last[row], a[row], (layout->k - k) * sizeof(float));
            a[row] = last[row];
        }
        add_group_f32(bits, n_tiles, n_vectors, m, blocks, table, a, sum);
    }
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        LUTRA_UNROLL
    for (size_t b = 0; b < PAIR; b++)
        _mm512_storeu_ps(c[row][b], _mm512_mul_ps(sum[row][b], _mm512_set1_ps(FROM_TOP_BYTE)));
}

static void multiply_any_pair_f32(const lutra_index_layout *layout, const uint8_t *const *pair,
                                  const int8_t *codebook, size_t m, const float *const *rows,
                                  float (*c)[PAIR][LUTRA_PANEL])
{
    switch (layout->bits) {
        TUNED_BITS(multiply_pair_f32, layout, pair, codebook, rows, c)
    }
}

void lutra_multiply_few_rows_f32_avx512vnni(const lutra_index_layout *layout, size_t n_blocks,
                                            const uint8_t *blocks, const int8_t *codebook, size_t m,
                                            const float *a, size_t lda, float *c, size_t ldc)
{
    if (layout->bits != 4 && layout->bits != 6) { /* each width takes 10 to 30 KB of code */
        lutra_multiply_few_rows_f32_reference(layout, n_blocks, blocks, codebook, m, a, lda, c, ldc);
        return;
    }
    const float *rows[LUTRA_FEW_ROWS];
    for (size_t row = 0; row < LUTRA_FEW_ROWS; row++) /* a row too many counts twice */
        rows[row] = a + (row < m ? row : m - 1) * lda;
    for (size_t block = 0; block < n_blocks; block += PAIR) {
        const size_t n = n_blocks - block < PAIR ? 1 : PAIR;
        const uint8_t *first = blocks + block * layout->block_bytes;
        const uint8_t *pair[PAIR] = {first, n == PAIR ? first + layout->block_bytes : first};
        float result[LUTRA_FEW_ROWS][PAIR][LUTRA_PANEL];
        multiply_any_pair_f32(layout, pair, codebook, m, rows, result);
        for (size_t row = 0; row < m; row++)
            memcpy(c + row * ldc + block * LUTRA_PANEL, result[row], n * sizeof result[row][0]);
    }
}

/* ---- int8 -------------------------------------------------------------------------------------- */

#define CHAINS 4 /* sums of one row that do not wait for each other */

LUTRA_INLINE __m512i four_activations(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

/* Ones for the inputs in 0..n-1 of a tile, any n. */
static __m512i ones_of(size_t n)
{
    return _mm512_set1_epi32(n >= 4 ? 0x01010101 : 0x01010101 & ((1 << 8 * (int)n) - 1));
}

/* One group of tiles; `left` inputs count in the sums of weights, all of them where `whole`. */
LUTRA_INLINE void add_group_i8(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                               const size_t m, const uint8_t *block, const __m512i *table,
                               const uint8_t *const *a, const bool whole, size_t left, __m512i (*sum)[CHAINS],
                               __m512i *of_weights)
{
    __m512i vectors[8];
    LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++)
        vectors[v] = _mm512_loadu_si512(block + v * (size_t)LUTRA_TILE_LANES);
    LUTRA_UNROLL
    for (unsigned t = 0; t < n_tiles; t++) {
        const size_t first = (size_t)LUTRA_TILE_INPUTS * t;
        const __m512i w = lutra_look_up_vbmi(bits, table, lutra_indices_of_tile(bits, n_vectors, vectors, t));
        const __m512i ones = whole ? _mm512_set1_epi8(1) : ones_of(first < left ? left - first : 0);
        of_weights[t % CHAINS] = _mm512_dpbusd_epi32(of_weights[t % CHAINS], ones, w);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            sum[row][t % CHAINS] =
                _mm512_dpbusd_epi32(sum[row][t % CHAINS], four_activations(a[row] + first), w);
    }
}

LUTRA_INLINE __m512i total(const __m512i *chains)
{
    return _mm512_add_epi32(_mm512_add_epi32(chains[0], chains[1]), _mm512_add_epi32(chains[2], chains[3]));
}

LUTRA_INLINE void multiply_block_i8(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                    const size_t m, const lutra_index_layout *layout, const uint8_t *block,
                                    const int8_t *codebook, const uint8_t *const *a, const lutra_row_i8 *rows,
                                    float (*c)[LUTRA_PANEL])
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    const uint8_t *at[LUTRA_FEW_ROWS] = {a[0], a[1], a[2], a[3]};
    __m512i table[LUTRA_MAX_VBMI_TABLES], sum[LUTRA_FEW_ROWS][CHAINS], of_weights[CHAINS];
    load_table(codebook, table);
    LUTRA_UNROLL
    for (size_t i = 0; i < CHAINS; i++) {
        of_weights[i] = _mm512_setzero_si512();
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            sum[row][i] = _mm512_setzero_si512();
    }
    size_t k = 0;
    for (; k + group_inputs <= layout->k; k += group_inputs) {
        prefetch_group(n_vectors, block, layout->block_bytes);
        add_group_i8(bits, n_tiles, n_vectors, m, block, table, at, true, 0, sum, of_weights);
        block += n_vectors * (size_t)LUTRA_TILE_LANES;
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            at[row] += group_inputs;
    }
    if (k < layout->k)
        add_group_i8(bits, n_tiles, n_vectors, m, block, table, at, false, layout->k - k, sum, of_weights);
    const __m512i weights = total(of_weights);
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++) {
        const __m512i zero = _mm512_mullo_epi32(_mm512_set1_epi32(rows[row].zero), weights);
        const __m512 exact = _mm512_cvtepi32_ps(_mm512_sub_epi32(total(sum[row]), zero));
        _mm512_storeu_ps(c[row], _mm512_mul_ps(exact, _mm512_set1_ps(rows[row].scale)));
    }
}

static void multiply_any_block_i8(const lutra_index_layout *layout, const uint8_t *block,
                                  const int8_t *codebook, size_t m, const uint8_t *const *a,
                                  const lutra_row_i8 *rows, float (*c)[LUTRA_PANEL])
{
    switch (layout->bits) {
        TUNED_BITS(multiply_block_i8, layout, block, codebook, a, rows, c)
    }
}

void lutra_multiply_few_rows_i8_avx512vnni(const lutra_index_layout *layout, size_t n_blocks,
                                           const uint8_t *blocks, const int8_t *codebook, size_t m,
                                           const uint8_t *a, size_t lda, const lutra_row_i8 *rows, float *c,
                                           size_t ldc)
{
    if (layout->bits != 4 && layout->bits != 6) { /* each width takes 10 to 30 KB of code */
        lutra_multiply_few_rows_i8_reference(layout, n_blocks, blocks, codebook, m, a, lda, rows, c, ldc);
        return;
    }
    const uint8_t *at[LUTRA_FEW_ROWS];
    lutra_row_i8 row_of[LUTRA_FEW_ROWS];
    for (size_t i = 0; i < LUTRA_FEW_ROWS; i++) { /* a row too many counts twice */
        const size_t row = i < m ? i : m - 1;
        at[i] = a + row * lda;
        row_of[i] = rows[row];
    }
    for (size_t block = 0; block < n_blocks; block++) {
        float result[LUTRA_FEW_ROWS][LUTRA_PANEL];
        multiply_any_block_i8(layout, blocks + block * layout->block_bytes, codebook, m, at, row_of, result);
        for (size_t row = 0; row < m; row++)
            memcpy(c + row * ldc + block * LUTRA_PANEL, result[row], sizeof result[row]);
    }
}
