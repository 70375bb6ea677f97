/* SPDX-License-Identifier: Apache-2.0 */
/* The tensors of a known architecture, for models that are made and not read. */
#include "model/vit.h"

struct walk {
    lutra_tensor_visitor *visitor;
    void *user;
    lutra_error *error;
};

static lutra_status visit(const struct walk *walk, lutra_role role, size_t block, lutra_tensor_spec spec)
{
    spec.role = role;
    lutra_role_name(role, block, spec.name, sizeof spec.name);
    return walk->visitor(walk->user, &spec, walk->error);
}

static lutra_status visit_vector(const struct walk *walk, lutra_role role, size_t block, size_t n)
{
    return visit(walk, role, block, (lutra_tensor_spec){.rank = 1, .shape = {n}});
}

static lutra_status visit_tokens(const struct walk *walk, lutra_role role, size_t n, size_t dim)
{
    return n ? visit(walk, role, 0, (lutra_tensor_spec){.rank = 3, .shape = {1, n, dim}}) : LUTRA_OK;
}

static lutra_status visit_linear(const struct walk *walk, lutra_role weight, lutra_role bias, size_t block,
                                 size_t n, size_t k)
{
    lutra_status status =
        visit(walk, weight, block, (lutra_tensor_spec){.rank = 2, .shape = {n, k}, .is_matrix = true});
    return status ? status : visit_vector(walk, bias, block, n);
}

static lutra_status visit_norm(const struct walk *walk, lutra_role weight, lutra_role bias, size_t block,
                               size_t dim)
{
    lutra_status status = visit_vector(walk, weight, block, dim);
    return status ? status : visit_vector(walk, bias, block, dim);
}

static lutra_status visit_block(const struct walk *walk, const lutra_vit_arch *arch, size_t i)
{
    const size_t dim = arch->dim;
    lutra_status status;
    if ((status = visit_norm(walk, LUTRA_NORM1_WEIGHT, LUTRA_NORM1_BIAS, i, dim)) ||
        (status = visit_linear(walk, LUTRA_QKV_WEIGHT, LUTRA_QKV_BIAS, i, 3 * dim, dim)) ||
        (status = visit_linear(walk, LUTRA_PROJ_WEIGHT, LUTRA_PROJ_BIAS, i, dim, dim)) ||
        (status = arch->layer_scale ? visit_vector(walk, LUTRA_SCALE1, i, dim) : LUTRA_OK) ||
        (status = visit_norm(walk, LUTRA_NORM2_WEIGHT, LUTRA_NORM2_BIAS, i, dim)) ||
        (status = visit_linear(walk, LUTRA_FC1_WEIGHT, LUTRA_FC1_BIAS, i, 4 * dim, dim)) ||
        (status = visit_linear(walk, LUTRA_FC2_WEIGHT, LUTRA_FC2_BIAS, i, dim, 4 * dim)))
        return status;
    return arch->layer_scale ? visit_vector(walk, LUTRA_SCALE2, i, dim) : LUTRA_OK;
}

static lutra_status visit_embedding(const struct walk *walk, const lutra_vit_arch *arch)
{
    const size_t dim = arch->dim, grid = arch->image_size / arch->patch;
    const size_t n_prefix = 1 + (size_t)arch->distilled + arch->n_registers;
    const lutra_tensor_spec patches = {
        .rank = 4, .shape = {dim, 3, arch->patch, arch->patch}, .is_matrix = true};
    lutra_status status;
    if ((status = visit(walk, LUTRA_PATCH_WEIGHT, 0, patches)) ||
        (status = visit_vector(walk, LUTRA_PATCH_BIAS, 0, dim)) ||
        (status = visit_tokens(walk, LUTRA_CLASS_TOKEN, 1, dim)) ||
        (status = visit_tokens(walk, LUTRA_DISTILLATION_TOKEN, arch->distilled, dim)) ||
        (status = visit_tokens(walk, LUTRA_REGISTER_TOKENS, arch->n_registers, dim)))
        return status;
    return visit_tokens(walk, LUTRA_POSITIONS, grid * grid + (arch->position_on_patches_only ? 0 : n_prefix),
                        dim);
}

lutra_status lutra_vit_arch_tensors(const lutra_vit_arch *arch, lutra_tensor_visitor *visitor, void *user,
                                    lutra_error *error)
{
    const struct walk walk = {visitor, user, error};
    lutra_status status = visit_embedding(&walk, arch);
    for (size_t i = 0; i < arch->depth && status == LUTRA_OK; i++)
        status = visit_block(&walk, arch, i);
    if (status || (status = visit_norm(&walk, LUTRA_NORM_WEIGHT, LUTRA_NORM_BIAS, 0, arch->dim)) ||
        !arch->n_classes)
        return status;
    status = visit_linear(&walk, LUTRA_HEAD_WEIGHT, LUTRA_HEAD_BIAS, 0, arch->n_classes, arch->dim);
    if (status == LUTRA_OK && arch->distilled)
        status =
            visit_linear(&walk, LUTRA_HEAD_DIST_WEIGHT, LUTRA_HEAD_DIST_BIAS, 0, arch->n_classes, arch->dim);
    return status;
}
