/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors that are wrong in every way that a file can have them wrong: each refused, with file, tensor and
 * byte. */
#include "model_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lutra/lutra.h"

/* Between them these have every tensor that a vision transformer can have: class, distillation and register
 * tokens, LayerScale, a norm before the blocks, one behind the pool, two heads; one matrix for query, key and
 * value, or three. */
static const char *const goldens[] = {
    "timm-token",   "timm-distilled", "timm-pre-norm", "timm-dinov2-registers",
    "timm-average", "timm-deit3",     "hf-vit",        "hf-deit-teacher"};
enum { N_GOLDENS = sizeof goldens / sizeof *goldens };

typedef void tensor_test(const char *golden, const lutra_tensor *tensor, char *folder);

/* Calls `test` for every tensor of every golden model, with a folder that has its configuration. */
static void for_each_tensor(tensor_test *test)
{
    for (size_t i = 0; i < N_GOLDENS; i++) {
        lutra_safetensors *file;
        lutra_error error;
        char *path = fixture_golden(goldens[i], "model.safetensors"), *folder = fixture_folder();
        assert_int_equal(lutra_safetensors_open(path, &file, &error), LUTRA_OK);
        assert_true(lutra_safetensors_count(file) > 0);
        fixture_write_config(folder, goldens[i], "{}");
        for (size_t j = 0; j < lutra_safetensors_count(file); j++)
            test(goldens[i], lutra_safetensors_at(file, j), folder);
        fixture_remove(folder);
        lutra_safetensors_close(file);
        free(path);
    }
}

/* The byte of the edited file at which its tensor `name` begins. */
static uint64_t offset_in(const char *folder, const char *name)
{
    lutra_safetensors *file;
    lutra_error error;
    char *path = fixture_path(folder, "model.safetensors");
    assert_int_equal(lutra_safetensors_open(path, &file, &error), LUTRA_OK);
    const uint64_t offset = lutra_safetensors_find(file, name)->offset;
    lutra_safetensors_close(file);
    free(path);
    return offset;
}

static void copies_are_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_GOLDENS; i++) {
        lutra_model *model;
        lutra_error error;
        char *folder = fixture_folder();
        fixture_write_config(folder, goldens[i], "{}");
        fixture_write_model(folder, goldens[i], NULL);
        if (lutra_model_open(folder, NULL, &model, &error))
            fail_msg("%s", error.message);
        lutra_model_close(model);
        fixture_remove(folder);
    }
}

static void drop(const char *golden, const lutra_tensor *tensor, char *folder)
{
    const tensor_edit edit = {.kind = EDIT_DROP, .tensor = tensor->name};
    lutra_model *model;
    lutra_error error;
    fixture_write_model(folder, golden, &edit);
    if (lutra_model_open(folder, NULL, &model, &error) == LUTRA_OK)
        fail_msg("%s: %s is not missed", golden, tensor->name);
    assert_null(model);
    /* Without the tensors that tell the dialect it is no model that Lutra knows. */
    assert_true(error.status == LUTRA_ERROR_FORMAT || error.status == LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "model.safetensors"));
}

/* With a tensor left out a model may look like another, sound one (no positions, no bias): never silently. */
static void every_missing_tensor_is_missed(void **state)
{
    (void)state;
    for_each_tensor(drop);
}

static void rename_tensor(const char *golden, const lutra_tensor *tensor, char *folder)
{
    const tensor_edit edit = {.kind = EDIT_RENAME, .tensor = tensor->name, .text = "blocks.0.extra.weight"};
    lutra_model *model;
    lutra_error error;
    fixture_write_model(folder, golden, &edit);
    assert_int_not_equal(lutra_model_open(folder, NULL, &model, &error), LUTRA_OK);
    assert_null(model);
}

static void every_renamed_tensor_is_missed(void **state)
{
    (void)state;
    for_each_tensor(rename_tensor);
}

static void declare_integer(const char *golden, const lutra_tensor *tensor, char *folder)
{
    const tensor_edit edit = {.kind = EDIT_INTEGER, .tensor = tensor->name};
    lutra_error error;
    fixture_write_model(folder, golden, &edit);
    expect_refusal(folder, NULL, LUTRA_ERROR_UNSUPPORTED, &error, "model.safetensors", tensor->name, "I32",
                   NULL);
    assert_int_equal(error.offset, offset_in(folder, tensor->name));
}

