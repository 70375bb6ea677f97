/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a plan: owns the arena, walks the steps, allocates nothing on the way. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/size.h"
#include "kernels/attention/attention.h"
#include "kernels/gemm/gemm_bf16.h"
#include "kernels/gemm/gemm_i8.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/patches/patches.h"
#include "model/mode.h"
#include "model/model_private.h"
#include "model/steps.h"

/* Fewer are not worth waking a thread for. */
#define TOKENS_PER_TASK ((size_t)16)

struct lutra_context {
    const lutra_model *model;
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    size_t max_batch;
    lutra_mode mode;
    lutra_matrix_i8 *weights_i8; /* [n_matrices of the model] in mode int8, else NULL */
    lutra_layout layout;
    float *arena;                 /* [plan.arena_floats[layout] * max_batch] */
    void *scratch;                /* what products and attention need */
    lutra_step_observer observer; /* or NULL */
    void *observer_user;
};

/* What one run walks with. */
struct run {
    lutra_context *context;
    const lutra_vit *vit;
    const uint8_t *pixels; /* [batch][height][width][3] */
    size_t batch;
    bool is_whole; /* from the first step to the last, so that one may leave something to the next in scratch
                    */
};

static float *place(const lutra_context *context, const lutra_operand *operand)
{
    return context->arena + operand->base[context->layout] * context->max_batch + operand->offset;
}

static float *at(const struct run *run, const lutra_operand *operand)
{
    return place(run->context, operand);
}

/* How the rows of a batch are passed on: all at once where they follow each other evenly in every operand,
 * with one row a picture as rows a picture apart, else picture by picture. */
struct span {
    size_t n_calls, rows;
    bool by_picture; /* operands advance by their stride from call to call */
};

static struct span span_of(const struct run *run, const lutra_step *step)
{
    if (lutra_step_is_even(step))
        return (struct span){.n_calls = 1, .rows = run->batch * step->rows};
    return (struct span){.n_calls = run->batch, .rows = step->rows, .by_picture = true};
}

static size_t leading(const lutra_operand *operand, size_t rows)
{
    return rows == 1 ? operand->stride : operand->ld;
}

static bool passes_i8(const struct run *run, const lutra_step *step)
{
    return run->is_whole && lutra_step_passes_i8(step, run->context->mode, run->batch);
}

static void multiply(const lutra_context *context, const lutra_named_matrix *weight, const lutra_gemm *gemm)
{
    if (context->mode == LUTRA_MODE_INT8)
        lutra_gemm_i8(context->kernels, context->pool, gemm,
                      &context->weights_i8[weight - context->model->binding.matrices], context->scratch);
    else if (context->mode == LUTRA_MODE_BF16)
        lutra_gemm_bf16(context->kernels, context->pool, gemm, context->scratch);
    else
        lutra_gemm_f32(context->kernels, context->pool, gemm, context->scratch);
}

static void run_gemm(const struct run *run, const lutra_step *step)
{
    const struct span span = span_of(run, step);
    for (size_t call = 0; call < span.n_calls; call++) {
        lutra_gemm gemm = {
            .m = span.rows,
            .weights = &step->linear.weight->matrix,
            .a = at(run, &step->a) + call * step->a.stride,
            .lda = leading(&step->a, step->rows),
            .c = at(run, &step->c) + call * step->c.stride,
            .ldc = leading(&step->c, step->rows),
            .bias = step->linear.bias,
            .activation = step->activation,
            .layer_scale = step->layer_scale,
            .residual = step->has_residual ? at(run, &step->residual) + call * step->residual.stride : NULL,
            .ldr = leading(&step->residual, step->rows),
        };
        if (passes_i8(run, step))
            gemm.a = NULL;
        multiply(run->context, step->linear.weight, &gemm);
    }
}

