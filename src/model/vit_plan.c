/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "model/plan.h"

struct builder {
    const lutra_vit *vit;
    lutra_plan *plan;
    /* These buffers serve every step:
     *   x       [n_tokens][dim]      the residual stream
     *   y       [n_tokens][dim]      what is normalised, what attention yields
     *   qkv     [n_tokens][3 dim]    queries, keys, values
     *   hidden  [n_tokens][mlp_dim]  behind fc1, before the blocks [n_patches][3 patch patch]; where qkv lies
     *                                in the tight layout
     *   one row each: the features and the logits (two of them where two heads are averaged) */
    lutra_operand x, y, qkv, hidden;
    lutra_operand logits_dist;
    size_t block; /* at hand, or LUTRA_NO_BLOCK */
};

static lutra_operand reserve(lutra_plan *plan, size_t rows, size_t columns)
{
    lutra_operand operand = {.ld = columns, .stride = rows * columns};
    for (size_t i = 0; i < LUTRA_N_LAYOUTS; i++) {
        operand.base[i] = plan->arena_floats[i];
        plan->arena_floats[i] += lutra_round_up(rows * columns, 16); /* keeps every buffer on a cache line */
    }
    return operand;
}

/* Floats from one row of `columns` to the next: rows that are whole pages apart would share the few sets of a
 * cache in which a tile's rows, read side by side, then drive each other out. */
static size_t row_floats(size_t columns)
{
    return columns % 1024 ? columns : columns + 16;
}

static void reserve_hidden(struct builder *builder, size_t floats)
{
    lutra_plan *plan = builder->plan;
    const size_t place = builder->qkv.base[LUTRA_LAYOUT_TIGHT], end = plan->arena_floats[LUTRA_LAYOUT_TIGHT];
    plan->arena_floats[LUTRA_LAYOUT_TIGHT] = place;
    builder->hidden = reserve(plan, 1, floats);
    plan->arena_floats[LUTRA_LAYOUT_TIGHT] = lutra_larger(plan->arena_floats[LUTRA_LAYOUT_TIGHT], end);
}

/* The same memory, seen as rows of another length. */
static lutra_operand view(lutra_operand buffer, size_t rows, size_t columns)
{
    buffer.ld = columns;
    buffer.stride = rows * columns;
    return buffer;
}

static lutra_operand column(lutra_operand operand, size_t column)
{
    operand.offset += column;
    return operand;
}

static lutra_operand row(lutra_operand operand, size_t row)
{
    operand.offset += row * operand.ld;
    return operand;
}

static lutra_step *add(struct builder *builder, lutra_op op, size_t rows, lutra_operand a, lutra_operand c,
                       const char *format, ...) __attribute__((format(printf, 6, 7)));

static lutra_step *add(struct builder *builder, lutra_op op, size_t rows, lutra_operand a, lutra_operand c,
                       const char *format, ...)
{
    lutra_step *step = &builder->plan->steps[builder->plan->n_steps++];
    va_list arguments;
    *step = (lutra_step){.op = op, .block = builder->block, .rows = rows, .a = a, .c = c};
    va_start(arguments, format);
    vsnprintf(step->name, sizeof step->name, format, arguments);
    va_end(arguments);
    return step;
}

/* Named as its weight is in the file, without ".weight". */
static lutra_step *add_gemm(struct builder *builder, size_t rows, const lutra_linear *linear, lutra_operand a,
                            lutra_operand c)
{
    const char *name = linear->weight->name;
    const size_t length = strlen(name), end = strlen(".weight");
    const bool has_end = length > end && strcmp(name + length - end, ".weight") == 0;
    lutra_step *step =
        add(builder, LUTRA_OP_GEMM, rows, a, c, "%.*s", (int)(has_end ? length - end : length), name);
    step->linear = *linear;
    builder->plan->max_k = lutra_larger(builder->plan->max_k, linear->weight->matrix.k);
    return step;
}

