/* SPDX-License-Identifier: Apache-2.0 */
/* The product panel by panel that f32 and bf16 have in common; for their drivers alone. */
#ifndef LUTRA_KERNELS_GEMM_PANELS_H
#define LUTRA_KERNELS_GEMM_PANELS_H

#include "kernels/gemm/gemm.h"

/* What activations are, and panels become. */
typedef enum lutra_numbers {
    LUTRA_FLOATS,
    LUTRA_ROUNDED_BF16, /* floats that are bf16 */
    LUTRA_PAIRS_BF16    /* gemm->a and lda are of double words (bf16.h) */
} lutra_numbers;

void lutra_multiply_panels(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                           lutra_numbers numbers, void *scratch);

#endif