static void run_layer_norm(const struct run *run, const lutra_step *step)
{
    const lutra_context *context = run->context;
    const struct span span = span_of(run, step);
    for (size_t call = 0; call < span.n_calls; call++) {
        lutra_layer_norm norm = {
            .n_rows = span.rows,
            .dim = run->vit->dim,
            .x = at(run, &step->a) + call * step->a.stride,
            .ldx = leading(&step->a, step->rows),
            .y = at(run, &step->c) + call * step->c.stride,
            .ldy = leading(&step->c, step->rows),
            .gamma = step->norm.gamma,
            .beta = step->norm.beta,
            .eps = run->vit->eps,
        };
        if (!passes_i8(run, step)) {
            lutra_layer_norm_f32(context->kernels, context->pool, &norm);
            continue;
        }
        if (!context->observer)
            norm.y = NULL;
        lutra_layer_norm_i8(context->kernels, context->pool, &norm, context->scratch);
    }
}

static void run_attention(const struct run *run, const lutra_step *step)
{
    const lutra_attention attention = {
        .batch = run->batch,
        .n_tokens = run->vit->n_tokens,
        .n_queries = step->rows,
        .n_heads = run->vit->n_heads,
        .head_dim = run->vit->dim / run->vit->n_heads,
        .qkv = at(run, &step->a),
        .ld_qkv = step->a.ld,
        .out = at(run, &step->c),
        .ld_out = step->c.ld,
    };
    const lutra_context *context = run->context;
    /* Where activations are rounded to 8 bits anyway, and on all levels alike: on one it is twice as fast. */
    if (context->mode == LUTRA_MODE_INT8)
        lutra_attention_bf16(context->kernels, context->pool, &attention, context->scratch);
    else
        lutra_attention_f32(context->kernels, context->pool, &attention, context->scratch);
}

static void run_patches(const struct run *run, const lutra_step *step)
{
    const lutra_preprocessing *p = &run->context->model->settings.preprocessing;
    lutra_patches patches = {
        .batch = run->batch,
        .height = run->vit->height,
        .width = run->vit->width,
        .patch = run->vit->patch,
        .pixels = run->pixels,
        .out = at(run, &step->c),
    };
    memcpy(patches.mean, p->mean, sizeof patches.mean);
    memcpy(patches.std, p->std, sizeof patches.std);
    const lutra_context *context = run->context;
    if (!passes_i8(run, step)) {
        lutra_patches_f32(context->kernels, context->pool, &patches);
        return;
    }
    if (!context->observer)
        patches.out = NULL;
    lutra_patches_i8(context->kernels, context->pool, &patches, context->scratch);
}

struct tokens_job {
    const struct run *run;
    const lutra_step *step;
};

/* Some of the tokens of all pictures, n_tokens a picture. */
static void bring_tokens(void *argument, size_t task, size_t worker)
{
    const struct tokens_job *job = argument;
    const lutra_step *step = job->step;
    const lutra_vit *vit = job->run->vit;
    const size_t n_tokens = vit->n_tokens, dim = vit->dim, end = job->run->batch * n_tokens;
    (void)worker;
    for (size_t i = task * TOKENS_PER_TASK; i < end && i < (task + 1) * TOKENS_PER_TASK; i++) {
        const size_t b = i / n_tokens, token = i % n_tokens;
        float *out = at(job->run, &step->c) + b * step->c.stride + token * dim;
        if (token < vit->n_prefix) {
            memcpy(out, vit->prefix + token * dim, dim * sizeof *out);
            continue;
        }
        const size_t patch = token - vit->n_prefix;
        const float *embedded = at(job->run, &step->a) + b * step->a.stride + patch * dim;
        for (size_t j = 0; j < dim; j++)
            out[j] = embedded[j] + vit->positions[patch * dim + j];
    }
}

static void run_tokens(const struct run *run, const lutra_step *step)
{
    struct tokens_job job = {.run = run, .step = step};
    const size_t n = run->batch * run->vit->n_tokens;
    lutra_thread_pool_run(run->context->pool, lutra_divide_up(n, TOKENS_PER_TASK), bring_tokens, &job);
}

static void run_mean(const struct run *run, const lutra_step *step)
{
    const lutra_vit *vit = run->vit;
    for (size_t b = 0; b < run->batch; b++) {
        const float *x = at(run, &step->a) + b * step->a.stride; /* [n_patches][dim] */
        float *mean = at(run, &step->c) + b * step->c.stride;    /* [dim] */
        memset(mean, 0, vit->dim * sizeof *mean);
        for (size_t i = 0; i < vit->n_patches; i++)
            for (size_t j = 0; j < vit->dim; j++)
                mean[j] += x[i * step->a.ld + j];
        for (size_t j = 0; j < vit->dim; j++)
            mean[j] /= (float)vit->n_patches;
    }
}

