/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#include "kernels/gemm/dense.h"
#include "kernels/gemm/transpose_avx512.h"
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

LUTRA_INLINE void pack_columns(const lutra_dtype dtype, const char *rows, size_t row_bytes,
                               const size_t n_rows, size_t n, float *panel)
{
    __m512 x[16];
    LUTRA_UNROLL
    for (size_t i = 0; i < 16; i++)
        x[i] = i < n_rows ? load_row(dtype, rows + i * row_bytes, n) : _mm512_setzero_ps();
    lutra_transpose(x);
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
