/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How numbers become bf16: to the nearest, to even between two, denormals to zero, as vcvtneps2bf16 has it.
 *
 * vdpbf16ps adds to a sum in f32 the product of the upper halves of two double words, rounds, then adds that
 * of the lower halves; products of bf16 are exact in f32. A pair has its first number in the upper half: so
 * sums are taken in ascending order of the inputs, and are the same bits as those of an f32 product of
 * rounded numbers on a level without the instruction, but that sums below 2^-126 become zero.
 */
#ifndef LUTRA_KERNELS_BF16_H
#define LUTRA_KERNELS_BF16_H

#include "base/half.h"

/* The upper half of what this returns, the lower being 0. */
static inline uint32_t lutra_bits_of_bf16(float x)
{
    const uint32_t bits = lutra_bits_of_float(x), magnitude = bits & 0x7fffffffu;
    if (magnitude < 0x00800000u)
        return bits & 0x80000000u;
    if (magnitude > 0x7f800000u) /* not a number, and a quiet one */
        return (bits | 0x00400000u) & 0xffff0000u;
    return (bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u;
}

static inline uint32_t lutra_pair_bf16(float first, float second)
{
    return lutra_bits_of_bf16(first) | lutra_bits_of_bf16(second) >> 16;
}

#endif
