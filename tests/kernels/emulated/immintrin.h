/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the place of the compiler's <immintrin.h> where the levels are compiled to be tested without their
 * instructions: SIMDe's portable forms of the intrinsics, and here those that SIMDe 0.7.4 lacks.
 */
#ifndef LUTRA_EMULATED_IMMINTRIN_H
#define LUTRA_EMULATED_IMMINTRIN_H
#pragma GCC system_header

#define LUTRA_EMULATED
#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <math.h>
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>
#include <string.h>

#include "base/half.h"

typedef simde__mmask8 __mmask8;
typedef simde__mmask16 __mmask16;
typedef simde__mmask32 __mmask32;
typedef simde__mmask64 __mmask64;
typedef simde__m128i __m128i_u __attribute__((aligned(1)));
typedef simde__m256i __m256i_u __attribute__((aligned(1)));

/* ---- multiply and add, rounded once as the instruction does; SIMDe rounds twice ---- */

static inline __m512 emulated_fmadd_512(__m512 a, __m512 b, __m512 c, float sign)
{
    float x[16], y[16], z[16];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &c, sizeof z);
    for (int i = 0; i < 16; i++)
        z[i] = fmaf(sign * x[i], y[i], z[i]);
    memcpy(&c, z, sizeof z);
    return c;
}

static inline __m256 emulated_fmadd_256(__m256 a, __m256 b, __m256 c, float sign)
{
    float x[8], y[8], z[8];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    memcpy(z, &c, sizeof z);
    for (int i = 0; i < 8; i++)
        z[i] = fmaf(sign * x[i], y[i], z[i]);
    memcpy(&c, z, sizeof z);
    return c;
}

#undef _mm512_fmadd_ps
#undef _mm512_fnmadd_ps
#undef _mm256_fmadd_ps
#undef _mm256_fnmadd_ps
#define _mm512_fmadd_ps(a, b, c) emulated_fmadd_512(a, b, c, 1.0f)
#define _mm512_fnmadd_ps(a, b, c) emulated_fmadd_512(a, b, c, -1.0f)
#define _mm256_fmadd_ps(a, b, c) emulated_fmadd_256(a, b, c, 1.0f)
#define _mm256_fnmadd_ps(a, b, c) emulated_fmadd_256(a, b, c, -1.0f)

/* ---- AVX512_BF16; SIMDe's forms neither take denormals for zero nor round as the instructions do ---- */

static inline float emulated_no_denormal(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

/* VDPBF16PS of Intel's manual: the odd elements first. */
static inline __m512 emulated_dpbf16(__m512 sum, __m512i a, __m512i w)
{
    uint16_t x[32], y[32];
    float z[16];
    memcpy(x, &a, sizeof x);
    memcpy(y, &w, sizeof y);
    memcpy(z, &sum, sizeof z);
    for (int i = 0; i < 16; i++)
        for (int j = 2 * i + 1; j >= 2 * i; j--)
            z[i] = emulated_no_denormal(fmaf(emulated_no_denormal(lutra_bf16_to_f32(x[j])),
                                             emulated_no_denormal(lutra_bf16_to_f32(y[j])), z[i]));
    memcpy(&sum, z, sizeof sum);
    return sum;
}

static inline __m256i emulated_cvtneps_bf16(__m512 a)
{
    float x[16];
    uint16_t y[16];
    __m256i b;
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = isnan(x[i]) ? (uint16_t)(lutra_bits_of_float(x[i]) >> 16 | 0x40)
                           : lutra_f32_to_bf16(emulated_no_denormal(x[i]));
    memcpy(&b, y, sizeof b);
    return b;
}

static inline __m512i emulated_cvtne2ps_bf16(__m512 high, __m512 low)
{
    const __m256i halves[2] = {emulated_cvtneps_bf16(low), emulated_cvtneps_bf16(high)};
    __m512i b;
    memcpy(&b, halves, sizeof b);
    return b;
}

/* ---- loads and stores of a part: what the mask leaves out is not touched ---- */

static inline __m512 _mm512_maskz_loadu_ps(__mmask16 mask, const void *p)
{
    float x[16] = {0};
    __m512 a;
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy(&x[i], (const char *)p + 4 * i, 4);
    memcpy(&a, x, sizeof a);
    return a;
}

static inline void _mm512_mask_storeu_ps(void *p, __mmask16 mask, __m512 a)
{
    float x[16];
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy((char *)p + 4 * i, &x[i], 4);
}

/* SIMDe has these two, but reads and writes what the mask leaves out. */
#undef _mm256_maskload_ps
#undef _mm256_maskstore_ps

static inline __m256 _mm256_maskload_ps(const float *p, __m256i mask)
{
    int32_t m[8];
    float x[8] = {0};
    __m256 a;
    memcpy(m, &mask, sizeof m);
    for (int i = 0; i < 8; i++)
        if (m[i] < 0)
            x[i] = p[i];
    memcpy(&a, x, sizeof a);
    return a;
}

static inline void _mm256_maskstore_ps(float *p, __m256i mask, __m256 a)
{
    int32_t m[8];
    float x[8];
    memcpy(m, &mask, sizeof m);
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 8; i++)
        if (m[i] < 0)
            p[i] = x[i];
}

