/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/calibration.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "base/size.h"
#include "compress/source.h"
#include "model/steps.h"

static lutra_status allocate_buffers(lutra_calibration *c, lutra_error *error)
{
    const size_t n = lutra_model_n_matrices(c->model);
    size_t most_weights = 0, most_rows = 0, all_rows = 0;
    lutra_status status = lutra_allocate(n, sizeof *c->shift_of, "the biases", &c->shift_of, error);
    if (status)
        return status;
    for (size_t i = 0; i < n; i++) {
        const lutra_matrix *matrix = &lutra_model_matrix(c->model, i)->matrix;
        most_weights = matrix->n * matrix->k > most_weights ? matrix->n * matrix->k : most_weights;
        most_rows = matrix->n > most_rows ? matrix->n : most_rows;
        c->shift_of[i] = all_rows;
        all_rows += matrix->n;
    }
    if ((status = lutra_allocate(most_weights, sizeof(float), "a decoded matrix", &c->weights, error)) ||
        (status = lutra_allocate(most_rows, sizeof(float), "a bias", &c->bias, error)))
        return status;
    return lutra_allocate(all_rows, sizeof(float), "the biases", &c->shift, error);
}

static lutra_status run_dense(lutra_calibration *c, lutra_error *error)
{
    const lutra_status status =
        lutra_job_run_steps(c->job, c->model, c->context, 0, c->pixels, c->n_all, error);
    if (status)
        return status;
    const lutra_rows logits = lutra_context_logits(c->context, c->n_all);
    const lutra_model_info *info = lutra_model_get_info(c->model);
    return lutra_outputs_keep(&c->dense, &logits, info->n_classes, info->path, error);
}

lutra_status lutra_calibration_create(const lutra_model *model, const lutra_cluster_options *options,
                                      lutra_job *job, lutra_thread_pool *pool, lutra_calibration **result,
                                      lutra_error *error)
{
    const lutra_context_options context = {.n_threads = lutra_thread_pool_size(pool),
                                           .max_batch = options->n_calibration_pictures +
                                                        options->n_validation_pictures,
                                           .mode = LUTRA_MODE_F32};
    lutra_calibration *c;
    lutra_status status = lutra_allocate(1, sizeof *c, "the calibration", &c, error);
    *result = NULL;
    if (status)
        return status;
    c->model = model;
    c->job = job;
    c->pool = pool;
    c->pixels = options->calibration_pixels;
    c->n_pictures = options->n_calibration_pictures;
    c->n_all = context.max_batch;
    if ((status = lutra_kernels_select(&c->kernels, error)) ||
        (status = lutra_sensitivity_measure(model, c->pixels, c->n_pictures, job, pool, &c->sensitivity,
                                            error)) || /* first: it needs memory for a while */
        (status = lutra_context_create(model, &context, &c->context, error)) ||
        (status = allocate_buffers(c, error)) ||
        (status = options->budget_unit ? run_dense(c, error) : LUTRA_OK))
        lutra_calibration_free(c);
    else
        *result = c;
    return status;
}

void lutra_calibration_free(lutra_calibration *c)
{
    if (!c)
        return;
    lutra_context_free(c->context);
    lutra_moments_free(&c->moments);
    lutra_sensitivity_free(&c->sensitivity);
    lutra_outputs_free(&c->dense);
    free(c->weights);
    free(c->bias);
    free(c->shift);
    free(c->shift_of);
    free(c);
}

/* "NAME.weight" -> "NAME.bias". */
static bool bias_name(const char *weight, char *name, size_t size)
{
    static const char end[] = ".weight";
    const size_t length = strlen(weight), n = sizeof end - 1;
    if (length < n || strcmp(weight + length - n, end) != 0)
        return false;
    return (size_t)snprintf(name, size, "%.*s.bias", (int)(length - n), weight) < size;
}

/* The bias as the file has it, under the name that goes with the matrix's; and its type. */
static bool owns_bias(const lutra_calibration *c, const lutra_product *product, lutra_dtype *dtype)
{
    char name[1024];
    const lutra_tensor *tensor;
    if (!product->bias || !bias_name(product->weight->name, name, sizeof name) ||
        !(tensor = lutra_safetensors_find(lutra_model_file(c->model), name)))
        return false;
    *dtype = tensor->dtype;
    return tensor->rank == 1 && tensor->shape[0] == product->weight->matrix.n &&
           (tensor->dtype == LUTRA_F32 || tensor->dtype == LUTRA_F16 || tensor->dtype == LUTRA_BF16);
}

