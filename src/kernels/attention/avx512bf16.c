/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>

#include "kernels/attention/running.h"
#include "kernels/gemm/bf16_avx512.h"
#include "kernels/gemm/transpose_avx512.h"
#include "kernels/table.h"
#include "kernels/vector/avx512.h"
#include "kernels/vector/functions.h"

#define LOG2_E 0x1.715476p+0f
#define N_SUMS ((size_t)4)

/* Scores i.. of n; what is not there counts as infinitely little. */
LUTRA_INLINE vector load_scores(const float *scores, size_t n)
{
    return n >= VECTOR_WIDTH
               ? v_load(scores)
               : _mm512_mask_mov_ps(v_set(-FLT_MAX), (__mmask16)((1u << n) - 1), v_load_part(scores, n));
}

/* As in vector.h. */
LUTRA_INLINE vector exponentiate(vector scores, vector factor, vector least, vector max)
{
    return v_exp2_product_coarse(v_max(least, v_subtract(scores, max)), factor);
}

static float largest(const float *scores, size_t n)
{
    const size_t step = N_SUMS * VECTOR_WIDTH, fast = n / step * step;
    vector part[N_SUMS]; /* several at once, because one would wait for itself */
    LUTRA_UNROLL
    for (size_t j = 0; j < N_SUMS; j++)
        part[j] = v_set(-FLT_MAX);
    for (size_t i = 0; i < fast; i += step) {
        LUTRA_UNROLL
        for (size_t j = 0; j < N_SUMS; j++)
            part[j] = v_max(part[j], v_load(scores + i + j * VECTOR_WIDTH));
    }
    for (size_t i = fast; i < n; i += VECTOR_WIDTH)
        part[0] = v_max(part[0], load_scores(scores + i, n - i));
    return v_largest(v_max(v_max(part[0], part[1]), v_max(part[2], part[3])));
}

/* The sum of what the scores became. Pairs take half the room, so that they never overtake the scores. */
static float exponentiate_row(size_t n, vector factor, vector least, vector max, float *scores)
{
    const size_t step = N_SUMS * VECTOR_WIDTH, fast = n / step * step;
    char *pairs = (char *)scores;
    vector sum[N_SUMS], e[N_SUMS];
    LUTRA_UNROLL
    for (size_t j = 0; j < N_SUMS; j++)
        sum[j] = v_set(0.0f);
    for (size_t i = 0; i < fast; i += step, pairs += 2 * sizeof(vector)) {
        LUTRA_UNROLL
        for (size_t j = 0; j < N_SUMS; j++) {
            e[j] = exponentiate(v_load(scores + i + j * VECTOR_WIDTH), factor, least, max);
            sum[j] = v_add(sum[j], e[j]);
        }
        _mm512_storeu_si512(pairs, lutra_neighbours_bf16(e[0], e[1]));
        _mm512_storeu_si512(pairs + sizeof(vector), lutra_neighbours_bf16(e[2], e[3]));
    }
    for (size_t i = fast; i < n; i += 2 * VECTOR_WIDTH, pairs += sizeof(vector)) {
        LUTRA_UNROLL
        for (size_t j = 0; j < 2; j++) {
            const size_t at = i + j * VECTOR_WIDTH, left = n > at ? n - at : 0;
            const __mmask16 there = (__mmask16)(left >= VECTOR_WIDTH ? 0xffffu : (1u << left) - 1);
            e[j] = exponentiate(load_scores(scores + at, left), factor, least, max);
            e[j] = _mm512_maskz_mov_ps(there, e[j]);
            sum[j] = v_add(sum[j], e[j]);
        }
        _mm512_storeu_si512(pairs, lutra_neighbours_bf16(e[0], e[1]));
    }
    return v_sum(v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
}

void lutra_softmax_bf16_avx512bf16(size_t m, size_t n, float scale, void *scores, size_t ld,
                                   lutra_softmax *running)
{
    float *rows = scores, max[LUTRA_MAX_TILE_ROWS];
    const vector factor = v_set(scale * LOG2_E), least = v_set(-125.0f / (scale * LOG2_E));
    for (size_t i = 0; i < m; i++)
        max[i] = fmaxf(running[i].max, largest(rows + i * ld, n));
    for (size_t i = 0; i < m; i++)
        lutra_softmax_carry_on(&running[i], scale, max[i],
                               exponentiate_row(n, factor, least, v_set(max[i]), rows + i * ld));
}

/* `n` <= 32 inputs, half as many pairs. */
LUTRA_INLINE void pack(const float *rows, size_t ld, const size_t n_rows, const size_t n, uint32_t *panel)
{
    __m512 x[16];
    LUTRA_UNROLL
    for (size_t i = 0; i < 16; i++) {
        x[i] = v_set(0.0f);
        if (i >= n_rows)
            continue;
        const vector first = v_load_part(rows + i * ld, n >= 16 ? 16 : n);
        const vector next = n > 16 ? v_load_part(rows + i * ld + 16, n - 16) : v_set(0.0f);
        x[i] = _mm512_castsi512_ps(lutra_neighbours_bf16(first, next));
    }
    lutra_transpose(x);
    LUTRA_UNROLL
    for (size_t i = 0; i < 16; i++)
        if (2 * i < n)
            _mm512_storeu_ps(panel + i * LUTRA_PANEL, x[i]);
}

void lutra_pack_panel_bf16_avx512bf16(const float *rows, size_t ld, size_t n_rows, size_t k, uint32_t *panel)
{
    for (size_t i = 0; i < k; i += 32)
        pack(rows + i, ld, n_rows, k - i < 32 ? k - i : 32, panel + i / 2 * LUTRA_PANEL);
}

LUTRA_INLINE void pack_columns(const float *rows, size_t ld, size_t n, const size_t width, uint32_t *panel)
{
    for (size_t i = 0; i < n; i += 2, panel += LUTRA_PANEL) {
        const vector first = v_load_part(rows + i * ld, width);
        const vector next = i + 1 < n ? v_load_part(rows + (i + 1) * ld, width) : v_set(0.0f);
        _mm512_storeu_si512(panel, lutra_pairs_of_bf16(first, next));
    }
}

void lutra_pack_columns_bf16_avx512bf16(const float *rows, size_t ld, size_t n, size_t width, uint32_t *panel)
{
    if (width == 16)
        pack_columns(rows, ld, n, 16, panel);
    else
        pack_columns(rows, ld, n, width, panel);
}
