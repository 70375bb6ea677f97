/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Half a tile at a time: 8 outputs x 4 inputs, one weight to a byte. For floats, vpshufb brings the four
 * weights of an output to the top byte of its double word, one after the other: 2^24 times the weight,
 * exactly, which the last step takes back. For 8 bits activations are split into their low seven bits and the
 * highest one, so that vpmaddubsw cannot saturate: a row or four leave the look-ups no time for more.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm/few_rows_tuned.h"
#include "kernels/gemm/index_vectors_avx2.h"

#define HALVES 2
#define HALF 32 /* bytes */
#define MAX_GROUP_INPUTS 32
#define FROM_TOP_BYTE 0x1p-24f

LUTRA_INLINE void load_half(const unsigned n_vectors, const uint8_t *block, size_t half, __m256i *vectors)
{
    LUTRA_UNROLL
    for (unsigned v = 0; v < n_vectors; v++)
        vectors[v] =
            _mm256_loadu_si256((const __m256i_u *)(block + v * (size_t)LUTRA_TILE_LANES + half * HALF));
}

/* ---- f32 --------------------------------------------------------------------------------------- */

/* The shuffle that brings byte `i` of each double word to its top and clears the others. */
LUTRA_INLINE __m256i byte_to_top(const unsigned i)
{
    const unsigned clear = 0x00808080u + (i << 24), next = 4u << 24;
    return _mm256_broadcastsi128_si256(
        _mm_set_epi32((int)(clear + 3 * next), (int)(clear + 2 * next), (int)(clear + next), (int)clear));
}

/* Blocks side by side: with a single row, the sums of one alone, each in its order, would wait for each
 * other. */
#define MAX_BLOCKS 2

/* One group of tiles of the blocks with the inputs a[row][0..]. */
LUTRA_INLINE void add_group_f32(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                const size_t m, const size_t n, const uint8_t *const *blocks,
                                const __m256i *table, const float *const *a,
                                __m256 (*sum)[MAX_BLOCKS][HALVES])
{
    __m256i vectors[MAX_BLOCKS][HALVES][8];
    LUTRA_UNROLL
    for (size_t b = 0; b < n; b++)
        LUTRA_UNROLL
    for (size_t half = 0; half < HALVES; half++)
        load_half(n_vectors, blocks[b], half, vectors[b][half]);
    LUTRA_UNROLL
    for (unsigned t = 0; t < n_tiles; t++) {
        __m256i bytes[MAX_BLOCKS][HALVES];
        LUTRA_UNROLL
        for (size_t b = 0; b < n; b++)
            LUTRA_UNROLL
        for (size_t half = 0; half < HALVES; half++)
            bytes[b][half] =
                lutra_look_bytes_up(bits, table, lutra_indices_of_half(bits, n_vectors, vectors[b][half], t));
        LUTRA_UNROLL
        for (unsigned i = 0; i < LUTRA_TILE_INPUTS; i++)
            LUTRA_UNROLL
        for (size_t b = 0; b < n; b++)
            LUTRA_UNROLL
        for (size_t half = 0; half < HALVES; half++) {
            const __m256 w = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(bytes[b][half], byte_to_top(i)));
            LUTRA_UNROLL
            for (size_t row = 0; row < m; row++)
                sum[row][b][half] =
                    _mm256_fmadd_ps(_mm256_set1_ps(a[row][t * LUTRA_TILE_INPUTS + i]), w, sum[row][b][half]);
        }
    }
}

/* n blocks; `rows` has LUTRA_FEW_ROWS rows of which m count. */
LUTRA_INLINE void multiply_blocks_f32(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                      const size_t m, const size_t n, const lutra_index_layout *layout,
                                      const uint8_t *const *begins, const __m256i *table,
                                      const float *const *rows, float (*c)[MAX_BLOCKS][LUTRA_PANEL])
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    const uint8_t *blocks[MAX_BLOCKS] = {begins[0], begins[1]};
    const float *a[LUTRA_FEW_ROWS] = {rows[0], rows[1], rows[2], rows[3]};
    __m256 sum[LUTRA_FEW_ROWS][MAX_BLOCKS][HALVES];
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        LUTRA_UNROLL
    for (size_t b = 0; b < n; b++)
        sum[row][b][0] = sum[row][b][1] = _mm256_setzero_ps();
    size_t k = 0;
    for (; k + group_inputs <= layout->k; k += group_inputs) {
        add_group_f32(bits, n_tiles, n_vectors, m, n, blocks, table, a, sum);
        LUTRA_UNROLL
        for (size_t b = 0; b < n; b++) {
            prefetch_group(n_vectors, blocks[b], n * layout->block_bytes);
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
        add_group_f32(bits, n_tiles, n_vectors, m, n, blocks, table, a, sum);
    }
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        LUTRA_UNROLL
    for (size_t b = 0; b < n; b++)
        LUTRA_UNROLL
    for (size_t half = 0; half < HALVES; half++)
        _mm256_storeu_ps(c[row][b] + 8 * half,
                         _mm256_mul_ps(sum[row][b][half], _mm256_set1_ps(FROM_TOP_BYTE)));
}

