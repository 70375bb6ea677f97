/* SPDX-License-Identifier: Apache-2.0 */
/* Multi-head self-attention: softmax(q k^T / sqrt(head_dim)) v for each head (Vaswani et al. 2017). */
#ifndef LUTRA_KERNELS_ATTENTION_H
#define LUTRA_KERNELS_ATTENTION_H

#include "base/thread_pool.h"
#include "kernels/kernels.h"

typedef struct lutra_attention {
    size_t batch, n_tokens, n_heads, head_dim;
    size_t n_queries; /* of each picture: its first tokens, 1..n_tokens, are all that attend */
    const float *qkv; /* [batch * n_tokens][ld_qkv]: q, k, v each [n_heads][head_dim] within a row */
    size_t ld_qkv;
    float *out; /* [batch * n_tokens][ld_out]: [n_heads][head_dim] within a row, of the queries alone */
    size_t ld_out;
} lutra_attention;

/* Bytes of scratch that either needs of heads of up to LUTRA_MAX_INPUTS on `n_threads`; false where they
 * overflow. */
bool lutra_attention_scratch(size_t head_dim, size_t n_threads, size_t *bytes);
void lutra_attention_f32(const lutra_kernels *kernels, lutra_thread_pool *pool,
                         const lutra_attention *attention, void *scratch);
/* q, k and v rounded to bf16, and probabilities too where the level multiplies it; sums and softmax in f32.
 */
void lutra_attention_bf16(const lutra_kernels *kernels, lutra_thread_pool *pool,
                          const lutra_attention *attention, void *scratch);

#endif
