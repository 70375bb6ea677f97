/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gradients lie in a second arena, laid out as that of the activations. An operand's gradient is whole
 * when the step that yields the operand is reached, and is zero again behind it, where the same memory holds
 * what an earlier step yields.
 */
#include "model/backward.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "kernels/gemm/gemm.h"
#include "model/model_private.h"
#include "model/steps.h"

#define BLOCK ((size_t)16) /* rows that are turned at a time: a cache line */

struct lutra_backward {
    const lutra_model *model;
    const lutra_kernels *kernels;
    lutra_thread_pool *pool; /* of one thread */
    lutra_context *context;
    float *kept;     /* of steps that are not linear: their inputs, or the activations' slopes */
    size_t *kept_at; /* [n_steps] where a step's begins in `kept` */
    float *gradient; /* [plan.arena_floats[LUTRA_LAYOUT_TIGHT]] */
    float *yielded;  /* the gradient in what the step at hand yields, [rows][width] */
    float *turned;   /* a matrix's columns as rows */
    float *work;     /* what the step at hand needs beside */
    void *scratch;
};

static const char what[] = "gradients"; /* in messages: what memory is for */

/* ---- sizes --------------------------------------------------------------------------------------- */

/* Columns of what a step yields. */
static size_t width_of(const lutra_vit *vit, const lutra_step *step)
{
    switch (step->op) {
    case LUTRA_OP_GEMM:
        return step->linear.weight->matrix.n;
    case LUTRA_OP_AVERAGE:
        return step->c.ld;
    default:
        return vit->dim;
    }
}

/* Rows of what the way back of a step begins with: of what attends, also those that nobody reads. */
static size_t rows_of(const lutra_vit *vit, const lutra_step *step)
{
    return step->op == LUTRA_OP_TOKENS || step->op == LUTRA_OP_ATTENTION ? vit->n_tokens : step->rows;
}

/* Floats of each row that the way back needs. */
static size_t kept_columns(const lutra_vit *vit, const lutra_step *step)
{
    switch (step->op) {
    case LUTRA_OP_GEMM:
        return step->activation == LUTRA_IDENTITY ? 0 : step->linear.weight->matrix.n;
    case LUTRA_OP_LAYER_NORM:
        return vit->dim;
    case LUTRA_OP_ATTENTION:
        return 3 * vit->dim;
    default:
        return 0;
    }
}

/* Six of [tokens][head_dim] and four of [tokens][tokens]. */
static uint64_t attention_floats(const lutra_vit *vit)
{
    return (uint64_t)vit->n_tokens * (6 * (vit->dim / vit->n_heads) + 4 * vit->n_tokens);
}

static lutra_status allocate_floats(uint64_t n, float **floats, lutra_error *error)
{
    size_t size;
    if (!lutra_size_from(n, &size))
        return lutra_fail_memory(error, SIZE_MAX, what);
    return lutra_allocate(size, sizeof **floats, what, floats, error);
}

static lutra_status allocate_buffers(lutra_backward *b, lutra_error *error)
{
    const lutra_plan *plan = &b->model->plan;
    const lutra_vit *vit = &b->model->vit;
    /* 64 bits hold what a model's limits allow; a machine of 32 may not. */
    uint64_t kept = 0;
    size_t yielded = 0, turned = 0, longest = vit->n_tokens;
    lutra_status status = lutra_allocate(plan->n_steps, sizeof *b->kept_at, what, &b->kept_at, error);
    if (status)
        return status;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const lutra_step *step = &plan->steps[i];
        b->kept_at[i] = (size_t)kept; /* refused below where it does not fit */
        kept += (uint64_t)rows_of(vit, step) * kept_columns(vit, step);
        yielded = lutra_larger(yielded, rows_of(vit, step) * width_of(vit, step));
        if (step->op == LUTRA_OP_GEMM) {
            const lutra_matrix *w = &step->linear.weight->matrix;
            turned = lutra_larger(turned, (w->n + BLOCK) * w->k);
            longest = lutra_larger(longest, lutra_larger(w->n, w->k));
        }
    }
    if ((status = allocate_floats(kept, &b->kept, error)) ||
        (status = allocate_floats(plan->arena_floats[LUTRA_LAYOUT_TIGHT], &b->gradient, error)) ||
        (status = allocate_floats(yielded, &b->yielded, error)) ||
        (status = allocate_floats(turned, &b->turned, error)) ||
        (status = allocate_floats(attention_floats(vit), &b->work, error)))
        return status;
    return lutra_allocate(lutra_gemm_f32_scratch(longest, 1), 1, what, &b->scratch, error);
}

