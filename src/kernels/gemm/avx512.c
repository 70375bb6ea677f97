/* SPDX-License-Identifier: Apache-2.0 */
/* 14 x 32: 28 sums, two weight vectors and the broadcast activation fill 31 of 32 registers. */
#include "kernels/vector/avx512.h"

#define TILE_ROWS 14
#define TILE_PANELS 2
#define BASE_ROWS 5
#include "kernels/gemm/finish_vector.h"
#include "kernels/gemm/multiply_vector.h"

#include "kernels/gemm/all_rows_avx512.h"

void lutra_multiply_f32_avx512(size_t m, size_t k, const float *a, size_t lda, size_t n_panels,
                               const float *panels, size_t panel_stride, float *c, size_t ldc)
{
    if (n_panels == 1)
        switch (m) {
            ALL_ROWS(1)
        }
    switch (m) {
        ALL_ROWS(2)
    }
}
