/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group of rows times half a panel (8 outputs): 8 sums, two vectors of weights, the ones that widen and
 * what is under way fill 14 of 16 registers. vpmaddubsw adds two products in 16 bits, which 255 * 127 + 255 *
 * 127 exceeds; the panel's order says which tiles are safe by themselves, which are even when two are added
 * up before they are widened, and which have to be halved.
 */
#include <immintrin.h>
#include <string.h>

#include "base/size.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

/* ---- grouping ---------------------------------------------------------------------------------- */

LUTRA_INLINE __m256i load_row(const uint8_t *row)
{
    return _mm256_load_si256((const __m256i *)(const void *)row);
}

/* Eight times eight numbers of 32 bits change places: by pairs, by fours, by halves. */
LUTRA_INLINE void transpose(const __m256i *row, __m256i *column)
{
    __m256i pairs[8], fours[8];
    LUTRA_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        pairs[i] = _mm256_unpacklo_epi32(row[i], row[i + 1]);
        pairs[i + 1] = _mm256_unpackhi_epi32(row[i], row[i + 1]);
    }
    LUTRA_UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        fours[i] = _mm256_unpacklo_epi64(pairs[i], pairs[i + 2]);
        fours[i + 1] = _mm256_unpackhi_epi64(pairs[i], pairs[i + 2]);
        fours[i + 2] = _mm256_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        fours[i + 3] = _mm256_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
    LUTRA_UNROLL
    for (size_t i = 0; i < 4; i++) {
        column[i] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x20);
        column[i + 4] = _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x31);
    }
}

void lutra_group_rows_i8_avx2(size_t n, const uint8_t *rows, size_t ld, uint8_t *group)
{
    __m256i row[LUTRA_GROUP_ROWS], tile[LUTRA_GROUP_ROWS];
    for (size_t k = 0; k < n; k += 32) {
        LUTRA_UNROLL
        for (size_t i = 0; i < LUTRA_GROUP_ROWS; i++)
            row[i] = load_row(rows + i * ld + k);
        transpose(row, tile);
        LUTRA_UNROLL
        for (size_t i = 0; i < LUTRA_GROUP_ROWS; i++)
            _mm256_store_si256((__m256i *)(void *)(group + k * LUTRA_GROUP_ROWS + 32 * i), tile[i]);
    }
}

/* ---- multiplying ------------------------------------------------------------------------------- */

/* Four activations of a row, to be multiplied with a tile's weights. */
LUTRA_INLINE __m256i four_activations(const uint8_t *group, size_t tile, const size_t row)
{
    int32_t four;
    memcpy(&four, group + 32 / LUTRA_ORDER_STEP * tile + 4 * row, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Of 8 outputs. */
LUTRA_INLINE __m256i four_weights(const int8_t *half, size_t tile)
{
    return _mm256_load_si256(
        (const __m256i *)(const void *)(half + (size_t)LUTRA_TILE_LANES / LUTRA_ORDER_STEP * tile));
}

LUTRA_INLINE __m256i add_widened(__m256i sum, __m256i pairs)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Two tiles at a time. */
LUTRA_INLINE void add_pairs(const size_t m, const uint8_t *group, const int8_t *half, size_t n,
                            const uint16_t *tiles, __m256i *sum)
{
    for (const uint16_t *end = tiles + 2 * n; tiles < end; tiles += 2) {
        const size_t first = tiles[0], second = tiles[1];
        const __m256i v = four_weights(half, first), w = four_weights(half, second);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            sum[row] = add_widened(
                sum[row], _mm256_add_epi16(_mm256_maddubs_epi16(four_activations(group, first, row), v),
                                           _mm256_maddubs_epi16(four_activations(group, second, row), w)));
    }
}

LUTRA_INLINE void add_singles(const size_t m, const uint8_t *group, const int8_t *half, size_t n,
                              const uint16_t *tiles, __m256i *sum)
{
    for (const uint16_t *end = tiles + n; tiles < end; tiles++) {
        const __m256i w = four_weights(half, *tiles);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            sum[row] = add_widened(sum[row], _mm256_maddubs_epi16(four_activations(group, *tiles, row), w));
    }
}

/* Weights as two halves, at most 64 each: two of them times 255 fit 16 bits. */
LUTRA_INLINE void add_halved(const size_t m, const uint8_t *group, const int8_t *half, size_t n,
                             const uint16_t *tiles, __m256i *sum)
{
    const __m256i middle = _mm256_set1_epi8((char)-128);
    for (const uint16_t *end = tiles + n; tiles < end; tiles++) {
        const __m256i w = four_weights(half, *tiles);
        /* vpavgb is unsigned: (w + 128 + 128 + 1) / 2 - 128 is w / 2, rounded up. */
        const __m256i up = _mm256_xor_si256(_mm256_avg_epu8(_mm256_xor_si256(w, middle), middle), middle);
        const __m256i down = _mm256_sub_epi8(w, up);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++) {
            const __m256i a = four_activations(group, *tiles, row);
            sum[row] = add_widened(sum[row], _mm256_maddubs_epi16(a, up));
            sum[row] = add_widened(sum[row], _mm256_maddubs_epi16(a, down));
        }
    }
}

/* Called with a constant for m: all loops but those over tiles vanish, and `sum` lives in registers. */
LUTRA_INLINE void multiply_half(const size_t m, const lutra_order_i8 *order, const uint8_t *group,
                                const lutra_row_i8 *rows, const int8_t *half, const int32_t *sums, float *c,
                                size_t ldc)
{
    __m256i sum[LUTRA_GROUP_ROWS];
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i] = _mm256_setzero_si256();
    add_pairs(m, group, half, order->n_pairs, order->pairs, sum);
    add_singles(m, group, half, order->n_singles, order->singles, sum);
    add_halved(m, group, half, order->n_halved, order->halved, sum);
    const __m256i of_weights = _mm256_loadu_si256((const __m256i_u *)sums);
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        const __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(rows[i].zero), of_weights);
        const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[i], zero));
        _mm256_storeu_ps(c + i * ldc, _mm256_mul_ps(exact, _mm256_set1_ps(rows[i].scale)));
    }
}

#define ROWS(m)                                                                                              \
    case m:                                                                                                  \
        multiply_half(m, &order, group, rows, half, sums, c, ldc);                                           \
        break;

void lutra_multiply_ordered_i8_avx2(size_t m, size_t k, const uint8_t *group, const lutra_row_i8 *rows,
                                    size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    const size_t n_tiles = lutra_divide_up(k, LUTRA_TILE_INPUTS);
    for (size_t i = 0; i < 2 * n_panels; i++, c += LUTRA_PANEL / 2) {
        const lutra_panel_i8 *panel = &panels[i / 2];
        const lutra_order_i8 order = lutra_order_of_half_i8(panel->order, n_tiles, i % 2);
        const int8_t *half = panel->tiles + i % 2 * (LUTRA_TILE_LANES / 2);
        const int32_t *sums = panel->sums + i % 2 * (LUTRA_PANEL / 2);
        switch (m) {
            ROWS(1)
            ROWS(2)
            ROWS(3)
            ROWS(4)
            ROWS(5)
            ROWS(6)
            ROWS(7)
            ROWS(8)
        }
    }
}
