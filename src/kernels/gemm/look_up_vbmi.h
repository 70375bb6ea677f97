/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes looked up by vpermb and vpermi2b, 64 at once. */
#ifndef LUTRA_KERNELS_LOOK_UP_VBMI_H
#define LUTRA_KERNELS_LOOK_UP_VBMI_H

#include <immintrin.h>

#include "kernels/vector/unroll.h"

#define LUTRA_MAX_VBMI_TABLES 4

/* Codebook entries of 2^bits, for the index in the low bits of each byte; higher bits may be anything. Tables
 * hold the entries again and again up to 256. */
LUTRA_INLINE __m512i lutra_look_up_vbmi(const unsigned bits, const __m512i *table, __m512i index)
{
    if (bits <= 6)
        return _mm512_permutexvar_epi8(index, table[0]);
    const __m512i low = _mm512_permutex2var_epi8(table[0], index, table[1]);
    if (bits == 7)
        return low;
    const __m512i high = _mm512_permutex2var_epi8(table[2], index, table[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(index), low, high);
}

#endif
