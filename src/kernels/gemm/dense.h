/* SPDX-License-Identifier: Apache-2.0 */
/* Elements of dense weights as f32: of the four types that a lutra_matrix may have. */
#ifndef LUTRA_KERNELS_GEMM_DENSE_H
#define LUTRA_KERNELS_GEMM_DENSE_H

#include "base/half.h"
#include "lutra/lutra.h"

static inline size_t lutra_dense_size(lutra_dtype dtype)
{
    return dtype == LUTRA_F64 ? 8 : dtype == LUTRA_F32 ? 4 : 2;
}

static inline float lutra_dense_element(const void *elements, lutra_dtype dtype, size_t i)
{
    const char *at = (const char *)elements + i * lutra_dense_size(dtype); /* perhaps unaligned */
    double wide;
    float value;
    uint16_t half;
    switch (dtype) {
    case LUTRA_F64:
        memcpy(&wide, at, sizeof wide);
        return (float)wide;
    case LUTRA_F16:
        memcpy(&half, at, sizeof half);
        return lutra_f16_to_f32(half);
    case LUTRA_BF16:
        memcpy(&half, at, sizeof half);
        return lutra_bf16_to_f32(half);
    default:
        memcpy(&value, at, sizeof value);
        return value;
    }
}

#endif
