/* SPDX-License-Identifier: Apache-2.0 */
/* What the jobs of this folder share: progress that can cancel, and tensors that pass through as they are. */
#ifndef LUTRA_COMPRESS_JOB_H
#define LUTRA_COMPRESS_JOB_H

#include <jansson.h>

#include "format/safetensors.h"
#include "format/safetensors_writer.h"
#include "model/steps.h"

typedef struct lutra_job {
    lutra_progress progress; /* may be NULL */
    void *user;
    uint64_t done, total;
} lutra_job;

/* `bytes` more are done, of `what`; LUTRA_ERROR_CANCELLED where the callback says so. */
lutra_status lutra_job_advance(lutra_job *job, const char *what, uint64_t bytes, lutra_error *error);

/* Runs the model's steps from `first` to the last, asking after each whether to go on: with many pictures the
 * whole takes long. */
lutra_status lutra_job_run_steps(lutra_job *job, const lutra_model *model, lutra_context *context,
                                 size_t first, const uint8_t *pixels, size_t n_pictures, lutra_error *error);

/* Writes a tensor's bytes in pieces, advancing the job. */
lutra_status lutra_job_copy(lutra_job *job, lutra_writer *writer, size_t slot, const lutra_tensor *tensor,
                            lutra_error *error);

/* The message of a failure that knows nothing of files, with the file and the tensor; `status` again. */
lutra_status lutra_job_name_tensor(const lutra_model *model, const char *name, lutra_status status,
                                   lutra_error *error);

/* Refuses, as ARGUMENT, an output that would take the place of one of the model's own files. */
lutra_status lutra_job_check_output(const lutra_model *model, const char *output, lutra_error *error);

/* The names of the tensors in the file that belong to the model's matrices, dense or clustered, as keys.
 * NULL: out of memory. */
json_t *lutra_matrix_tensor_names(const lutra_model *model);

/* The metadata of a model without clustered matrices, which tells its architecture, preprocessing and labels:
 * `description` as lutra_model_describe returns it. Begins the writer. */
lutra_status lutra_begin_dense(lutra_writer *writer, const char *description, lutra_error *error);

#endif
