/* SPDX-License-Identifier: Apache-2.0 */
/* Small vision transformers with random weights, for fuzzing. */
#ifndef LUTRA_TESTS_TINY_MODEL_H
#define LUTRA_TESTS_TINY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/vit_settings.h"

typedef struct tiny_model {
    size_t dim, depth, n_heads, mlp_dim, patch; /* n_heads divides dim */
    size_t grid_height, grid_width;             /* patches */
    size_t n_classes;                           /* 0: no head */
    size_t n_registers;
    bool distilled, layer_scale, norm_pre, gelu_tanh;
    bool no_class_token; /* averages only */
    bool fc_norm;        /* of the pooled features, in place of the last tokens' norm */
    bool separate_qkv;   /* three matrices, as Hugging Face has them */
    lutra_pool pool;
    lutra_dtype dtype; /* of the matrices: F64, F32, F16 or BF16 */
} tiny_model;

/* The bytes of a dense safetensors file with its own description; free with free(). */
uint8_t *tiny_model_make(const tiny_model *model, uint64_t seed, size_t *size);

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
uint64_t tiny_random(uint64_t *state);
size_t tiny_random_below(uint64_t *state, size_t limit);
double tiny_random_normal(uint64_t *state);

#endif