static void add_residual(lutra_step *step, const float *layer_scale)
{
    step->has_residual = true;
    step->residual = step->c;
    step->layer_scale = layer_scale;
}

/* The steps from `first` on are a norm, or patches, and the products of what it yields. */
static void share_rows(struct builder *builder, size_t first)
{
    lutra_step *steps = builder->plan->steps;
    for (size_t i = first; i < builder->plan->n_steps; i++)
        if (!lutra_step_is_even(&steps[i]))
            return;
    for (size_t i = first; i < builder->plan->n_steps; i++)
        steps[i].shares_rows = true;
}

static void add_norm(struct builder *builder, size_t rows, lutra_norm norm, lutra_operand a, lutra_operand c,
                     const char *name)
{
    if (builder->block == LUTRA_NO_BLOCK)
        add(builder, LUTRA_OP_LAYER_NORM, rows, a, c, "%s", name)->norm = norm;
    else
        add(builder, LUTRA_OP_LAYER_NORM, rows, a, c, "blocks.%zu.%s", builder->block, name)->norm = norm;
}

static void plan_embedding(struct builder *builder)
{
    const lutra_vit *vit = builder->vit;
    const lutra_operand patches = view(builder->hidden, vit->n_patches, 3 * vit->patch * vit->patch);
    const lutra_operand embedded = view(builder->y, vit->n_patches, vit->dim);
    add(builder, LUTRA_OP_PATCHES, vit->n_patches, patches, patches, "patches");
    add_gemm(builder, vit->n_patches, &vit->patch_embed, patches, embedded);
    share_rows(builder, 0);
    add(builder, LUTRA_OP_TOKENS, vit->n_tokens, embedded, builder->x, "tokens");
    if (vit->norm_pre.gamma)
        add_norm(builder, vit->n_tokens, vit->norm_pre, builder->x, builder->x, "norm_pre");
}

static void plan_block(struct builder *builder)
{
    const lutra_vit *vit = builder->vit;
    const lutra_vit_block *block = &vit->blocks[builder->block];
    const size_t n = vit->n_tokens, dim = vit->dim;
    const lutra_operand x = builder->x, y = builder->y;
    const lutra_operand qkv = view(builder->qkv, n, row_floats(3 * dim));
    /* From the last attention on only the pooled token is needed. */
    const bool one_row =
        builder->block + 1 == vit->depth && vit->pool == LUTRA_POOL_TOKEN && !vit->averages_tokens;
    const size_t rows = one_row ? 1 : n;
    const lutra_operand hidden = view(builder->hidden, rows, row_floats(vit->mlp_dim));
    const size_t norm1 = builder->plan->n_steps;
    add_norm(builder, n, block->norm1, x, y, "norm1");
    if (block->qkv.weight) {
        add_gemm(builder, n, &block->qkv, y, qkv);
    } else {
        add_gemm(builder, n, &block->q, y, qkv);
        add_gemm(builder, n, &block->k, y, column(qkv, dim));
        add_gemm(builder, n, &block->v, y, column(qkv, 2 * dim));
    }
    share_rows(builder, norm1);
    add(builder, LUTRA_OP_ATTENTION, rows, qkv, y, "blocks.%zu.attention", builder->block);
    add_residual(add_gemm(builder, rows, &block->proj, y, x), block->scale1);
    const size_t norm2 = builder->plan->n_steps;
    add_norm(builder, rows, block->norm2, x, y, "norm2");
    add_gemm(builder, rows, &block->fc1, y, hidden)->activation =
        vit->gelu_tanh ? LUTRA_GELU_TANH : LUTRA_GELU_ERF;
    share_rows(builder, norm2);
    add_residual(add_gemm(builder, rows, &block->fc2, hidden, x), block->scale2);
}

