/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#include "kernels/gemm/dense.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

LUTRA_INLINE float32x4_t load_4(const lutra_dtype dtype, const char *row)
{
    const uint8_t *bytes = (const uint8_t *)row; /* perhaps unaligned for its type */
    switch (dtype) {
    case LUTRA_F64:
        return vcvt_high_f32_f64(vcvt_f32_f64(vreinterpretq_f64_u8(vld1q_u8(bytes))),
                                 vreinterpretq_f64_u8(vld1q_u8(bytes + 16)));
    case LUTRA_F16:
        return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(bytes)));
    case LUTRA_BF16:
        return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(bytes)), 16));
    default:
        return vreinterpretq_f32_u8(vld1q_u8(bytes));
    }
}

/* `n` <= 4 elements of a row; the others are 0 and not read. */
LUTRA_INLINE float32x4_t load_row(const lutra_dtype dtype, const char *row, size_t n)
{
    char copy[32] = {0};
    if (n >= 4)
        return load_4(dtype, row);
    memcpy(copy, row, n * lutra_dense_size(dtype));
    return load_4(dtype, copy);
}

LUTRA_INLINE float32x4_t low_halves(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

LUTRA_INLINE float32x4_t high_halves(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

/* `n` <= 4 columns of up to 4 rows into a quarter of the panel's rows. */
LUTRA_INLINE void pack_columns(const lutra_dtype dtype, const char *rows, size_t row_bytes, size_t n_rows,
                               size_t n, float *panel)
{
    float32x4_t x[4], column[4];
    LUTRA_UNROLL
    for (size_t i = 0; i < 4; i++)
        x[i] = i < n_rows ? load_row(dtype, rows + i * row_bytes, n) : vdupq_n_f32(0);
    const float32x4_t even[2] = {vtrn1q_f32(x[0], x[1]), vtrn1q_f32(x[2], x[3])};
    const float32x4_t odd[2] = {vtrn2q_f32(x[0], x[1]), vtrn2q_f32(x[2], x[3])};
    column[0] = low_halves(even[0], even[1]);
    column[1] = low_halves(odd[0], odd[1]);
    column[2] = high_halves(even[0], even[1]);
    column[3] = high_halves(odd[0], odd[1]);
    LUTRA_UNROLL
    for (size_t i = 0; i < 4; i++)
        if (i < n)
            vst1q_f32(panel + i * LUTRA_PANEL, column[i]);
}

LUTRA_INLINE void pack_quarter(const lutra_dtype dtype, const char *rows, size_t ld, size_t n_rows, size_t k,
                               float *panel)
{
    const size_t size = lutra_dense_size(dtype);
    size_t i = 0;
    if (n_rows == 4)
        for (; i + 4 <= k; i += 4)
            pack_columns(dtype, rows + i * size, ld * size, 4, 4, panel + i * LUTRA_PANEL);
    for (; i < k; i += 4)
        pack_columns(dtype, rows + i * size, ld * size, n_rows, k - i, panel + i * LUTRA_PANEL);
}

LUTRA_INLINE void pack(const lutra_dtype dtype, const char *rows, size_t ld, size_t n_rows, size_t k,
                       float *panel)
{
    for (size_t first = 0; first < LUTRA_PANEL; first += 4) {
        const size_t left = n_rows > first ? n_rows - first : 0;
        pack_quarter(dtype, left ? rows + first * ld * lutra_dense_size(dtype) : rows, ld,
                     left < 4 ? left : 4, k, panel + first);
    }
}

void lutra_pack_panel_f32_neon(const void *rows, lutra_dtype dtype, size_t ld, size_t n_rows, size_t k,
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