static void every_wrong_type_is_refused(void **state)
{
    (void)state;
    for_each_tensor(declare_integer);
}

static void add_row(const char *golden, const lutra_tensor *tensor, char *folder)
{
    const tensor_edit edit = {.kind = EDIT_FLAT, .tensor = tensor->name};
    lutra_model *model;
    lutra_error error;
    fixture_write_model(folder, golden, &edit);
    if (lutra_model_open(folder, NULL, &model, &error) == LUTRA_OK)
        fail_msg("%s: %s has a row too many", golden, tensor->name);
    assert_null(model);
    assert_int_equal(error.status, LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "model.safetensors"));
}

static void transpose(const char *golden, const lutra_tensor *tensor, char *folder)
{
    const tensor_edit edit = {.kind = EDIT_TRANSPOSE, .tensor = tensor->name};
    lutra_error error;
    if (tensor->rank < 2 || tensor->n_elements / tensor->shape[0] == tensor->shape[0] ||
        strstr(tensor->name, "token"))
        return; /* a vector (a token is one too), or square */
    fixture_write_model(folder, golden, &edit);
    lutra_model *model;
    if (lutra_model_open(folder, NULL, &model, &error) == LUTRA_OK)
        fail_msg("%s: %s is transposed", golden, tensor->name);
}

static void every_wrong_shape_is_refused(void **state)
{
    (void)state;
    for_each_tensor(add_row);
    for_each_tensor(transpose);
}

static void poison(const char *golden, const lutra_tensor *tensor, char *folder)
{
    const float values[] = {NAN, INFINITY, -INFINITY};
    const size_t elements[] = {0, tensor->n_elements / 2, tensor->n_elements - 1};
    for (size_t i = 0; i < 3; i++) {
        const tensor_edit edit = {
            .kind = EDIT_VALUE, .tensor = tensor->name, .element = elements[i], .value = values[i]};
        lutra_error error;
        fixture_write_model(folder, golden, &edit);
        expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, "model.safetensors", tensor->name, "NaN",
                       NULL);
        assert_int_equal(error.offset, offset_in(folder, tensor->name) + elements[i] * sizeof(float));
    }
}

static void every_nan_and_infinity_is_found(void **state)
{
    (void)state;
    for_each_tensor(poison);
}

static void a_stranger_among_the_tensors_is_named(void **state)
{
    const tensor_edit edit = {.kind = EDIT_ADD, .text = "blocks.0.attn.q_norm.weight"};
    lutra_error error;
    char *folder = fixture_folder();
    (void)state;
    fixture_write_config(folder, "timm-token", "{}");
    fixture_write_model(folder, "timm-token", &edit);
    expect_refusal(folder, NULL, LUTRA_ERROR_UNSUPPORTED, &error, "blocks.0.attn.q_norm.weight", NULL);
    assert_int_equal(error.offset, offset_in(folder, "blocks.0.attn.q_norm.weight"));
    fixture_remove(folder);
}

/* Cut anywhere, a file is refused; where its header is whole, a tensor beyond the end is named. */
static void every_truncation_is_refused(void **state)
{
    char *path = fixture_golden("timm-f16", "model.safetensors"), *folder = fixture_folder();
    size_t size;
    uint8_t *bytes = fixture_read(path, &size);
    lutra_error error;
    (void)state;
    fixture_write_config(folder, "timm-f16", "{}");
    for (size_t n = 0; n < size; n += n < 128 ? 1 : 211) {
        fixture_write_bytes(folder, "model.safetensors", bytes, n);
        expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, "model.safetensors", NULL);
    }
    fixture_write_bytes(folder, "model.safetensors", bytes, size - 1);
    expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, "truncated", "tensor \"", "byte ", NULL);
    bytes[0] = bytes[1] = bytes[2] = 0xff;
    fixture_write_bytes(folder, "model.safetensors", bytes, size);
    expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error,
                   "header of 16777215 bytes is longer than the file", NULL);
    free(bytes);
    free(path);
    fixture_remove(folder);
}

/* Any byte of the header may be anything: opening fails or not, but nothing is read out of bounds (the
 * sanitizers watch), and what opens has finite numbers of sizes. */