lutra_status lutra_backward_create(const lutra_model *model, lutra_backward **result, lutra_error *error)
{
    const lutra_context_options options = {.n_threads = 1, .max_batch = 1, .mode = LUTRA_MODE_F32};
    lutra_backward *b;
    lutra_status status = lutra_allocate(1, sizeof *b, what, &b, error);
    *result = NULL;
    if (status)
        return status;
    b->model = model;
    if ((status = lutra_kernels_select(&b->kernels, error)) ||
        (status = lutra_thread_pool_create(1, &b->pool, error)) ||
        (status = lutra_context_create(model, &options, &b->context, error)) ||
        (status = allocate_buffers(b, error)))
        lutra_backward_free(b);
    else
        *result = b;
    return status;
}

void lutra_backward_free(lutra_backward *b)
{
    if (!b)
        return;
    lutra_thread_pool_free(b->pool);
    lutra_context_free(b->context);
    free(b->kept);
    free(b->kept_at);
    free(b->gradient);
    free(b->yielded);
    free(b->turned);
    free(b->work);
    free(b->scratch);
    free(b);
}

/* ---- forward ------------------------------------------------------------------------------------- */

static const lutra_operand *outputs_of(const lutra_model *model)
{
    return model->vit.n_classes ? &model->plan.logits : &model->plan.features;
}

size_t lutra_backward_n_outputs(const lutra_backward *b)
{
    const lutra_vit *vit = &b->model->vit;
    return vit->n_classes ? vit->n_classes : vit->n_features;
}

static float gelu_slope(lutra_activation activation, float x)
{
    if (activation == LUTRA_GELU_ERF)
        return 0.5f * (1 + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
    const float inner = 0.79788456f * (x + 0.044715f * x * x * x), t = tanhf(inner);
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456f * (1 + 3 * 0.044715f * x * x);
}

/* The slopes of a product's activation: the product alone, and what its numbers say. */
static void keep_slopes(const lutra_backward *b, const lutra_step *step, float *slopes /* [rows][n] */)
{
    const lutra_matrix *w = &step->linear.weight->matrix;
    const lutra_gemm gemm = {.m = step->rows,
                             .weights = w,
                             .a = lutra_context_operand(b->context, &step->a),
                             .lda = step->a.ld,
                             .c = slopes,
                             .ldc = w->n,
                             .bias = step->linear.bias};
    lutra_gemm_f32(b->kernels, b->pool, &gemm, b->scratch);
    for (size_t i = 0; i < step->rows * w->n; i++)
        slopes[i] = gelu_slope(step->activation, slopes[i]);
}

static void keep(const lutra_backward *b, size_t index)
{
    const lutra_step *step = &b->model->plan.steps[index];
    const size_t n = kept_columns(&b->model->vit, step);
    float *to = b->kept + b->kept_at[index];
    if (n > 0 && step->op == LUTRA_OP_GEMM)
        keep_slopes(b, step, to);
    else if (n > 0)
        for (size_t row = 0; row < rows_of(&b->model->vit, step); row++)
            memcpy(to + row * n, lutra_context_operand(b->context, &step->a) + row * step->a.ld,
                   n * sizeof *to);
}

void lutra_backward_forward(lutra_backward *b, const uint8_t *pixels, float *outputs)
{
    const lutra_plan *plan = &b->model->plan;
    for (size_t i = 0; i < plan->n_steps; i++) {
        keep(b, i);
        lutra_context_step(b->context, i, pixels, 1, NULL, NULL);
    }
    memcpy(outputs, lutra_context_operand(b->context, outputs_of(b->model)),
           lutra_backward_n_outputs(b) * sizeof *outputs);
}

/* ---- one step back ------------------------------------------------------------------------------- */

static float *gradient_at(const lutra_backward *b, const lutra_operand *operand)
{
    return b->gradient + operand->base[LUTRA_LAYOUT_TIGHT] + operand->offset;
}

static void add_rows(float *to, size_t ld, const float *from /* [rows][n] */, size_t rows, size_t n)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < n; i++)
            to[row * ld + i] += from[row * n + i];
}

/* a [rows][ld] -> turned [columns][rows] */
static void turn(const float *a, size_t ld, size_t rows, size_t columns, float *turned)
{
    for (size_t first = 0; first < rows; first += BLOCK)
        for (size_t j = 0; j < columns; j++)
            for (size_t i = first; i < first + BLOCK && i < rows; i++)
                turned[j * rows + i] = a[i * ld + j];
}

/* w [n][k] -> [k][n] */
static void turn_matrix(const lutra_matrix *w, float *turned)
{
    float *rows = turned + w->n * w->k; /* [BLOCK][k] */
    for (size_t first = 0; first < w->n; first += BLOCK) {
        const size_t n = w->n - first < BLOCK ? w->n - first : BLOCK;
        for (size_t i = 0; i < n; i++)
            lutra_matrix_row(w, first + i, rows + i * w->k);
        for (size_t j = 0; j < w->k; j++)
            for (size_t i = 0; i < n; i++)
                turned[j * w->n + first + i] = rows[i * w->k + j];
    }
}