LUTRA_INLINE void multiply_rows_f32(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                    const size_t m, const lutra_index_layout *layout,
                                    const uint8_t *const *blocks, const __m256i *table,
                                    const float *const *rows, float (*c)[MAX_BLOCKS][LUTRA_PANEL])
{
    if (m == 1)
        multiply_blocks_f32(bits, n_tiles, n_vectors, 1, MAX_BLOCKS, layout, blocks, table, rows, c);
    else
        multiply_blocks_f32(bits, n_tiles, n_vectors, LUTRA_FEW_ROWS, 1, layout, blocks, table, rows, c);
}

static void make_tables(unsigned bits, const int8_t *codebook, __m256i *table)
{
    if (bits == 4)
        lutra_byte_tables(4, codebook, table);
    else
        lutra_byte_tables(6, codebook, table);
}

static void multiply_any_blocks_f32(const lutra_index_layout *layout, const uint8_t *const *blocks,
                                    const __m256i *table, size_t m, const float *const *rows,
                                    float (*c)[MAX_BLOCKS][LUTRA_PANEL])
{
    switch (layout->bits) {
        TUNED_BITS(multiply_rows_f32, layout, blocks, table, rows, c)
    }
}

void lutra_multiply_few_rows_f32_avx2(const lutra_index_layout *layout, size_t n_blocks,
                                      const uint8_t *blocks, const int8_t *codebook, size_t m, const float *a,
                                      size_t lda, float *c, size_t ldc)
{
    if (layout->bits != 4 && layout->bits != 6) { /* each width takes 10 to 30 KB of code */
        lutra_multiply_few_rows_f32_reference(layout, n_blocks, blocks, codebook, m, a, lda, c, ldc);
        return;
    }
    const float *rows[LUTRA_FEW_ROWS];
    __m256i table[LUTRA_MAX_BYTE_TABLES];
    make_tables(layout->bits, codebook, table);
    for (size_t row = 0; row < LUTRA_FEW_ROWS; row++) /* a row too many counts twice, as does a block */
        rows[row] = a + (row < m ? row : m - 1) * lda;
    const size_t side_by_side = m == 1 ? MAX_BLOCKS : 1;
    for (size_t block = 0; block < n_blocks; block += side_by_side) {
        const size_t n = n_blocks - block < side_by_side ? 1 : side_by_side;
        const uint8_t *first = blocks + block * layout->block_bytes;
        const uint8_t *begins[MAX_BLOCKS] = {first, n == MAX_BLOCKS ? first + layout->block_bytes : first};
        float result[LUTRA_FEW_ROWS][MAX_BLOCKS][LUTRA_PANEL];
        multiply_any_blocks_f32(layout, begins, table, m, rows, result);
        for (size_t row = 0; row < m; row++)
            memcpy(c + row * ldc + block * LUTRA_PANEL, result[row], n * sizeof result[row][0]);
    }
}

/* ---- int8 -------------------------------------------------------------------------------------- */

/* Ones for the inputs in 0..n-1 of a tile, any n. */
static __m256i ones_of(size_t n)
{
    return _mm256_set1_epi32(n >= 4 ? 0x01010101 : 0x01010101 & ((1 << 8 * (int)n) - 1));
}

/* sum += products of unsigned a, at most 128, and signed w in each double word. */
LUTRA_INLINE __m256i dot(__m256i sum, __m256i a, __m256i w)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, w), _mm256_set1_epi16(1)));
}

