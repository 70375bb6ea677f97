/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/size.h"
#include "model/backward.h"
#include "model/steps.h"

/* Gradients per picture, each for signs of its own: see draw_gradient. */
#define N_DRAWS 1
/* Between two reports of progress. */
#define PICTURES_PER_THREAD 4

typedef struct measurement {
    const lutra_model *model;
    const uint8_t *pixels;
    size_t picture_bytes, first, n_outputs;
    lutra_backward *backward[LUTRA_MAX_THREADS];
    float *outputs; /* [threads][2 n_outputs]: the outputs and the gradient in them */
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
    const lutra_sensitivity *s;
    size_t picture;
} visit;

static void add_squares(void *visit_, size_t step, size_t rows, size_t n, const float *gradient)
{
    const visit *v = visit_;
    float *weights = v->s->weights[step] + v->picture * rows;
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
    visit v = {m->result, picture};
    const bool classes = lutra_model_get_info(m->model)->n_classes > 0;
    float *outputs = m->outputs + worker * 2 * m->n_outputs, *gradient = outputs + m->n_outputs;
    lutra_backward_forward(m->backward[worker], m->pixels + picture * m->picture_bytes, outputs);
    if (classes)
        softmax(outputs, m->n_outputs);
    for (size_t draw = 0; draw < N_DRAWS; draw++) {
        draw_gradient(outputs, m->n_outputs, classes, picture * N_DRAWS + draw, gradient);
        lutra_backward_run(m->backward[worker], gradient, add_squares, &v);
    }
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

static lutra_status allocate_weights(const lutra_model *model, size_t n_pictures, lutra_sensitivity *s,
                                     size_t *rows_of /* [n_steps] */, lutra_error *error)
{
    static const char what[] = "the weights of tokens";
    size_t rows = 0, floats;
    lutra_status status = lutra_allocate(s->n_steps, sizeof *s->weights, what, &s->weights, error);
    for (size_t i = 0; i < s->n_steps && status == LUTRA_OK; i++) {
        lutra_step_info info;
        status = lutra_model_step(model, i, &info, error);
        rows_of[i] = status == LUTRA_OK && strcmp(info.op, "gemm") == 0 ? info.m : 0;
        rows += rows_of[i];
    }
    if (status)
        return status;
    if (!lutra_size_multiply(rows, n_pictures, &floats))
        return lutra_fail_memory(error, SIZE_MAX, what);
    if ((status = lutra_allocate(floats, sizeof *s->all, what, &s->all, error)))
        return status;
    float *at = s->all;
    for (size_t i = 0; i < s->n_steps; at += rows_of[i++] * n_pictures)
        s->weights[i] = rows_of[i] > 0 ? at : NULL;
    return LUTRA_OK;
}

static lutra_status measure_all(measurement *m, size_t n_pictures, lutra_job *job, lutra_thread_pool *pool,
                                lutra_error *error)
{
    const size_t at_once = PICTURES_PER_THREAD * lutra_thread_pool_size(pool);
    lutra_status status = LUTRA_OK;
    for (; m->first < n_pictures && status == LUTRA_OK; m->first += at_once) {
        const size_t left = n_pictures - m->first;
        lutra_thread_pool_run(pool, left < at_once ? left : at_once, measure_picture, m);
        status = lutra_job_advance(job, "gradients", 0, error);
    }
    return status;
}

lutra_status lutra_sensitivity_measure(const lutra_model *model, const uint8_t *pixels, size_t n_pictures,
                                       lutra_job *job, lutra_thread_pool *pool, lutra_sensitivity *s,
                                       lutra_error *error)
{
    static const char what[] = "the weights of tokens";
    const lutra_preprocessing *p = &lutra_model_get_info(model)->preprocessing;
    const size_t n_threads = lutra_thread_pool_size(pool);
    measurement m = {
        .model = model, .pixels = pixels, .picture_bytes = p->height * p->width * 3, .result = s};
    size_t *rows_of = NULL;
    lutra_status status;
    *s = (lutra_sensitivity){.n_steps = lutra_model_n_steps(model)};
    if ((status = lutra_allocate(s->n_steps, sizeof *rows_of, what, &rows_of, error)) ||
        (status = allocate_weights(model, n_pictures, s, rows_of, error)))
        goto cleanup;
    for (size_t i = 0; i < n_threads; i++)
        if ((status = lutra_backward_create(model, &m.backward[i], error)))
            goto cleanup;
    m.n_outputs = lutra_backward_n_outputs(m.backward[0]);
    if ((status = lutra_allocate(n_threads * 2 * m.n_outputs, sizeof *m.outputs, what, &m.outputs, error)) ||
        (status = measure_all(&m, n_pictures, job, pool, error)))
        goto cleanup;
    for (size_t i = 0; i < s->n_steps; i++)
        weigh(s->weights[i], rows_of[i] * n_pictures);
cleanup:
    for (size_t i = 0; i < n_threads; i++)
        lutra_backward_free(m.backward[i]);
    free(m.outputs);
    free(rows_of);
    if (status)
        lutra_sensitivity_free(s);
    return status;
}

void lutra_sensitivity_free(lutra_sensitivity *s)
{
    free(s->weights);
    free(s->all);
    *s = (lutra_sensitivity){0};
}
