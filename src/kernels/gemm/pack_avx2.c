/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/gemm/dense.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

LUTRA_INLINE __m256 load_8(const lutra_dtype dtype, const char *row)
{
    switch (dtype) {
    case LUTRA_F64:
        return _mm256_set_m128(
            _mm256_cvtpd_ps(_mm256_castsi256_pd(_mm256_loadu_si256((const __m256i_u *)(row + 32)))),
            _mm256_cvtpd_ps(_mm256_castsi256_pd(_mm256_loadu_si256((const __m256i_u *)row))));
    case LUTRA_F16:
        return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i_u *)row));
    case LUTRA_BF16:
        return _mm256_castsi256_ps(
            _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u *)row)), 16));
    default:
        return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i_u *)row));
    }
}

/* `n` <= 8 elements of a row; the others are 0 and not read. */
LUTRA_INLINE __m256 load_row(const lutra_dtype dtype, const char *row, size_t n)
{
    char copy[64] = {0};
    if (n >= 8)
        return load_8(dtype, row);
    memcpy(copy, row, n * lutra_dense_size(dtype));
    return load_8(dtype, copy);
}

LUTRA_INLINE __m256 low_pairs(__m256 a, __m256 b)
{
    return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}

LUTRA_INLINE __m256 high_pairs(__m256 a, __m256 b)
{
    return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}

/* 8 x 8 in three steps: pairs of rows, fours of rows (4 x 4 blocks are transposed now), then the blocks. */
LUTRA_INLINE void transpose(__m256 *x)
{
    __m256 y[8];
    LUTRA_UNROLL
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    LUTRA_UNROLL
    for (int i = 0; i < 8; i += 4) { /* x[i + j]: column j of each 4 x 4 block of rows i.. */
        x[i] = low_pairs(y[i], y[i + 2]);
        x[i + 1] = high_pairs(y[i], y[i + 2]);
        x[i + 2] = low_pairs(y[i + 1], y[i + 3]);
        x[i + 3] = high_pairs(y[i + 1], y[i + 3]);
    }
    LUTRA_UNROLL
    for (int j = 0; j < 4; j++) {
        y[j] = _mm256_permute2f128_ps(x[j], x[j + 4], 0x20);
        y[j + 4] = _mm256_permute2f128_ps(x[j], x[j + 4], 0x31);
    }
    LUTRA_UNROLL
    for (int i = 0; i < 8; i++)
        x[i] = y[i];
}

/* 8 rows' columns into one half of the panel's rows. */
LUTRA_INLINE void pack_columns(const lutra_dtype dtype, const char *rows, size_t row_bytes,
                               const size_t n_rows, size_t n, float *panel)
{
    __m256 x[8];
    LUTRA_UNROLL
    for (size_t i = 0; i < 8; i++)
        x[i] = i < n_rows ? load_row(dtype, rows + i * row_bytes, n) : _mm256_setzero_ps();
    transpose(x);
    LUTRA_UNROLL
    for (size_t i = 0; i < 8; i++)
        if (i < n)
            _mm256_storeu_ps(panel + i * LUTRA_PANEL, x[i]);
}

LUTRA_INLINE void pack_half(const lutra_dtype dtype, const char *rows, size_t ld, size_t n_rows, size_t k,
                            float *panel)
{
    const size_t size = lutra_dense_size(dtype);
    size_t i = 0;
    if (n_rows == 8)
        for (; i + 8 <= k; i += 8)
            pack_columns(dtype, rows + i * size, ld * size, 8, 8, panel + i * LUTRA_PANEL);
    for (; i < k; i += 8)
        pack_columns(dtype, rows + i * size, ld * size, n_rows, k - i, panel + i * LUTRA_PANEL);
}

LUTRA_INLINE void pack(const lutra_dtype dtype, const char *rows, size_t ld, size_t n_rows, size_t k,
                       float *panel)
{
    const size_t n_low = n_rows < 8 ? n_rows : 8, n_high = n_rows - n_low;
    pack_half(dtype, rows, ld, n_low, k, panel);
    pack_half(dtype, n_high ? rows + 8 * ld * lutra_dense_size(dtype) : rows, ld, n_high, k, panel + 8);
}

void lutra_pack_panel_f32_avx2(const void *rows, lutra_dtype dtype, size_t ld, size_t n_rows, size_t k,
                               float *panel)
{
    switch (dtype) {
    case LUTRA_F64:
        pack(LUTRA_F64, rows, ld, n_rows, k, panel);
        return;
    case LUTRA_F16:
        pack(LUTRA_F16, rows, ld, n_rows, k, panel);
        return;
    case LUTRA_BF16:
        pack(LUTRA_BF16, rows, ld, n_rows, k, panel);
        return;
    default:
        pack(LUTRA_F32, rows, ld, n_rows, k, panel);
        return;
    }
}