static void run_average(const struct run *run, const lutra_step *step)
{
    for (size_t b = 0; b < run->batch; b++) {
        const float *x = at(run, &step->a) + b * step->a.stride;
        const float *y = at(run, &step->residual) + b * step->residual.stride;
        float *average = at(run, &step->c) + b * step->c.stride; /* [c.ld] */
        for (size_t i = 0; i < step->c.ld; i++)
            average[i] = (x[i] + y[i]) / 2;
    }
}

static void run_copy(const struct run *run, const lutra_step *step)
{
    for (size_t b = 0; b < run->batch; b++)
        memcpy(at(run, &step->c) + b * step->c.stride, at(run, &step->a) + b * step->a.stride,
               run->vit->dim * sizeof(float));
}

static void run_step(const struct run *run, const lutra_step *step)
{
    switch (step->op) {
    case LUTRA_OP_PATCHES:
        run_patches(run, step);
        break;
    case LUTRA_OP_GEMM:
        run_gemm(run, step);
        break;
    case LUTRA_OP_TOKENS:
        run_tokens(run, step);
        break;
    case LUTRA_OP_LAYER_NORM:
        run_layer_norm(run, step);
        break;
    case LUTRA_OP_ATTENTION:
        run_attention(run, step);
        break;
    case LUTRA_OP_MEAN:
        run_mean(run, step);
        break;
    case LUTRA_OP_AVERAGE:
        run_average(run, step);
        break;
    case LUTRA_OP_COPY:
        run_copy(run, step);
        break;
    }
}

static void run_observed(const struct run *run, size_t index)
{
    const lutra_context *context = run->context;
    const lutra_step *step = &context->model->plan.steps[index];
    const double begin = lutra_seconds();
    run_step(run, step);
    const lutra_step_result result = {
        .index = index,
        .seconds = lutra_seconds() - begin,
        .batch = run->batch,
        .rows = step->rows,
        .columns = lutra_step_columns(run->vit, step),
        .stride = step->c.stride,
        .ld = step->c.ld,
        .data = at(run, &step->c),
    };
    context->observer(context->observer_user, &result);
}

static void copy_rows(const struct run *run, const lutra_operand *operand, size_t n,
                      float *out /* [batch][n] */)
{
    for (size_t b = 0; b < run->batch; b++)
        memcpy(out + b * n, at(run, operand) + b * operand->stride, n * sizeof *out);
}

lutra_status lutra_context_run(lutra_context *context, const uint8_t *pixels, size_t batch, float *logits,
                               float *features, lutra_error *error)
{
    const lutra_model *model = context->model;
    const struct run run = {
        .context = context, .vit = &model->vit, .pixels = pixels, .batch = batch, .is_whole = true};
    if (batch < 1 || batch > context->max_batch)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "a batch of %zu pictures in a context for 1 to %zu", batch, context->max_batch);
    if (!pixels)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "no pixels");
    if (logits && !model->vit.n_classes)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, model->info.path, LUTRA_NO_OFFSET,
                          "the model has no head: it yields features, not classes");
    lutra_thread_pool_enter(context->pool);
    for (size_t i = 0; i < model->plan.n_steps; i++)
        if (context->observer)
            run_observed(&run, i);
        else
            run_step(&run, &model->plan.steps[i]);
    lutra_thread_pool_leave(context->pool);
    if (logits)
        copy_rows(&run, &model->plan.logits, model->vit.n_classes, logits);
    if (features)
        copy_rows(&run, &model->plan.features, model->vit.n_features, features);
    return LUTRA_OK;
}

