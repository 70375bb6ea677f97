/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "model/backward.h"
#include "model/steps.h"

typedef struct measurement {
    const lutra_model *model;
    const uint8_t *pixels;
    size_t picture_bytes, first, n_outputs;
    lutra_backward *backward[LUTRA_MAX_THREADS];
    float *outputs;   /* [threads][2 n_outputs]: the outputs and the gradient in them */
    float *gradients; /* [pictures at a time][n_gradients] in all products' outputs */
    size_t n_gradients;
    size_t *rows_of, *gradient_at; /* [n_steps] rows of a product; where its gradients begin */
    size_t most_rows;
    const lutra_kernels *kernels;
    lutra_coupling_scratch scratch;
    const lutra_sensitivity *result;
} measurement;

static void softmax(float *x, size_t n)
{
    float largest = x[0];
    double sum = 0;
    for (size_t i = 1; i < n; i++)
        largest = fmaxf(largest, x[i]);
    for (size_t i = 0; i < n; i++)
        sum += (double)(x[i] = expf(x[i] - largest));
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)x[i] / sum);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* With random signs s, v = sum over classes of s sqrt(p) (unit vector of the class - p) has E[v v^T] =
 * diag(p) - p p^T, the Fisher information in the logits: one gradient stands for those of all classes. The
 * features of a model without a head count alike. */
static void draw_gradient(const float *p, size_t n, bool classes, uint64_t seed, float *gradient)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const float sign = mix(seed * n + i) & 1 ? 1.0f : -1.0f;
        gradient[i] = classes ? sign * sqrtf(p[i]) : sign;
        sum += (double)gradient[i];
    }
    for (size_t i = 0; i < n && classes; i++)
        gradient[i] -= (float)sum * p[i];
}

typedef struct visit {
    const measurement *m;
    size_t picture;
} visit;

/* Squares add up, for the weights; the gradients themselves are kept, for what rows have in common. */
static void take_gradient(void *visit_, size_t step, size_t rows, size_t n, const float *gradient)
{
    const visit *v = visit_;
    const measurement *m = v->m;
    float *weights = m->result->weights[step] + v->picture * rows;
    memcpy(m->gradients + (v->picture - m->first) * m->n_gradients + m->gradient_at[step], gradient,
           rows * n * sizeof *gradient);
    for (size_t row = 0; row < rows; row++) {
        double sum = 0;
        for (size_t i = row * n; i < (row + 1) * n; i++)
            sum += (double)gradient[i] * (double)gradient[i];
        weights[row] += (float)sum;
    }
}

static void measure_picture(void *measurement_, size_t task, size_t worker)
{
    const measurement *m = measurement_;
    const size_t picture = m->first + task;
    visit v = {m, picture};
    const bool classes = lutra_model_get_info(m->model)->n_classes > 0;
    float *outputs = m->outputs + worker * 2 * m->n_outputs, *gradient = outputs + m->n_outputs;
    lutra_backward_forward(m->backward[worker], m->pixels + picture * m->picture_bytes, outputs);
    if (classes)
        softmax(outputs, m->n_outputs);
    draw_gradient(outputs, m->n_outputs, classes, picture, gradient);
    lutra_backward_run(m->backward[worker], gradient, take_gradient, &v);
}

/* Squares become weights: their square roots, over the mean of these. The squares themselves would leave a
 * handful of tokens to decide everything. */
static void weigh(float *weights, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)(weights[i] = sqrtf(weights[i]));
    for (size_t i = 0; i < n; i++)
        weights[i] = sum > 0 && isfinite(sum) ? (float)((double)weights[i] * (double)n / sum) : 1;
}

static lutra_status allocate_result(measurement *m, size_t n_pictures, lutra_sensitivity *s,
                                    lutra_error *error)
{
    static const char what[] = "the weights of tokens";
    uint64_t n_gradients = 0; /* more than a machine of 32 bits may count */
    size_t rows = 0, floats;
    lutra_status status;
    if ((status = lutra_allocate(s->n_steps, sizeof *s->weights, what, &s->weights, error)) ||
        (status = lutra_allocate(s->n_steps, sizeof *s->couplings, what, &s->couplings, error)) ||
        (status = lutra_allocate(s->n_steps, sizeof *m->rows_of, what, &m->rows_of, error)) ||
        (status = lutra_allocate(s->n_steps, sizeof *m->gradient_at, what, &m->gradient_at, error)))
        return status;
    for (size_t i = 0; i < s->n_steps; i++) {
        lutra_step_info info;
        if ((status = lutra_model_step(m->model, i, &info, error)))
            return status;
        if (strcmp(info.op, "gemm") != 0)
            continue;
        if ((status = lutra_coupling_create(&s->couplings[i], info.n, error)))
            return status;
        m->rows_of[i] = info.m;
        m->gradient_at[i] = (size_t)n_gradients; /* refused below where it does not fit */
        n_gradients += (uint64_t)info.m * info.n;
        m->most_rows = info.m > m->most_rows ? info.m : m->most_rows;
        rows += info.m;
    }
    if (!lutra_size_from(n_gradients, &m->n_gradients) || !lutra_size_multiply(rows, n_pictures, &floats))
        return lutra_fail_memory(error, SIZE_MAX, what);
    if ((status = lutra_allocate(floats, sizeof *s->all, what, &s->all, error)))
        return status;
    float *at = s->all;
    for (size_t i = 0; i < s->n_steps; at += m->rows_of[i++] * n_pictures)
        s->weights[i] = m->rows_of[i] > 0 ? at : NULL;
    return LUTRA_OK;
}