/* Two heads, of the class and of the distillation token, averaged (Touvron et al. 2021, DeiT). */
static void plan_distilled_head(struct builder *builder, lutra_operand normed)
{
    const lutra_vit *vit = builder->vit;
    const lutra_operand logits = builder->plan->logits;
    add(builder, LUTRA_OP_AVERAGE, 1, normed, builder->plan->features, "features")->residual = row(normed, 1);
    if (!vit->n_classes)
        return;
    add_gemm(builder, 1, &vit->head, normed, logits);
    add_gemm(builder, 1, &vit->head_dist, row(normed, 1), builder->logits_dist);
    add(builder, LUTRA_OP_AVERAGE, 1, logits, logits, "logits")->residual = builder->logits_dist;
}

static void plan_head(struct builder *builder)
{
    const lutra_vit *vit = builder->vit;
    const lutra_operand features = builder->plan->features;
    lutra_operand x = builder->x;
    if (vit->norm.gamma && (vit->pool != LUTRA_POOL_TOKEN || vit->averages_tokens)) {
        add_norm(builder, vit->n_tokens, vit->norm, x, builder->y, "norm");
        x = builder->y;
    }
    if (vit->averages_tokens) {
        plan_distilled_head(builder, x);
        return;
    }
    if (vit->pool == LUTRA_POOL_TOKEN_AND_AVERAGE) {
        add(builder, LUTRA_OP_COPY, 1, x, features, "class token");
        add(builder, LUTRA_OP_MEAN, 1, row(x, vit->n_prefix), column(features, vit->dim), "pool");
        x = features;
    } else if (vit->pool == LUTRA_POOL_AVERAGE) {
        add(builder, LUTRA_OP_MEAN, 1, row(x, vit->n_prefix), features, "pool");
        x = features;
    } else if (vit->norm.gamma) {
        add_norm(builder, 1, vit->norm, x, features, "norm");
        x = features;
    }
    if (vit->fc_norm.gamma) {
        add_norm(builder, 1, vit->fc_norm, x, features, "fc_norm");
        x = features;
    }
    if (vit->n_classes)
        add_gemm(builder, 1, &vit->head, x, builder->plan->logits);
    builder->plan->features = x;
}

lutra_status lutra_vit_plan(lutra_binding *binding, const lutra_vit *vit, lutra_plan *plan,
                            lutra_error *error)
{
    const size_t n = vit->n_tokens, dim = vit->dim;
    const size_t patches = vit->n_patches * 3 * vit->patch * vit->patch;
    struct builder builder = {.vit = vit, .plan = plan, .block = LUTRA_NO_BLOCK};
    *plan = (lutra_plan){0};
    /* No more than reserve() will count, which a machine of 32 bits could not. */
    const uint64_t floats = (uint64_t)n * (2 * dim + row_floats(3 * dim) + row_floats(vit->mlp_dim)) +
                            patches + (uint64_t)2 * vit->n_features + (uint64_t)2 * vit->n_classes;
    if (floats > PTRDIFF_MAX / sizeof(float) - 1024)
        return lutra_fail(error, LUTRA_ERROR_MEMORY, lutra_safetensors_path(binding->file), LUTRA_NO_OFFSET,
                          "its activations are too large for this machine");
    lutra_status status = lutra_binding_allocate(binding, 16 + 10 * vit->depth, sizeof *plan->steps, "a plan",
                                                 &plan->steps, error);
    if (status)
        return status;
    builder.x = reserve(plan, n, dim);
    builder.y = reserve(plan, n, dim);
    plan->features = reserve(plan, 1, vit->n_features);
    plan->logits = reserve(plan, 1, vit->n_classes);
    builder.logits_dist = reserve(plan, 1, vit->head_dist.weight ? vit->n_classes : 0);
    builder.qkv = reserve(plan, n, row_floats(3 * dim));
    reserve_hidden(&builder, lutra_larger(n * row_floats(vit->mlp_dim), patches));
    plan_embedding(&builder);
    for (builder.block = 0; builder.block < vit->depth; builder.block++)
        plan_block(&builder);
    builder.block = LUTRA_NO_BLOCK;
    plan_head(&builder);
    return LUTRA_OK;
}