bool lutra_context_product(const lutra_context *context, size_t index, size_t batch, lutra_product *product)
{
    const lutra_step *step = &context->model->plan.steps[index];
    const struct run run = {.context = (lutra_context *)context, .vit = &context->model->vit, .batch = batch};
    if (step->op != LUTRA_OP_GEMM)
        return false;
    *product = (lutra_product){
        .weight = step->linear.weight,
        .bias = step->linear.bias,
        .input = {.data = at(&run, &step->a),
                  .n_pictures = batch,
                  .rows = step->rows,
                  .stride = step->a.stride,
                  .ld = step->a.ld},
    };
    return true;
}

const float *lutra_context_operand(const lutra_context *context, const lutra_operand *operand)
{
    return place(context, operand);
}

void lutra_context_step(lutra_context *context, size_t index, const uint8_t *pixels, size_t batch,
                        const lutra_matrix *weight, const float *bias)
{
    const struct run run = {
        .context = context, .vit = &context->model->vit, .pixels = pixels, .batch = batch};
    lutra_step step = context->model->plan.steps[index];
    lutra_named_matrix named;
    if (weight) {
        named = *step.linear.weight;
        named.matrix = *weight;
        step.linear.weight = &named;
    }
    if (bias)
        step.linear.bias = bias;
    run_step(&run, &step);
}

float *lutra_context_arena(lutra_context *context, size_t *n)
{
    *n = context->model->plan.arena_floats[context->layout] * context->max_batch;
    return context->arena;
}

lutra_rows lutra_context_logits(const lutra_context *context, size_t batch)
{
    const lutra_operand *logits = &context->model->plan.logits;
    const struct run run = {.context = (lutra_context *)context};
    return (lutra_rows){
        .data = at(&run, logits), .n_pictures = batch, .rows = 1, .stride = logits->stride, .ld = logits->ld};
}

/* The most rows of any product, for the largest batch. */
static bool most_rows(const lutra_context *context, size_t *rows)
{
    size_t most = 1;
    for (size_t i = 0; i < context->model->plan.n_steps; i++) {
        const lutra_step *step = &context->model->plan.steps[i];
        if (step->op == LUTRA_OP_GEMM && step->rows > most)
            most = step->rows;
    }
    return lutra_size_multiply(most, context->max_batch, rows);
}

static bool scratch_bytes(const lutra_context *context, size_t n_threads, size_t *bytes)
{
    const lutra_model *model = context->model;
    const size_t max_k = model->plan.max_k;
    size_t rows, attention, gemm = lutra_gemm_f32_scratch(max_k, n_threads);
    if (!most_rows(context, &rows) ||
        !lutra_attention_scratch(model->vit.dim / model->vit.n_heads, n_threads, &attention) ||
        (context->mode == LUTRA_MODE_INT8 && !lutra_gemm_i8_scratch(rows, max_k, n_threads, &gemm)) ||
        (context->mode == LUTRA_MODE_BF16 && !lutra_gemm_bf16_scratch(rows, max_k, n_threads, &gemm)))
        return false;
    *bytes = gemm > attention ? gemm : attention;
    return true;
}

static lutra_status allocate_memory(lutra_context *context, size_t n_threads, lutra_error *error)
{
    size_t floats, scratch;
    /* Of several pictures little stays in the caches either way. */
    context->layout = n_threads > 1 && context->max_batch == 1 ? LUTRA_LAYOUT_APART : LUTRA_LAYOUT_TIGHT;
    if (!lutra_size_multiply(context->model->plan.arena_floats[context->layout], context->max_batch,
                             &floats) ||
        !scratch_bytes(context, n_threads, &scratch))
        return lutra_fail_memory(error, SIZE_MAX, "activations");
    lutra_status status = lutra_allocate(floats, sizeof(float), "activations", &context->arena, error);
    if (status)
        return status;
    return lutra_allocate(scratch, 1, "scratch memory", &context->scratch, error);
}

static lutra_status bring_weights(lutra_context *context, lutra_error *error)
{
    const lutra_binding *binding = &context->model->binding;
    if (context->mode != LUTRA_MODE_INT8)
        return LUTRA_OK;
    lutra_status status = lutra_allocate(binding->n_matrices, sizeof *context->weights_i8, "int8 weights",
                                         &context->weights_i8, error);
    for (size_t i = 0; status == LUTRA_OK && i < binding->n_matrices; i++)
        status = lutra_matrix_i8_create(context->kernels, context->pool, &binding->matrices[i].matrix,
                                        &context->weights_i8[i], error);
    return status;
}

