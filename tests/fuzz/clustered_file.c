/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model's file, dense or clustered, up to one inference: refused with a reason, or opened, described,
 * scanned, and run in every mode. clustered_mutator.c knows what the file is made of.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* What one input may take: a file of a few KiB can declare a picture of 8192 x 8192 pixels. */
#define MAX_MACS 20000000u
#define MAX_INPUT_BYTES 100000u
enum { MAX_TOKENS = 1024 };

static bool is_small(const lutra_model_info *info)
{
    return info->macs <= MAX_MACS && info->input_bytes <= MAX_INPUT_BYTES && info->n_tokens <= MAX_TOKENS;
}

static void run(const lutra_model *model, lutra_mode mode)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    const lutra_context_options options = {.n_threads = 1, .mode = mode};
    lutra_context *context;
    lutra_error error;
    const lutra_status status = lutra_context_create(model, &options, &context, &error);
    if (status) {
        fuzz_require_error(status, &error);
        return;
    }
    uint8_t *pixels = malloc(info->input_bytes);
    float *logits = malloc((info->n_classes + 1) * sizeof *logits);
    float *features = malloc(info->n_features * sizeof *features);
    fuzz_require(pixels && logits && features);
    for (size_t i = 0; i < info->input_bytes; i++)
        pixels[i] = (uint8_t)(i * 37 + i / 251);
    fuzz_require(lutra_context_run(context, pixels, 1, info->n_classes ? logits : NULL, features, &error) ==
                 LUTRA_OK);
    free(pixels);
    free(logits);
    free(features);
    lutra_context_free(context);
}

static void check_model(const lutra_model *model)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    fuzz_require(info->n_heads && info->dim % info->n_heads == 0 && info->depth);
    fuzz_require(info->input_bytes == info->preprocessing.height * info->preprocessing.width * 3);
    fuzz_require(info->n_clusters <= 256);
    for (size_t i = 0; i < lutra_model_n_steps(model); i++) {
        lutra_step_info step;
        fuzz_require(lutra_model_step(model, i, &step, NULL) == LUTRA_OK && step.op && step.name);
    }
    for (size_t i = 0; i < info->n_classes && i < 100; i++)
        lutra_model_label(model, i);
    if (!is_small(info))
        return;
    run(model, LUTRA_MODE_F32);
    run(model, LUTRA_MODE_BF16);
    run(model, LUTRA_MODE_INT8);
}

static void check_tensors(const uint8_t *data, size_t size)
{
    lutra_tensor_file *tensors;
    lutra_error error;
    const fuzz_file file = fuzz_open_file(data, size);
    lutra_status status = lutra_tensor_file_open(file.path, &tensors, &error);
    fuzz_close_file(&file);
    if (status) {
        fuzz_require_error(status, &error);
        return;
    }
    for (size_t i = 0; i < lutra_tensor_file_n_tensors(tensors); i++) {
        const lutra_tensor_info *info = lutra_tensor_file_tensor(tensors, i);
        fuzz_require(info->name && info->rank <= LUTRA_MAX_RANK && info->bytes <= 2 * size);
        fuzz_require(!info->n_clusters || (info->n_clusters >= 2 && info->n_clusters <= 256 && info->scope));
    }
    if ((status = lutra_tensor_file_verify(tensors, &error)))
        fuzz_require_error(status, &error);
    lutra_tensor_file_close(tensors);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lutra_model *model;
    lutra_error error;
    void *copy = NULL;
    check_tensors(data, size);
    /* Aligned as a mapped file is, and not a byte longer. */
    fuzz_require(posix_memalign(&copy, 64, size ? size : 1) == 0);
    if (size)
        memcpy(copy, data, size);
    const lutra_status status = lutra_model_open_memory(copy, size, NULL, &model, &error);
    if (status)
        fuzz_require_error(status, &error);
    else
        check_model(model);
    lutra_model_close(model);
    free(copy);
    return 0;
}