/* c [m][ldc] = a [m][lda] w^T, or that more; w [n][k] */
static void multiply(const lutra_backward *b, size_t m, size_t n, size_t k, const float *a, size_t lda,
                     const float *w, float *c, size_t ldc, bool more)
{
    const lutra_matrix weights = {.n = n, .k = k, .dense = w, .dtype = LUTRA_F32};
    const lutra_gemm gemm = {.m = m,
                             .weights = &weights,
                             .a = a,
                             .lda = lda,
                             .c = c,
                             .ldc = ldc,
                             .residual = more ? c : NULL,
                             .ldr = ldc};
    lutra_gemm_f32(b->kernels, b->pool, &gemm, b->scratch);
}

static void back_product(const lutra_backward *b, size_t index, float *g /* [rows][n] */,
                         lutra_gradient_visitor *visitor, void *user)
{
    const lutra_step *step = &b->model->plan.steps[index];
    const lutra_matrix *w = &step->linear.weight->matrix;
    for (size_t i = 0; i < step->rows * w->n && step->layer_scale; i++)
        g[i] *= step->layer_scale[i % w->n];
    for (size_t i = 0; i < step->rows * w->n && step->activation != LUTRA_IDENTITY; i++)
        g[i] *= b->kept[b->kept_at[index] + i];
    visitor(user, index, step->rows, w->n, g);
    if (index > 0 && b->model->plan.steps[index - 1].op == LUTRA_OP_PATCHES)
        return; /* pixels have no gradient */
    turn_matrix(w, b->turned);
    multiply(b, step->rows, w->k, w->n, g, w->n, b->turned, gradient_at(b, &step->a), step->a.ld, true);
}

static void back_layer_norm(const lutra_backward *b, size_t index, const float *g /* [rows][dim] */)
{
    const lutra_step *step = &b->model->plan.steps[index];
    const size_t dim = b->model->vit.dim;
    for (size_t row = 0; row < step->rows; row++) {
        const float *x = b->kept + b->kept_at[index] + row * dim, *dy = g + row * dim;
        float *dx = gradient_at(b, &step->a) + row * step->a.ld;
        double sum = 0, square = 0, along_one = 0, along_x = 0;
        for (size_t i = 0; i < dim; i++)
            sum += (double)x[i];
        const double mean = sum / (double)dim;
        for (size_t i = 0; i < dim; i++) {
            const double centred = (double)x[i] - mean, scaled = (double)dy[i] * (double)step->norm.gamma[i];
            square += centred * centred;
            along_one += scaled;
            along_x += scaled * centred;
        }
        const double variance = square / (double)dim + (double)b->model->vit.eps;
        for (size_t i = 0; i < dim; i++) {
            const double centred = (double)x[i] - mean, scaled = (double)dy[i] * (double)step->norm.gamma[i];
            dx[i] +=
                (float)((scaled - (along_one + centred * along_x / variance) / (double)dim) / sqrt(variance));
        }
    }
}

static void softmax_rows(float *scores /* [n][n] */, size_t n, float scale)
{
    for (size_t row = 0; row < n; row++, scores += n) {
        float largest = scores[0], sum = 0;
        for (size_t i = 1; i < n; i++)
            largest = fmaxf(largest, scores[i]);
        for (size_t i = 0; i < n; i++)
            sum += scores[i] = expf(scale * (scores[i] - largest));
        for (size_t i = 0; i < n; i++)
            scores[i] /= sum;
    }
}

/* o = p v with p = softmax(q k^T scale), for one head. All of [tokens][head_dim]; rows lie 3 dim apart in q,
 * k and v, dim in the gradient of o, `ld_dq` in those of q, k and v. */
