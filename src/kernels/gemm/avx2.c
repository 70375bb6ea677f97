/* SPDX-License-Identifier: Apache-2.0 */
/* 6 x 16: 12 sums, two weight vectors and the broadcast activation fill 15 of 16 registers. */
#include "kernels/vector/avx2.h"

#define TILE_ROWS 6
#define TILE_PANELS 1
#define BASE_ROWS 3
#include "kernels/gemm/finish_vector.h"
#include "kernels/gemm/multiply_vector.h"

void lutra_multiply_f32_avx2(size_t m, size_t k, const float *a, size_t lda, size_t n_panels,
                             const float *panels, size_t panel_stride, float *c, size_t ldc)
{
    (void)n_panels; /* 1 */
    switch (m) {
        ROWS(1, 1)
        ROWS(2, 1)
        ROWS(3, 1)
        ROWS(4, 1)
        ROWS(5, 1)
        ROWS(6, 1)
    }
}
