/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows times half a panel (8 outputs): up to 7 sums, two vectors of weights, and what is under way fill 14 of
 * 16 registers. vpmaddubsw adds two products in 16 bits, which 255 * 127 + 255 * 127 exceeds; the panel's
 * order says which tiles are safe by themselves, which are even when two are added up before they are
 * widened, and which have to be halved.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define MAX_ROWS 7
#define BASE_ROWS 3
#define N_BASES ((MAX_ROWS + BASE_ROWS - 1) / BASE_ROWS)

/* What stays the same in a product of up to MAX_ROWS rows and half a panel. */
struct half {
    const uint8_t *base[N_BASES]; /* every BASE_ROWS-th row: x86 addresses base + {0, 1, 2} * lda */
    size_t lda;
    const int8_t *tiles; /* 32 of each 64 bytes */
};

/* Four activations of a row, from input k on. */
LUTRA_INLINE __m256i four_activations(const struct half *h, const size_t row, size_t k)
{
    int32_t four;
    memcpy(&four, h->base[row / BASE_ROWS] + k + row % BASE_ROWS * h->lda, sizeof four);
    return _mm256_set1_epi32(four);
}

/* Weights of inputs k to k + 3. */
LUTRA_INLINE __m256i four_weights(const struct half *h, size_t k)
{
    return _mm256_load_si256((const __m256i *)(const void *)(h->tiles + k * LUTRA_PANEL));
}

LUTRA_INLINE __m256i widen(__m256i pairs)
{
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

/* Two tiles at a time. */
LUTRA_INLINE void add_pairs(const size_t m, const struct half *h, size_t n, const uint16_t *inputs,
                            __m256i *sum)
{
    for (size_t i = 0; i < n; i++, inputs += 2) {
        const __m256i first = four_weights(h, inputs[0]), second = four_weights(h, inputs[1]);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++) {
            const __m256i products =
                _mm256_add_epi16(_mm256_maddubs_epi16(four_activations(h, row, inputs[0]), first),
                                 _mm256_maddubs_epi16(four_activations(h, row, inputs[1]), second));
            sum[row] = _mm256_add_epi32(sum[row], widen(products));
        }
    }
}

LUTRA_INLINE void add_singles(const size_t m, const struct half *h, size_t n, const uint16_t *inputs,
                              __m256i *sum)
{
    for (size_t i = 0; i < n; i++) {
        const __m256i w = four_weights(h, inputs[i]);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            sum[row] = _mm256_add_epi32(sum[row],
                                        widen(_mm256_maddubs_epi16(four_activations(h, row, inputs[i]), w)));
    }
}

/* Weights as two halves, at most 64 each: two of them times 255 fit 16 bits. */
LUTRA_INLINE void add_halved(const size_t m, const struct half *h, size_t n, const uint16_t *inputs,
                             __m256i *sum)
{
    const __m256i middle = _mm256_set1_epi8((char)-128);
    for (size_t i = 0; i < n; i++) {
        const __m256i w = four_weights(h, inputs[i]);
        /* vpavgb is unsigned: (w + 128 + 128 + 1) / 2 - 128 is w / 2, rounded up. */
        const __m256i up = _mm256_xor_si256(_mm256_avg_epu8(_mm256_xor_si256(w, middle), middle), middle);
        const __m256i down = _mm256_sub_epi8(w, up);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++) {
            const __m256i a = four_activations(h, row, inputs[i]);
            sum[row] = _mm256_add_epi32(sum[row], widen(_mm256_maddubs_epi16(a, up)));
            sum[row] = _mm256_add_epi32(sum[row], widen(_mm256_maddubs_epi16(a, down)));
        }
    }
}

/* Called with a constant for m: all loops but those over k vanish, and `sum` lives in registers. */
LUTRA_INLINE void multiply_half(const size_t m, size_t k, const uint8_t *a, size_t lda,
                                const lutra_row_i8 *rows, const lutra_panel_i8 *panel, const size_t half,
                                float *c, size_t ldc)
{
    const size_t n_tiles = (k + LUTRA_TILE_INPUTS - 1) / LUTRA_TILE_INPUTS;
    const lutra_order_i8 order = lutra_order_of_half_i8(panel->order, n_tiles, half);
    struct half h = {.lda = lda, .tiles = panel->tiles + half * (LUTRA_TILE_LANES / 2)};
    __m256i sum[MAX_ROWS];
    LUTRA_UNROLL
    for (size_t i = 0; i < N_BASES; i++)
        h.base[i] = a + (i * BASE_ROWS < m ? i * BASE_ROWS * lda : 0);
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        sum[i] = _mm256_setzero_si256();
    add_pairs(m, &h, order.n_pairs, order.pairs, sum);
    add_singles(m, &h, order.n_singles, order.singles, sum);
    add_halved(m, &h, order.n_halved, order.halved, sum);
    const __m256i of_weights = _mm256_loadu_si256((const __m256i_u *)(panel->sums + 8 * half));
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++) {
        const __m256i zero = _mm256_mullo_epi32(_mm256_set1_epi32(rows[i].zero), of_weights);
        const __m256 exact = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[i], zero));
        _mm256_storeu_ps(c + i * ldc + 8 * half, _mm256_mul_ps(exact, _mm256_set1_ps(rows[i].scale)));
    }
}

#define ROWS(m)                                                                                              \
    case m:                                                                                                  \
        multiply_half(m, k, a, lda, rows, panel, half, c, ldc);                                              \
        return;

static void multiply_rows(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                          const lutra_panel_i8 *panel, size_t half, float *c, size_t ldc)
{
    switch (m) {
        ROWS(1)
        ROWS(2)
        ROWS(3)
        ROWS(4)
        ROWS(5)
        ROWS(6)
        ROWS(7)
    }
}

void lutra_multiply_i8_avx2(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                            size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    const size_t n_parts = (m + MAX_ROWS - 1) / MAX_ROWS;
    for (size_t p = 0; p < n_panels; p++)
        for (size_t half = 0; half < 2; half++)
            for (size_t part = 0; part < n_parts; part++) {
                const size_t row = m * part / n_parts, n = m * (part + 1) / n_parts - row;
                multiply_rows(n, k, a + row * lda, lda, rows + row, &panels[p], half,
                              c + row * ldc + p * LUTRA_PANEL, ldc);
            }
}