static void back_head(const lutra_backward *b, size_t d, const float *q, const float *g, float *dq,
                      size_t ld_dq)
{
    const size_t n = b->model->vit.n_tokens, dim = b->model->vit.dim, ld = 3 * dim;
    const float *k = q + dim, *v = k + dim, scale = 1 / sqrtf((float)d);
    float *dense = b->work, *turned = dense + n * d; /* [n][d] and [d][n] */
    float *p = turned + n * d, *dp = p + n * n, *across = dp + n * n;
    for (size_t i = 0; i < n; i++)
        memcpy(dense + i * d, k + i * ld, d * sizeof(float));
    multiply(b, n, n, d, q, ld, dense, p, n, false);
    softmax_rows(p, n, scale);
    turn(p, n, n, n, across);
    turn(g, dim, n, d, turned);
    multiply(b, n, d, n, across, n, turned, dq + 2 * dim, ld_dq, true); /* dv = p^T do */
    for (size_t i = 0; i < n; i++)
        memcpy(dense + i * d, v + i * ld, d * sizeof(float));
    multiply(b, n, n, d, g, dim, dense, dp, n, false); /* dp = do v^T */
    for (size_t row = 0; row < n; row++) {
        float along = 0;
        for (size_t i = row * n; i < (row + 1) * n; i++)
            along += p[i] * dp[i];
        for (size_t i = row * n; i < (row + 1) * n; i++)
            dp[i] = scale * p[i] * (dp[i] - along);
    }
    turn(k, ld, n, d, turned);
    multiply(b, n, d, n, dp, n, turned, dq, ld_dq, true); /* dq = ds k */
    turn(dp, n, n, n, across);
    turn(q, ld, n, d, turned);
    multiply(b, n, d, n, across, n, turned, dq + dim, ld_dq, true); /* dk = ds^T q */
}

static void back_attention(const lutra_backward *b, size_t index, const float *g /* [tokens][dim] */)
{
    const lutra_step *step = &b->model->plan.steps[index];
    const size_t n_heads = b->model->vit.n_heads, d = b->model->vit.dim / n_heads;
    for (size_t head = 0; head < n_heads; head++)
        back_head(b, d, b->kept + b->kept_at[index] + head * d, g + head * d,
                  gradient_at(b, &step->a) + head * d, step->a.ld);
}

static void back_mean(const lutra_backward *b, const lutra_step *step, const float *g /* [dim] */)
{
    const lutra_vit *vit = &b->model->vit;
    float *to = gradient_at(b, &step->a);
    for (size_t row = 0; row < vit->n_patches; row++)
        for (size_t i = 0; i < vit->dim; i++)
            to[row * step->a.ld + i] += g[i] / (float)vit->n_patches;
}

/* Takes the gradient in what the step yields out of the arena. It stays where it also is that of what was
 * there before, to which the step's result was added. */
static void take_gradient(const lutra_backward *b, const lutra_step *step)
{
    const lutra_vit *vit = &b->model->vit;
    const size_t rows = rows_of(vit, step), n = width_of(vit, step);
    float *from = gradient_at(b, &step->c);
    for (size_t row = 0; row < rows; row++) {
        memcpy(b->yielded + row * n, from + row * step->c.ld, n * sizeof(float));
        if (!step->has_residual)
            memset(from + row * step->c.ld, 0, n * sizeof(float));
    }
}

static void back(const lutra_backward *b, size_t index, lutra_gradient_visitor *visitor, void *user)
{
    const lutra_step *step = &b->model->plan.steps[index];
    const lutra_vit *vit = &b->model->vit;
    if (step->op == LUTRA_OP_PATCHES)
        return;
    take_gradient(b, step);
    switch (step->op) {
    case LUTRA_OP_GEMM:
        back_product(b, index, b->yielded, visitor, user);
        break;
    case LUTRA_OP_LAYER_NORM:
        back_layer_norm(b, index, b->yielded);
        break;
    case LUTRA_OP_ATTENTION:
        back_attention(b, index, b->yielded);
        break;
    case LUTRA_OP_MEAN:
        back_mean(b, step, b->yielded);
        break;
    case LUTRA_OP_TOKENS:
        add_rows(gradient_at(b, &step->a), step->a.ld, b->yielded + vit->n_prefix * vit->dim, vit->n_patches,
                 vit->dim);
        break;
    case LUTRA_OP_COPY:
        add_rows(gradient_at(b, &step->a), step->a.ld, b->yielded, 1, vit->dim);
        break;
    case LUTRA_OP_AVERAGE:
        for (size_t i = 0; i < step->c.ld; i++)
            b->yielded[i] /= 2;
        add_rows(gradient_at(b, &step->a), step->a.ld, b->yielded, 1, step->c.ld);
        add_rows(gradient_at(b, &step->residual), step->residual.ld, b->yielded, 1, step->c.ld);
        break;
    case LUTRA_OP_PATCHES:
        break;
    }
}

void lutra_backward_run(lutra_backward *b, const float *gradient, lutra_gradient_visitor *visitor, void *user)
{
    const lutra_plan *plan = &b->model->plan;
    memset(b->gradient, 0, plan->arena_floats[LUTRA_LAYOUT_TIGHT] * sizeof *b->gradient);
    memcpy(gradient_at(b, outputs_of(b->model)), gradient, lutra_backward_n_outputs(b) * sizeof *gradient);
    for (size_t i = plan->n_steps; i-- > 0;)
        back(b, i, visitor, user);
}
