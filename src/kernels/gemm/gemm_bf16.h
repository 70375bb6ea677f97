/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products in bf16: activations and weights are rounded to bf16 (bf16.h), their products summed in
 * f32. A level that has vdpbf16ps multiplies pairs; the others run the f32 product of the rounded numbers,
 * whose sums are the same bits.
 */
#ifndef LUTRA_KERNELS_GEMM_BF16_H
#define LUTRA_KERNELS_GEMM_BF16_H

#include "kernels/gemm/gemm.h"

/* Bytes of scratch that any product with up to `max_m` rows and `max_k` inputs needs on `n_threads`; false
 * where they overflow. */
bool lutra_gemm_bf16_scratch(size_t max_m, size_t max_k, size_t n_threads, size_t *bytes);

/* `scratch` is 64-byte aligned. Results do not depend on the number of threads. */
void lutra_gemm_bf16(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_gemm *gemm,
                     void *scratch);

/* Whether the level multiplies pairs: whether products in bf16 are faster than those in f32. */
bool lutra_multiplies_bf16(const lutra_kernels *kernels);

#endif
