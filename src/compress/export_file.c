/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/memory.h"
#include "compress/job.h"
#include "format/dtype.h"

#define PIECE_ELEMENTS ((size_t)1 << 20)

typedef struct export_job {
    lutra_job job;
    lutra_model *model;
    lutra_writer *writer;
    lutra_dtype dtype;
    json_t *matrix_names;
    size_t *matrix_slots; /* [n_matrices] */
    size_t *other_slots;  /* [tensors of the file] */
    float *values;        /* [room] */
    void *converted;      /* [room] of `dtype` */
    size_t room;          /* elements: one piece, or the longest row */
} export_job;

/* Writes `count` of c->values as elements `first`... of the tensor. */
static lutra_status write_values(export_job *c, size_t slot, const char *name, size_t first, size_t count,
                                 lutra_error *error)
{
    const size_t size = lutra_dtype_size(c->dtype);
    uint16_t *halves = c->converted;
    if (c->dtype == LUTRA_F32)
        return lutra_writer_write(c->writer, slot, first * size, c->values, count * size, error);
    for (size_t i = 0; i < count; i++) {
        const uint16_t half =
            c->dtype == LUTRA_BF16 ? lutra_f32_to_bf16(c->values[i]) : lutra_f32_to_f16(c->values[i]);
        const uint16_t infinity = c->dtype == LUTRA_BF16 ? 0x7f80 : 0x7c00;
        if ((half & 0x7fff) == infinity)
            return lutra_fail(error, LUTRA_ERROR_ARGUMENT, lutra_safetensors_path(lutra_model_file(c->model)),
                              LUTRA_NO_OFFSET, "tensor %s: element %zu, %g, is too large for %s", name,
                              first + i, (double)c->values[i], lutra_dtype_name(c->dtype));
        halves[i] = half;
    }
    return lutra_writer_write(c->writer, slot, first * size, halves, count * size, error);
}

static lutra_status export_matrix(export_job *c, size_t index, lutra_error *error)
{
    const lutra_named_matrix *named = lutra_model_matrix(c->model, index);
    const lutra_matrix *matrix = &named->matrix;
    const size_t rows = matrix->k < c->room ? c->room / matrix->k : 1; /* in one piece */
    lutra_status status = LUTRA_OK;
    for (size_t row = 0; row < matrix->n && status == LUTRA_OK; row += rows) {
        const size_t n = matrix->n - row < rows ? matrix->n - row : rows;
        for (size_t i = 0; i < n; i++)
            lutra_matrix_row(matrix, row + i, c->values + i * matrix->k);
        status = write_values(c, c->matrix_slots[index], named->name, row * matrix->k, n * matrix->k, error);
        if (status == LUTRA_OK)
            status = lutra_job_advance(&c->job, named->name, n * matrix->k, error);
    }
    return status;
}

/* Anything else: floats are converted, other types stay. */
static lutra_status export_tensor(export_job *c, size_t slot, const lutra_tensor *tensor, lutra_error *error)
{
    lutra_status status = LUTRA_OK;
    if (!lutra_dtype_is_weight(tensor->dtype))
        return lutra_job_copy(&c->job, c->writer, slot, tensor, error);
    const lutra_matrix flat = {.n = 1, .k = 1, .dense = tensor->data, .dtype = tensor->dtype};
    for (size_t at = 0; at < tensor->n_elements && status == LUTRA_OK; at += PIECE_ELEMENTS) {
        const size_t left = tensor->n_elements - at, n = left < PIECE_ELEMENTS ? left : PIECE_ELEMENTS;
        for (size_t i = 0; i < n; i++)
            lutra_matrix_row(&flat, at + i, c->values + i);
        status = write_values(c, slot, tensor->name, at, n, error);
        if (status == LUTRA_OK)
            status = lutra_job_advance(&c->job, tensor->name, n, error);
    }
    return status;
}