static inline __m512d _mm512_maskz_loadu_pd(__mmask8 mask, const void *p)
{
    double x[8] = {0};
    __m512d a;
    for (int i = 0; i < 8; i++)
        if (mask >> i & 1)
            memcpy(&x[i], (const char *)p + 8 * i, 8);
    memcpy(&a, x, sizeof a);
    return a;
}

static inline __m256i _mm256_maskz_loadu_epi16(__mmask16 mask, const void *p)
{
    uint16_t x[16] = {0};
    __m256i a;
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1)
            memcpy(&x[i], (const char *)p + 2 * i, 2);
    memcpy(&a, x, sizeof a);
    return a;
}

/* ---- conversions ---- */

static inline __m512 _mm512_cvtepi32_ps(__m512i a)
{
    int32_t x[16];
    float y[16];
    __m512 b;
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = (float)x[i];
    memcpy(&b, y, sizeof b);
    return b;
}

/* To the nearest, to even between two. */
static inline __m512i _mm512_cvtps_epi32(__m512 a)
{
    float x[16];
    int32_t y[16];
    __m512i b;
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = x[i] >= -0x1p31f && x[i] < 0x1p31f ? (int32_t)nearbyintf(x[i]) : INT32_MIN;
    memcpy(&b, y, sizeof b);
    return b;
}

static inline __m512i _mm512_cvtepu16_epi32(__m256i a)
{
    uint16_t x[16];
    uint32_t y[16];
    __m512i b;
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = x[i];
    memcpy(&b, y, sizeof b);
    return b;
}

static inline __m256 _mm512_cvtpd_ps(__m512d a)
{
    double x[8];
    float y[8];
    __m256 b;
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 8; i++)
        y[i] = (float)x[i];
    memcpy(&b, y, sizeof b);
    return b;
}

static inline __m512 _mm512_cvtph_ps(__m256i a)
{
    uint16_t x[16];
    float y[16];
    __m512 b;
    memcpy(x, &a, sizeof x);
    for (int i = 0; i < 16; i++)
        y[i] = lutra_f16_to_f32(x[i]);
    memcpy(&b, y, sizeof b);
    return b;
}

/* ---- across a vector, halves first as compilers do it ---- */

static inline float _mm512_reduce_add_ps(__m512 a)
{
    float x[16];
    memcpy(x, &a, sizeof x);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

static inline float _mm512_reduce_max_ps(__m512 a)
{
    float x[16];
    memcpy(x, &a, sizeof x);
    for (int i = 1; i < 16; i++)
        x[0] = x[i] > x[0] ? x[i] : x[0];
    return x[0];
}

static inline float _mm512_reduce_min_ps(__m512 a)
{
    float x[16];
    memcpy(x, &a, sizeof x);
    for (int i = 1; i < 16; i++)
        x[0] = x[i] < x[0] ? x[i] : x[0];
    return x[0];
}

static inline __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int order)
{
    float x[16], y[16], z[16];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 4; i++)
        memcpy(z + 4 * i, (i < 2 ? x : y) + 4 * (order >> 2 * i & 3), 4 * sizeof *z);
    memcpy(&a, z, sizeof a);
    return a;
}

#endif