static lutra_status gather(lutra_calibration *c, const lutra_product *product, lutra_error *error)
{
    const lutra_rows *x = &product->input;
    const float *weights = c->sensitivity.weights[c->step];
    lutra_moments_free(&c->moments);
    lutra_status status =
        lutra_moments_create(&c->moments, product->weight->matrix.k, lutra_thread_pool_size(c->pool), error);
    for (size_t p = 0; p < x->n_pictures && status == LUTRA_OK; p++) {
        for (size_t i = 0; i < x->rows; i++)
            lutra_moments_add(&c->moments, x->data + p * x->stride + i * x->ld, weights[p * x->rows + i],
                              c->kernels, c->pool);
        status = lutra_job_advance(c->job, product->weight->name, 0, error);
    }
    if (status == LUTRA_OK)
        lutra_moments_end(&c->moments, c->kernels, c->pool);
    return status;
}

lutra_status lutra_calibration_reach(lutra_calibration *c, size_t index, lutra_error *error)
{
    const lutra_named_matrix *matrix = lutra_model_matrix(c->model, index);
    for (; c->step < lutra_model_n_steps(c->model); c->step++) {
        lutra_product product;
        if (lutra_context_product(c->context, c->step, c->n_pictures, &product) && product.weight == matrix) {
            c->has_bias = owns_bias(c, &product, &c->bias_dtype);
            return gather(c, &product, error);
        }
        lutra_context_step(c->context, c->step, c->pixels, c->n_all, NULL, NULL);
        lutra_status status = lutra_job_advance(c->job, matrix->name, 0, error);
        if (status)
            return status;
    }
    return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, lutra_model_get_info(c->model)->path, LUTRA_NO_OFFSET,
                      "tensor %s: calibration needs every matrix to be used once, in order", matrix->name);
}

const lutra_coupling *lutra_calibration_coupling(const lutra_calibration *c)
{
    return &c->sensitivity.couplings[c->step];
}

float *lutra_calibration_shift(lutra_calibration *c, size_t index)
{
    return c->shift + c->shift_of[index];
}

static float rounded_to(lutra_dtype dtype, float x)
{
    if (dtype == LUTRA_F16)
        return lutra_f16_to_f32(lutra_f32_to_f16(x));
    if (dtype == LUTRA_BF16)
        return lutra_bf16_to_f32(lutra_f32_to_bf16(x));
    return x;
}

void lutra_calibration_round_shift(const lutra_calibration *c, const lutra_product *product, float *shift)
{
    for (size_t row = 0; row < product->weight->matrix.n && c->has_bias; row++) {
        const float bias = product->bias[row], rounded = rounded_to(c->bias_dtype, bias + shift[row]);
        if (!isfinite(rounded))
            shift[row] = 0;
        else if (c->bias_dtype != LUTRA_F32)
            shift[row] = rounded - bias;
    }
}

void lutra_calibration_replace(lutra_calibration *c, size_t index, const lutra_clustering *clustering,
                               bool scale_per_row)
{
    const lutra_matrix *matrix = &lutra_model_matrix(c->model, index)->matrix;
    float *shift = c->shift + c->shift_of[index];
    const lutra_matrix decoded = {.n = matrix->n, .k = matrix->k, .dense = c->weights, .dtype = LUTRA_F32};
    lutra_product product;
    lutra_context_product(c->context, c->step, c->n_pictures, &product);
    lutra_calibration_round_shift(c, &product, shift);
    lutra_decode_clustering(clustering, matrix->n, matrix->k, scale_per_row, c->weights);
    for (size_t row = 0; row < matrix->n; row++)
        c->bias[row] = product.bias ? product.bias[row] + shift[row] : 0;
    lutra_context_step(c->context, c->step, c->pixels, c->n_all, &decoded, product.bias ? c->bias : NULL);
    if (!c->has_bias)
        c->shift_of[index] = SIZE_MAX;
    c->step++;
}

lutra_status lutra_calibration_kl(lutra_calibration *c, double *kl, lutra_error *error)
{
    const lutra_status status =
        lutra_job_run_steps(c->job, c->model, c->context, c->step, c->pixels, c->n_all, error);
    if (status)
        return status;
    const lutra_rows logits = lutra_context_logits(c->context, c->n_all);
    *kl = lutra_outputs_kl(&c->dense, &logits, c->n_all > c->n_pictures ? c->n_pictures : 0);
    return LUTRA_OK;
}

const float *lutra_calibration_shift_of_tensor(const lutra_calibration *c, const lutra_tensor *tensor)
{
    char name[1024];
    for (size_t i = 0; i < lutra_model_n_matrices(c->model); i++)
        if (c->shift_of[i] != SIZE_MAX &&
            bias_name(lutra_model_matrix(c->model, i)->name, name, sizeof name) &&
            strcmp(name, tensor->name) == 0)
            return c->shift + c->shift_of[i];
    return NULL;
}