static void no_header_byte_does_harm(void **state)
{
    char *path = fixture_golden("timm-f16", "model.safetensors"), *folder = fixture_folder();
    size_t size;
    uint8_t *bytes = fixture_read(path, &size);
    uint32_t random = 1;
    (void)state;
    fixture_write_config(folder, "timm-f16", "{}");
    const size_t header = 8 + (size_t)bytes[0] + ((size_t)bytes[1] << 8);
    for (size_t i = 0; i < header; i++) {
        lutra_model *model;
        lutra_error error;
        const uint8_t saved = bytes[i];
        random = random * 1664525 + 1013904223;
        bytes[i] = (uint8_t)("0129,:[]{}\"-eF\\ "[random >> 28]);
        fixture_write_bytes(folder, "model.safetensors", bytes, size);
        if (lutra_model_open(folder, NULL, &model, &error) == LUTRA_OK)
            lutra_model_close(model);
        else
            assert_true(error.status == LUTRA_ERROR_FORMAT || error.status == LUTRA_ERROR_UNSUPPORTED);
        bytes[i] = saved;
    }
    free(bytes);
    free(path);
    fixture_remove(folder);
}

static void shards_that_do_not_fit_are_refused(void **state)
{
    lutra_error error;
    char *folder = fixture_folder();
    static const char index[] = "model.safetensors.index.json";
    (void)state;
    fixture_write_config(folder, "timm-token", "{}");
    fixture_write_text(folder, index, "{\"weight_map\":{\"head.weight\":\"model-1.safetensors\"}}");
    expect_refusal(folder, NULL, LUTRA_ERROR_IO, &error, "model-1.safetensors", NULL);
    fixture_write_text(folder, index, "{\"weight_map\":{\"head.weight\":\"../model.safetensors\"}}");
    expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, index, "head.weight", NULL);
    fixture_write_text(folder, index, "{\"weight_map\":{\"head.weight\":7}}");
    expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, index, "head.weight", NULL);
    fixture_write_text(folder, index, "{}");
    expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, index, "weight_map", NULL);
    fixture_write_text(folder, index, "{\"weight_map\":{");
    expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, index, "invalid JSON", NULL);
    fixture_remove(folder);
}

static void what_is_no_model_is_refused(void **state)
{
    lutra_error error;
    char *folder = fixture_folder();
    static const char other[] =
        "{\"embedding.weight\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    uint8_t bytes[8 + sizeof other + 3] = {sizeof other - 1};
    (void)state;
    expect_refusal(folder, NULL, LUTRA_ERROR_IO, &error, "model.safetensors", folder, NULL);
    expect_refusal("/nonexistent/model.safetensors", NULL, LUTRA_ERROR_IO, &error,
                   "/nonexistent/model.safetensors", "No such file", NULL);
    fixture_write_text(folder, "model.safetensors", "");
    expect_refusal(folder, NULL, LUTRA_ERROR_FORMAT, &error, "too short", NULL);
    memcpy(bytes + 8, other, sizeof other - 1);
    fixture_write_bytes(folder, "model.safetensors", bytes, 8 + sizeof other - 1 + 4);
    expect_refusal(folder, NULL, LUTRA_ERROR_UNSUPPORTED, &error, "no vision transformer", NULL);
    fixture_remove(folder);
}

static void tokens_are_not_pooled_beside_an_average(void **state)
{
    (void)state;
    char *folder = fixture_folder();
    lutra_error error;
    fixture_write_config(folder, "timm-distilled",
                         "{\"global_pool\":\"avg\",\"model_args\":{\"global_pool\":\"avg\"}}");
    fixture_write_model(folder, "timm-distilled", NULL);
    expect_refusal(folder, NULL, LUTRA_ERROR_UNSUPPORTED, &error, "distillation token", NULL);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_are_sound),
        cmocka_unit_test(every_missing_tensor_is_missed),
        cmocka_unit_test(every_renamed_tensor_is_missed),
        cmocka_unit_test(every_wrong_type_is_refused),
        cmocka_unit_test(every_wrong_shape_is_refused),
        cmocka_unit_test(every_nan_and_infinity_is_found),
        cmocka_unit_test(a_stranger_among_the_tensors_is_named),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_header_byte_does_harm),
        cmocka_unit_test(shards_that_do_not_fit_are_refused),
        cmocka_unit_test(what_is_no_model_is_refused),
        cmocka_unit_test(tokens_are_not_pooled_beside_an_average),
    };
    return cmocka_run_group_tests_name("models that are wrong", tests, NULL, NULL);
}
