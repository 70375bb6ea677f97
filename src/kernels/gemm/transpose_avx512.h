/* SPDX-License-Identifier: Apache-2.0 */
/* 16 vectors of 16 words, transposed in registers. */
#ifndef LUTRA_KERNELS_GEMM_TRANSPOSE_AVX512_H
#define LUTRA_KERNELS_GEMM_TRANSPOSE_AVX512_H

#include <immintrin.h>

#include "kernels/vector/unroll.h"

LUTRA_INLINE __m512 low_pairs(__m512 a, __m512 b)
{
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

LUTRA_INLINE __m512 high_pairs(__m512 a, __m512 b)
{
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

/* 16 x 16 in four steps: pairs of rows, fours of rows (4 x 4 blocks are transposed now), then the blocks. */
LUTRA_INLINE void lutra_transpose(__m512 *x)
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

#endif
