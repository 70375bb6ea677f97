/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds a vision transformer's tensors in a file, whatever dialect named them, checks their shapes and brings
 * them into the form that the kernels take: matrices as they lie, vectors as f32.
 */
#ifndef LUTRA_MODEL_BINDING_H
#define LUTRA_MODEL_BINDING_H

#include "format/clustered.h"
#include "model/model.h"

typedef enum lutra_role {
#define TENSOR(role, in_block, ...) LUTRA_##role,
#include "model/vit_tensors.inc"
#undef TENSOR
    LUTRA_N_ROLES
} lutra_role;

/* timm's name of a role ("blocks.3.attn.qkv.weight"); `block` counts only for roles within a block. */
void lutra_role_name(lutra_role role, size_t block, char *name, size_t size);

typedef struct lutra_binding {
    const lutra_safetensors *file;
    const lutra_clustered *clustered;
    const char *prefix;           /* "", "vit.", ... */
    const char *block_prefix;     /* "blocks.", "encoder.layer.", "layers." */
    bool *used;                   /* [tensors of the file] */
    lutra_named_matrix *matrices; /* [n_matrices], room for every tensor of the file */
    size_t n_matrices;
    void **owned; /* [n_owned]: converted and copied tensors, room for 3 per tensor */
    size_t n_owned;
    size_t n_copied; /* tensors that lay unaligned */
    uint64_t n_parameters, n_clustered_parameters;
} lutra_binding;

/* Finds out the dialect; UNSUPPORTED where the file is no vision transformer. */
lutra_status lutra_binding_init(const lutra_safetensors *file, const lutra_clustered *clustered,
                                lutra_binding *binding, lutra_error *error);
void lutra_binding_free(lutra_binding *binding);

/* Whether timm named the tensors, and not Hugging Face. */
bool lutra_binding_is_timm(const lutra_binding *binding);

/* Frees with the binding. */
lutra_status lutra_binding_allocate(lutra_binding *binding, size_t count, size_t size, const char *what,
                                    void *pointer, lutra_error *error);

bool lutra_binding_has(const lutra_binding *binding, lutra_role role, size_t block);

/* The source's shape of a tensor, dense or clustered; LUTRA_ERROR_FORMAT names it where it is missing. */
lutra_status lutra_binding_shape(const lutra_binding *binding, lutra_role role, size_t block, size_t *rank,
                                 size_t *shape /* [LUTRA_MAX_RANK] */, lutra_error *error);

/* `length` numbers as f32; `*vector` NULL where the file has none and `optional`. */
lutra_status lutra_binding_vector(lutra_binding *binding, lutra_role role, size_t block, size_t length,
                                  bool optional, const float **vector, lutra_error *error);

/* The matrix [n][k] (the first dimension, the product of the others). Lives as long as the binding. */
lutra_status lutra_binding_matrix(lutra_binding *binding, lutra_role role, size_t block, size_t n, size_t k,
                                  const lutra_named_matrix **matrix, lutra_error *error);

/* LUTRA_ERROR_UNSUPPORTED names a tensor that nothing has asked for: what it does would be missing silently.
 */
lutra_status lutra_binding_check_all_used(const lutra_binding *binding, lutra_error *error);

#endif
