/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model's file, dense or clustered, up to one inference: refused with a reason, or opened, described,
 * scanned, run in every mode, predicted on a device, and exported to what is the same model again.
 * clustered_mutator.c knows what the file is made of.
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

static const lutra_device *the_device(void)
{
    static const char text[] =
        "{\"name\":\"a\",\"title\":\"b\",\"core\":\"c\",\"isa\":\"neon\","
        "\"cores\":{\"value\":4,\"source\":\"s\"},"
        "\"clock_ghz\":{\"value\":2,\"source\":\"s\"},"
        "\"macs_per_cycle\":{\"f32\":{\"value\":8,\"source\":\"s\"},"
        "\"int8\":{\"value\":32,\"source\":\"s\"}},"
        "\"caches\":[{\"level\":1,\"shared_by\":1,\"bytes\":{\"value\":65536,\"source\":\"s\"}},"
        "{\"level\":2,\"shared_by\":4,\"bytes\":{\"value\":1048576,\"source\":\"s\"}}],"
        "\"dram_gb_per_s\":{\"all_cores\":{\"value\":10,\"source\":\"s\"}},"
        "\"pj\":{\"dram_byte\":{\"value\":160,\"source\":\"s\"},"
        "\"mac_f32\":{\"value\":1.3,\"source\":\"s\"},"
        "\"mac_bf16\":{\"value\":0.3,\"source\":\"s\"},"
        "\"mac_int8\":{\"value\":0.1,\"source\":\"s\"}}}";
    static lutra_device device;
    if (!device.n_cores) {
        const fuzz_file file = fuzz_open_file((const uint8_t *)text, sizeof text - 1);
        fuzz_require(lutra_device_read(file.path, &device, NULL) == LUTRA_OK);
        fuzz_close_file(&file);
    }
    return &device;
}

/* Fails only where a weight is too large for the type. */
static void check_export(const uint8_t *data, size_t size, const lutra_model *model)
{
    static const lutra_dtype types[] = {LUTRA_F32, LUTRA_F16, LUTRA_BF16};
    const lutra_model_info *info = lutra_model_get_info(model);
    lutra_error error;
    lutra_model *exported;
    const fuzz_file file = fuzz_open_file(data, size);
    const lutra_status status =
        lutra_export_file(file.path, fuzz_output_path(), types[size % 3], NULL, NULL, &error);
    fuzz_close_file(&file);
    if (status) {
        fuzz_require(status == LUTRA_ERROR_ARGUMENT && types[size % 3] != LUTRA_F32);
        fuzz_require_error(status, &error);
        return;
    }
    fuzz_require(lutra_model_open(fuzz_output_path(), NULL, &exported, &error) == LUTRA_OK);
    const lutra_model_info *again = lutra_model_get_info(exported);
    fuzz_require(again->n_clustered == 0 && again->n_parameters == info->n_parameters);
    fuzz_require(again->macs == info->macs && again->n_tokens == info->n_tokens);
    fuzz_require(again->n_classes == info->n_classes && again->input_bytes == info->input_bytes);
    lutra_model_close(exported);
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
    fuzz_require_predictions(model, the_device());
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
    if (status) {
        fuzz_require_error(status, &error);
    } else {
        check_model(model);
        check_export(data, size, model);
    }
    lutra_model_close(model);
    free(copy);
    return 0;
}
