/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan: what a run does, step by step. The executor walks it, `inspect --plan` prints it; there is no
 * second description of a model.
 */
#ifndef LUTRA_MODEL_PLAN_H
#define LUTRA_MODEL_PLAN_H

#include "model/vit.h"

typedef enum lutra_op {
    LUTRA_OP_PATCHES, /* pixels -> patches */
    LUTRA_OP_GEMM,    /* c = layer_scale * activation(a w^T + bias) + residual */
    LUTRA_OP_TOKENS,  /* prefix tokens, then patches plus positions */
    LUTRA_OP_LAYER_NORM,
    LUTRA_OP_ATTENTION,
    LUTRA_OP_MEAN,    /* of a picture's patch tokens */
    LUTRA_OP_AVERAGE, /* of two rows */
    LUTRA_OP_COPY,    /* of one token */
} lutra_op;

/* How buffers lie in the arena: tight, most of them stay in a thread's caches. But several threads all read
 * keys and values, and where hidden rows are then written into the same lines, each is first taken from the
 * other processors: apart, hidden rows have memory of their own. */
typedef enum lutra_layout { LUTRA_LAYOUT_TIGHT, LUTRA_LAYOUT_APART, LUTRA_N_LAYOUTS } lutra_layout;

/* Rows of floats in the arena. A picture's rows lie `ld` apart, pictures `stride` apart; `base` and `stride`
 * count floats for a batch of one: `base` is multiplied by the largest batch. */
typedef struct lutra_operand {
    size_t base[LUTRA_N_LAYOUTS];
    size_t offset, ld, stride;
} lutra_operand;

typedef struct lutra_step {
    lutra_op op;
    char name[96];
    size_t block; /* or LUTRA_NO_BLOCK */
    size_t rows;  /* per picture */
    lutra_operand a, c, residual;
    bool has_residual;
    lutra_linear linear;
    lutra_activation activation;
    const float *layer_scale;
    lutra_norm norm;
    /* Of a norm, or patches, and of the products that follow it: nothing else reads what it yields, and all
     * rows go in one call. */
    bool shares_rows;
} lutra_step;

typedef struct lutra_plan {
    lutra_step *steps;
    size_t n_steps;
    size_t arena_floats[LUTRA_N_LAYOUTS]; /* for a batch of one */
    lutra_operand features, logits;       /* one row a picture */
    size_t max_k;                         /* the most inputs of any product */
} lutra_plan;

/* The steps live as long as the binding. */
lutra_status lutra_vit_plan(lutra_binding *binding, const lutra_vit *vit, lutra_plan *plan,
                            lutra_error *error);

/* MACs and bytes of one step, for one picture. */
void lutra_step_describe(const lutra_vit *vit, const lutra_step *step, lutra_step_info *info);

/* Whether the rows of a batch follow each other evenly in every operand, so that one call takes them all. */
bool lutra_step_is_even(const lutra_step *step);

/* Whether the rows that a norm, or patches, and its products share pass between them in 8 bits, in a run from
 * the first step to the last: they need not be there in f32. */
bool lutra_step_passes_i8(const lutra_step *step, lutra_mode mode, size_t batch);

/* Floats of a row that the step writes. */
size_t lutra_step_columns(const lutra_vit *vit, const lutra_step *step);

#endif
