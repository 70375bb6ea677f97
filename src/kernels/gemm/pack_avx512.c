/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/gemm/dense.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

/* `n` <= 16 elements of a row; the others are 0 and not read. */
LUTRA_INLINE __m512 load_row(const lutra_dtype dtype, const char *row, size_t n)
{
    const __mmask16 mask = (__mmask16)((1u << n) - 1);
    switch (dtype) {
    case LUTRA_F64: {
        const __m512d low = _mm512_maskz_loadu_pd((__mmask8)mask, row);
        /* Beyond n no address may even be formed: the mask of the upper half is empty then. */
        const __m512d high =
            n > 8 ? _mm512_maskz_loadu_pd((__mmask8)(mask >> 8), row + 64) : _mm512_setzero_pd();
        return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(low)), _mm512_cvtpd_ps(high), 1);
    }
    case LUTRA_F16:
        return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, row));
    case LUTRA_BF16:
        return _mm512_castsi512_ps(
            _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, row)), 16));
    default:
        return _mm512_maskz_loadu_ps(mask, row);
    }
}

LUTRA_INLINE __m512 low_pairs(__m512 a, __m512 b)
{
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

LUTRA_INLINE __m512 high_pairs(__m512 a, __m512 b)
{
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* 16 x 16 in four steps: pairs of rows, fours of rows (4 x 4 blocks are transposed now), then the blocks. */
LUTRA_INLINE void transpose(__m512 *x)
{
    __m512 y[16];
    LUTRA_UNROLL
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    LUTRA_UNROLL
    for (int i = 0; i < 16; i += 4) { /* x[i + j]: column j of each 4 x 4 block of rows i.. */
        x[i] = low_pairs(y[i], y[i + 2]);
        x[i + 1] = high_pairs(y[i], y[i + 2]);
        x[i + 2] = low_pairs(y[i + 1], y[i + 3]);
        x[i + 3] = high_pairs(y[i + 1], y[i + 3]);
    }
    LUTRA_UNROLL
    for (int j = 0; j < 4; j++) {
        const __m512 a = _mm512_shuffle_f32x4(x[j], x[j + 4], 0x44),
                     b = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0x44);
        const __m512 c = _mm512_shuffle_f32x4(x[j], x[j + 4], 0xee),
                     d = _mm512_shuffle_f32x4(x[j + 8], x[j + 12], 0xee);
        y[j] = _mm512_shuffle_f32x4(a, b, 0x88);
        y[j + 4] = _mm512_shuffle_f32x4(a, b, 0xdd);
        y[j + 8] = _mm512_shuffle_f32x4(c, d, 0x88);
        y[j + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
    LUTRA_UNROLL
    for (int i = 0; i < 16; i++)
        x[i] = y[i];
}

LUTRA_INLINE void pack_columns(const lutra_dtype dtype, const char *rows, size_t row_bytes,
                               const size_t n_rows, size_t n, float *panel)
{
    __m512 x[16];
    LUTRA_UNROLL
    for (size_t i = 0; i < 16; i++)
        x[i] = i < n_rows ? load_row(dtype, rows + i * row_bytes, n) : _mm512_setzero_ps();
    transpose(x);
    if (n == 16) {
        LUTRA_UNROLL
        for (size_t i = 0; i < 16; i++)
            _mm512_storeu_ps(panel + i * LUTRA_PANEL, x[i]);
    } else {
        LUTRA_UNROLL
        for (size_t i = 0; i < 16; i++)
            if (i < n)
                _mm512_storeu_ps(panel + i * LUTRA_PANEL, x[i]);
    }
}

LUTRA_INLINE void pack(const lutra_dtype dtype, const char *rows, size_t ld, size_t n_rows, size_t k,
                       float *panel)
{
    const size_t size = lutra_dense_size(dtype);
    size_t i = 0;
    if (n_rows == 16)
        for (; i + 16 <= k; i += 16)
            pack_columns(dtype, rows + i * size, ld * size, 16, 16, panel + i * LUTRA_PANEL);
    for (; i < k; i += 16)
        pack_columns(dtype, rows + i * size, ld * size, n_rows, k - i < 16 ? k - i : 16,
                     panel + i * LUTRA_PANEL);
}

void lutra_pack_panel_f32_avx512(const void *rows, lutra_dtype dtype, size_t ld, size_t n_rows, size_t k,
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