/* One group of tiles; `left` inputs count in the sums of weights, all of them where `whole`. */
LUTRA_INLINE void add_group_i8(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                               const size_t m, const uint8_t *block, const __m256i *table,
                               const uint8_t *const *a, const bool whole, size_t left, __m256i (*sum)[HALVES],
                               __m256i *of_weights)
{
    const __m256i top = _mm256_set1_epi8((char)-128);
    __m256i vectors[HALVES][8];
    LUTRA_UNROLL
    for (size_t half = 0; half < HALVES; half++)
        load_half(n_vectors, block, half, vectors[half]);
    LUTRA_UNROLL
    for (unsigned t = 0; t < n_tiles; t++) {
        const size_t first = (size_t)LUTRA_TILE_INPUTS * t;
        const __m256i ones = whole ? _mm256_set1_epi8(1) : ones_of(first < left ? left - first : 0);
        __m256i w[HALVES];
        LUTRA_UNROLL
        for (size_t half = 0; half < HALVES; half++) {
            w[half] =
                lutra_look_bytes_up(bits, table, lutra_indices_of_half(bits, n_vectors, vectors[half], t));
            of_weights[half] = dot(of_weights[half], ones, w[half]);
        }
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++) {
            int32_t four;
            memcpy(&four, a[row] + first, sizeof four);
            const __m256i x = _mm256_set1_epi32(four);
            const __m256i high = _mm256_and_si256(x, top), low = _mm256_andnot_si256(top, x);
            LUTRA_UNROLL
            for (size_t half = 0; half < HALVES; half++)
                sum[row][half] = dot(dot(sum[row][half], low, w[half]), high, w[half]);
        }
    }
}

LUTRA_INLINE void multiply_block_i8(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                    const size_t m, const lutra_index_layout *layout, const uint8_t *block,
                                    const __m256i *table, const uint8_t *const *a, const lutra_row_i8 *rows,
                                    float (*c)[LUTRA_PANEL])
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    const uint8_t *at[LUTRA_FEW_ROWS] = {a[0], a[1], a[2], a[3]};
    __m256i sum[LUTRA_FEW_ROWS][HALVES], of_weights[HALVES];
    of_weights[0] = of_weights[1] = _mm256_setzero_si256();
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        sum[row][0] = sum[row][1] = _mm256_setzero_si256();
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
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        LUTRA_UNROLL
    for (size_t half = 0; half < HALVES; half++) {
        const __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(rows[row].zero), of_weights[half]);
        const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[row][half], zero));
        _mm256_storeu_ps(c[row] + 8 * half, _mm256_mul_ps(exact, _mm256_set1_ps(rows[row].scale)));
    }
}

static void multiply_any_block_i8(const lutra_index_layout *layout, const uint8_t *block,
                                  const __m256i *table, size_t m, const uint8_t *const *a,
                                  const lutra_row_i8 *rows, float (*c)[LUTRA_PANEL])
{
    switch (layout->bits) {
        TUNED_BITS(multiply_block_i8, layout, block, table, a, rows, c)
    }
}

void lutra_multiply_few_rows_i8_avx2(const lutra_index_layout *layout, size_t n_blocks, const uint8_t *blocks,
                                     const int8_t *codebook, size_t m, const uint8_t *a, size_t lda,
                                     const lutra_row_i8 *rows, float *c, size_t ldc)
{
    if (layout->bits != 4 && layout->bits != 6) { /* each width takes 10 to 30 KB of code */
        lutra_multiply_few_rows_i8_reference(layout, n_blocks, blocks, codebook, m, a, lda, rows, c, ldc);
        return;
    }
    const uint8_t *at[LUTRA_FEW_ROWS];
    lutra_row_i8 row_of[LUTRA_FEW_ROWS];
    __m256i table[LUTRA_MAX_BYTE_TABLES];
    make_tables(layout->bits, codebook, table);
    for (size_t i = 0; i < LUTRA_FEW_ROWS; i++) { /* a row too many counts twice */
        const size_t row = i < m ? i : m - 1;
        at[i] = a + row * lda;
        row_of[i] = rows[row];
    }
    for (size_t block = 0; block < n_blocks; block++) {
        float result[LUTRA_FEW_ROWS][LUTRA_PANEL];
        multiply_any_block_i8(layout, blocks + block * layout->block_bytes, table, m, at, row_of, result);
        for (size_t row = 0; row < m; row++)
            memcpy(c + row * ldc + block * LUTRA_PANEL, result[row], sizeof result[row]);
    }
}
