/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors of floats for the kernels that are written once for all levels: 64-bit Arm's NEON, which every such
 * CPU has. */
#ifndef LUTRA_KERNELS_VECTOR_H
#define LUTRA_KERNELS_VECTOR_H

#include <arm_neon.h>
#include <stddef.h>
#include <string.h>

#include "kernels/vector/unroll.h"

#define LUTRA_OF_LEVEL(name) lutra_##name##_neon
#define VECTOR_WIDTH ((size_t)4)
typedef float32x4_t vector;

LUTRA_INLINE vector v_set(float x)
{
    return vdupq_n_f32(x);
}

LUTRA_INLINE vector v_load(const float *p)
{
    return vld1q_f32(p);
}

LUTRA_INLINE void v_store(float *p, vector a)
{
    vst1q_f32(p, a);
}

/* The first n < 4 of them; the others are not touched in memory and are 0 in the register. */
LUTRA_INLINE vector v_load_part(const float *p, size_t n)
{
    float part[4] = {0};
    memcpy(part, p, n * sizeof *p);
    return vld1q_f32(part);
}

LUTRA_INLINE void v_store_part(float *p, vector a, size_t n)
{
    float part[4];
    vst1q_f32(part, a);
    memcpy(p, part, n * sizeof *p);
}

LUTRA_INLINE vector v_add(vector a, vector b)
{
    return vaddq_f32(a, b);
}

LUTRA_INLINE vector v_subtract(vector a, vector b)
{
    return vsubq_f32(a, b);
}

LUTRA_INLINE vector v_multiply(vector a, vector b)
{
    return vmulq_f32(a, b);
}

LUTRA_INLINE vector v_divide(vector a, vector b)
{
    return vdivq_f32(a, b);
}

/* a * b + c, rounded once. */
LUTRA_INLINE vector v_multiply_add(vector a, vector b, vector c)
{
    return vfmaq_f32(c, a, b);
}

/* c - a * b, rounded once. */
LUTRA_INLINE vector v_subtract_product(vector c, vector a, vector b)
{
    return vfmsq_f32(c, a, b);
}

LUTRA_INLINE vector v_max(vector a, vector b)
{
    return vmaxq_f32(a, b);
}

LUTRA_INLINE vector v_min(vector a, vector b)
{
    return vminq_f32(a, b);
}

LUTRA_INLINE vector v_absolute(vector a)
{
    return vabsq_f32(a);
}

/* a * 2^n, where n is the whole number in the low 9 bits of `bits`, if the result is no denormal. */
LUTRA_INLINE vector v_add_to_exponent(vector a, vector bits)
{
    return vreinterpretq_f32_s32(
        vaddq_s32(vreinterpretq_s32_f32(a), vshlq_n_s32(vreinterpretq_s32_f32(bits), 23)));
}

LUTRA_INLINE float v_sum(vector a)
{
    return vaddvq_f32(a);
}

LUTRA_INLINE float v_largest(vector a)
{
    return vmaxvq_f32(a);
}

#endif