static lutra_status declare_all(export_job *c, lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(c->model);
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < lutra_model_n_matrices(c->model) && status == LUTRA_OK; i++) {
        const lutra_named_matrix *named = lutra_model_matrix(c->model, i);
        c->job.total += (uint64_t)named->matrix.n * named->matrix.k;
        status = lutra_writer_declare(c->writer, named->name, c->dtype, named->rank, named->shape,
                                      &c->matrix_slots[i], error);
    }
    for (size_t i = 0; i < lutra_safetensors_count(file) && status == LUTRA_OK; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, i);
        const bool is_weight = lutra_dtype_is_weight(tensor->dtype);
        if (json_object_get(c->matrix_names, tensor->name))
            continue;
        c->job.total += is_weight ? tensor->n_elements : tensor->bytes;
        status = lutra_writer_declare(c->writer, tensor->name, is_weight ? c->dtype : tensor->dtype,
                                      tensor->rank, tensor->shape, &c->other_slots[i], error);
    }
    return status;
}

static lutra_status open_all(export_job *c, const char *input, const char *output, lutra_error *error)
{
    lutra_status status = lutra_model_open(input, NULL, &c->model, error);
    if (status || (status = lutra_job_check_output(c->model, output, error)))
        return status;
    const size_t n_matrices = lutra_model_n_matrices(c->model);
    const size_t n_tensors = lutra_safetensors_count(lutra_model_file(c->model));
    c->matrix_names = lutra_matrix_tensor_names(c->model);
    if (!c->matrix_names)
        return lutra_fail_memory(error, 0, "the names of tensors");
    c->room = PIECE_ELEMENTS;
    for (size_t i = 0; i < n_matrices; i++) {
        const size_t k = lutra_model_matrix(c->model, i)->matrix.k;
        c->room = k > c->room ? k : c->room;
    }
    if ((status = lutra_allocate(n_matrices, sizeof *c->matrix_slots, "tensors", &c->matrix_slots, error)) ||
        (status = lutra_allocate(n_tensors, sizeof *c->other_slots, "tensors", &c->other_slots, error)) ||
        (status = lutra_allocate(c->room, sizeof(float), "decoded weights", &c->values, error)) ||
        (status = lutra_allocate(c->room, sizeof(uint16_t), "decoded weights", &c->converted, error)))
        return status;
    return lutra_writer_create(output, &c->writer, error);
}

static lutra_status begin(export_job *c, lutra_error *error)
{
    char *description = NULL;
    lutra_status status = declare_all(c, error);
    if (status || (status = lutra_model_describe(c->model, &description, error)))
        return status;
    status = lutra_begin_dense(c->writer, description, error);
    free(description);
    return status;
}

static lutra_status export_all(export_job *c, lutra_error *error)
{
    const lutra_safetensors *file = lutra_model_file(c->model);
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < lutra_model_n_matrices(c->model) && status == LUTRA_OK; i++)
        status = export_matrix(c, i, error);
    for (size_t i = 0; i < lutra_safetensors_count(file) && status == LUTRA_OK; i++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, i);
        if (!json_object_get(c->matrix_names, tensor->name))
            status = export_tensor(c, c->other_slots[i], tensor, error);
    }
    return status;
}

lutra_status lutra_export_file(const char *input, const char *output, lutra_dtype dtype,
                               lutra_progress progress, void *progress_user, lutra_error *error)
{
    export_job c = {.job = {.progress = progress, .user = progress_user}, .dtype = dtype};
    lutra_status status;
    if (dtype != LUTRA_F32 && dtype != LUTRA_F16 && dtype != LUTRA_BF16)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "an export to %s: the type must be F32, F16 or BF16", lutra_dtype_name(dtype));
    if ((status = open_all(&c, input, output, error)) || (status = begin(&c, error)) ||
        (status = export_all(&c, error)))
        goto cleanup;
    status = lutra_writer_commit(c.writer, NULL, error);
cleanup:
    lutra_writer_free(c.writer);
    json_decref(c.matrix_names);
    free(c.matrix_slots);
    free(c.other_slots);
    free(c.values);
    free(c.converted);
    lutra_model_close(c.model);
    return status;
}