lutra_status lutra_context_create(const lutra_model *model, const lutra_context_options *options,
                                  lutra_context **result, lutra_error *error)
{
    const size_t n_cpus = options && options->cpus ? options->n_cpus : 0;
    const size_t n_threads = options && options->n_threads ? options->n_threads
                             : n_cpus                      ? n_cpus
                                                           : lutra_default_threads();
    const size_t max_batch = options && options->max_batch ? options->max_batch : 1;
    const lutra_mode mode = options ? options->mode : LUTRA_MODE_AUTO;
    lutra_context *context = NULL;
    *result = NULL;
    if ((int)mode < LUTRA_MODE_AUTO || mode > LUTRA_MODE_INT8)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "mode %d: there is none such",
                          (int)mode);
    if (max_batch > LUTRA_MAX_BATCH)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "a batch of %zu: at most %d",
                          max_batch, LUTRA_MAX_BATCH);
    lutra_status status = lutra_allocate(1, sizeof *context, "a context", &context, error);
    if (status)
        return status;
    context->model = model;
    context->max_batch = max_batch;
    if ((status = lutra_kernels_select(&context->kernels, error))) {
        free(context);
        return status;
    }
    context->mode = mode == LUTRA_MODE_AUTO ? lutra_choose_mode(model, context->kernels) : mode;
    if ((status = lutra_thread_pool_create(n_threads, &context->pool, error)) ||
        (n_cpus && (status = lutra_thread_pool_pin(context->pool, options->cpus, n_cpus, error))) ||
        (status = bring_weights(context, error)) || (status = allocate_memory(context, n_threads, error)))
        lutra_context_free(context);
    else
        *result = context;
    return status;
}

void lutra_context_free(lutra_context *context)
{
    if (!context)
        return;
    lutra_thread_pool_free(context->pool);
    for (size_t i = 0; context->weights_i8 && i < context->model->binding.n_matrices; i++)
        lutra_matrix_i8_free(&context->weights_i8[i]);
    free(context->weights_i8);
    free(context->arena);
    free(context->scratch);
    free(context);
}

size_t lutra_context_threads(const lutra_context *context)
{
    return lutra_thread_pool_size(context->pool);
}

const char *lutra_context_isa(const lutra_context *context)
{
    return lutra_kernels_name(context->kernels);
}

lutra_mode lutra_context_mode(const lutra_context *context)
{
    return context->mode;
}

/* What a step's product reads instead of a dense matrix of the file: a byte a weight and a scale a row. */
static uint64_t brought_bytes(const lutra_matrix *matrix)
{
    return (uint64_t)matrix->n * matrix->k + matrix->n * sizeof(float);
}

static void describe_step(const lutra_context *context, const lutra_step *step, lutra_step_info *info)
{
    lutra_step_describe(&context->model->vit, step, info);
    if (step->op != LUTRA_OP_GEMM || !context->weights_i8 || !step->linear.weight->matrix.dense)
        return;
    const lutra_matrix *matrix = &step->linear.weight->matrix;
    info->weight_bytes += brought_bytes(matrix);
    info->weight_bytes -= (uint64_t)matrix->n * matrix->k * lutra_dtype_size(matrix->dtype);
}

lutra_status lutra_context_step_info(const lutra_context *context, size_t index, lutra_step_info *info,
                                     lutra_error *error)
{
    lutra_status status = lutra_model_step(context->model, index, info, error);
    if (status == LUTRA_OK)
        describe_step(context, &context->model->plan.steps[index], info);
    return status;
}

uint64_t lutra_context_weight_bytes(const lutra_context *context)
{
    const lutra_model *model = context->model;
    uint64_t bytes = 0;
    for (size_t i = 0; i < model->plan.n_steps; i++) {
        lutra_step_info info;
        describe_step(context, &model->plan.steps[i], &info);
        bytes += info.weight_bytes;
    }
    return bytes;
}

void lutra_context_observe(lutra_context *context, lutra_step_observer observer, void *user)
{
    context->observer = observer;
    context->observer_user = user;
}