/* What is needed on the way. */
static lutra_status allocate_buffers(measurement *m, lutra_thread_pool *pool, lutra_error *error)
{
    static const char what[] = "gradients";
    const size_t n_threads = lutra_thread_pool_size(pool);
    size_t gradients;
    lutra_status status;
    if (!lutra_size_multiply(n_threads, m->n_gradients, &gradients))
        return lutra_fail_memory(error, SIZE_MAX, what);
    for (size_t i = 0; i < n_threads; i++)
        if ((status = lutra_backward_create(m->model, &m->backward[i], error)))
            return status;
    m->n_outputs = lutra_backward_n_outputs(m->backward[0]);
    if ((status = lutra_kernels_select(&m->kernels, error)) ||
        (status =
             lutra_allocate(n_threads * 2 * m->n_outputs, sizeof *m->outputs, what, &m->outputs, error)) ||
        (status = lutra_allocate(gradients, sizeof *m->gradients, what, &m->gradients, error)))
        return status;
    return lutra_coupling_scratch_create(&m->scratch, m->most_rows, n_threads, error);
}

/* Picture by picture, so that sums do not depend on how many ran at once. */
static void couple(measurement *m, size_t n_pictures, lutra_thread_pool *pool)
{
    for (size_t i = 0; i < m->result->n_steps; i++)
        for (size_t p = 0; p < n_pictures && m->rows_of[i] > 0; p++)
            lutra_coupling_add(&m->result->couplings[i],
                               m->gradients + p * m->n_gradients + m->gradient_at[i], m->rows_of[i],
                               m->kernels, pool, &m->scratch);
}

static lutra_status measure_all(measurement *m, size_t n_pictures, lutra_job *job, lutra_thread_pool *pool,
                                lutra_error *error)
{
    const size_t n_threads = lutra_thread_pool_size(pool);
    lutra_status status = LUTRA_OK;
    for (; m->first < n_pictures && status == LUTRA_OK; m->first += n_threads) {
        const size_t left = n_pictures - m->first, n = left < n_threads ? left : n_threads;
        lutra_thread_pool_run(pool, n, measure_picture, m);
        couple(m, n, pool);
        status = lutra_job_advance(job, "gradients", 0, error);
    }
    return status;
}

lutra_status lutra_sensitivity_measure(const lutra_model *model, const uint8_t *pixels, size_t n_pictures,
                                       lutra_job *job, lutra_thread_pool *pool, lutra_sensitivity *s,
                                       lutra_error *error)
{
    const lutra_preprocessing *p = &lutra_model_get_info(model)->preprocessing;
    measurement m = {
        .model = model, .pixels = pixels, .picture_bytes = p->height * p->width * 3, .result = s};
    lutra_status status;
    *s = (lutra_sensitivity){.n_steps = lutra_model_n_steps(model)};
    if ((status = allocate_result(&m, n_pictures, s, error)) ||
        (status = allocate_buffers(&m, pool, error)) ||
        (status = measure_all(&m, n_pictures, job, pool, error)))
        goto cleanup;
    for (size_t i = 0; i < s->n_steps; i++) {
        weigh(s->weights[i], m.rows_of[i] * n_pictures);
        if (m.rows_of[i] > 0)
            lutra_coupling_end(&s->couplings[i]);
    }
cleanup:
    for (size_t i = 0; i < lutra_thread_pool_size(pool); i++)
        lutra_backward_free(m.backward[i]);
    lutra_coupling_scratch_free(&m.scratch);
    free(m.outputs);
    free(m.gradients);
    free(m.rows_of);
    free(m.gradient_at);
    if (status)
        lutra_sensitivity_free(s);
    return status;
}

void lutra_sensitivity_free(lutra_sensitivity *s)
{
    for (size_t i = 0; s->couplings && i < s->n_steps; i++)
        lutra_coupling_free(&s->couplings[i]);
    free(s->couplings);
    free(s->weights);
    free(s->all);
    *s = (lutra_sensitivity){0};
}
