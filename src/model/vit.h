/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vision transformer (Dosovitskiy et al. 2021) bound to its tensors: what the plan is built from. Which
 * options it has (class token, LayerScale, biases, ...) is read off the tensors that are there.
 */
#ifndef LUTRA_MODEL_VIT_H
#define LUTRA_MODEL_VIT_H

#include "model/binding.h"
#include "model/vit_settings.h"

/* What a model may have; docs/reliability.md. Memory follows from these and from what the file holds. */
#define LUTRA_MAX_SIDE_OF_INPUT 8192 /* pixels */
#define LUTRA_MAX_PATCH 1024
#define LUTRA_MAX_REGISTERS 1024
#define LUTRA_MAX_TOKENS 65536

typedef struct lutra_linear {
    const lutra_named_matrix *weight;
    const float *bias; /* [n], or NULL */
} lutra_linear;

typedef struct lutra_norm {
    const float *gamma, *beta; /* [dim]; NULL: there is no such norm */
} lutra_norm;

typedef struct lutra_vit_block {
    lutra_norm norm1, norm2;
    lutra_linear qkv;     /* [3 dim][dim]; weight NULL where query, key and value are separate */
    lutra_linear q, k, v; /* [dim][dim] each */
    lutra_linear proj, fc1, fc2;
    const float *scale1, *scale2; /* [dim], LayerScale (Touvron et al. 2021); or NULL */
} lutra_vit_block;

typedef struct lutra_vit {
    size_t height, width, patch; /* of the picture, pixels */
    size_t dim, depth, n_heads, mlp_dim, n_classes;
    size_t n_patches, n_prefix, n_tokens; /* n_tokens = n_prefix + n_patches */
    bool class_token, distilled;
    bool averages_tokens; /* the class and the distillation token, or what a head each makes of them */
    size_t n_registers;
    lutra_pool pool;
    size_t n_features; /* what the head sees: dim, twice that where two pools follow each other */
    bool gelu_tanh;
    float eps;
    lutra_linear patch_embed; /* [dim][3 patch patch] */
    const float *prefix;      /* [n_prefix][dim]: class, distillation and register tokens, positions added */
    const float *positions;   /* [n_patches][dim] */
    lutra_norm norm_pre, norm, fc_norm;
    lutra_vit_block *blocks;      /* [depth] */
    lutra_linear head, head_dist; /* weight NULL: none */
} lutra_vit;

/* `settings` says what the tensors do not; its preprocessing is completed (height, width). The result's parts
 * belong to `binding`. */
lutra_status lutra_vit_bind(lutra_binding *binding, lutra_vit_settings *settings, size_t image_size,
                            lutra_vit *vit, lutra_error *error);

/* The tensors of a known architecture, one call each, in timm's naming and order of use; stops at the first
 * status that is not LUTRA_OK. */
typedef struct lutra_tensor_spec {
    lutra_role role;
    char name[256];
    size_t rank;
    size_t shape[4];
    bool is_matrix; /* multiplied by: what `cluster` clusters */
} lutra_tensor_spec;
typedef lutra_status lutra_tensor_visitor(void *user, const lutra_tensor_spec *spec, lutra_error *error);
lutra_status lutra_vit_arch_tensors(const lutra_vit_arch *arch, lutra_tensor_visitor *visitor, void *user,
                                    lutra_error *error);

#endif
