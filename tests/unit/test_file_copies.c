/* SPDX-License-Identifier: Apache-2.0 */
/* A model that was opened as a copy does not depend on its file any more; and what cannot be copied. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_map.h"
#include "faults.h"
#include "model_fixture.h"

#define MODEL "timm-finetuned"

enum { N_CLASSES = 10 };

static char *folder, *model_path;

static int make_model(void **state)
{
    (void)state;
    folder = fixture_folder();
    fixture_write_model(folder, MODEL, &(tensor_edit){.kind = EDIT_NONE});
    fixture_write_config(folder, MODEL, "{}");
    model_path = fixture_path(folder, "model.safetensors");
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    free(model_path);
    fixture_remove(folder);
    return 0;
}

static void run(const lutra_model *model, float logits[N_CLASSES])
{
    lutra_context *context = NULL;
    const lutra_model_info *info = lutra_model_get_info(model);
    uint8_t *pixels = calloc(1, info->input_bytes);
    assert_non_null(pixels);
    assert_int_equal(info->n_classes, N_CLASSES);
    for (size_t i = 0; i < info->input_bytes; i++)
        pixels[i] = (uint8_t)(i * 3);
    const lutra_context_options options = {.n_threads = 1, .mode = LUTRA_MODE_F32};
    assert_int_equal(lutra_context_create(model, &options, &context, NULL), LUTRA_OK);
    assert_int_equal(lutra_context_run(context, pixels, 1, logits, NULL, NULL), LUTRA_OK);
    lutra_context_free(context);
    free(pixels);
}

static void a_copy_outlives_its_file(void **state)
{
    (void)state;
    float before[N_CLASSES], after[N_CLASSES];
    lutra_model *model = NULL;
    const lutra_model_options options = {.copy = true};
    assert_int_equal(lutra_model_open(folder, &options, &model, NULL), LUTRA_OK);
    run(model, before);
    assert_int_equal(truncate(model_path, 0), 0);
    fixture_write_text(folder, "model.safetensors", "something else");
    run(model, after);
    assert_memory_equal(before, after, sizeof before);
    lutra_model_close(model);
}

static void a_mapped_file_may_be_replaced(void **state)
{
    (void)state;
    float before[N_CLASSES], after[N_CLASSES];
    lutra_model *model = NULL;
    lutra_error error;
    assert_int_equal(lutra_model_open(folder, NULL, &model, NULL), LUTRA_OK);
    run(model, before);
    assert_int_equal(lutra_write_file(model_path, "something", 9, " else", 5, &error), LUTRA_OK);
    run(model, after);
    assert_memory_equal(before, after, sizeof before);
    lutra_model_close(model);
    size_t n;
    uint8_t *written = fixture_read(model_path, &n);
    assert_int_equal(n, 14);
    assert_memory_equal(written, "something else", 14);
    free(written);
}

/* The file has become shorter between the question for its size and the reading. */
static void a_file_that_shrinks_is_an_error(void **state)
{
    (void)state;
    lutra_file_map map;
    lutra_error error;
    fault_arm((fault){.kind = FAULT_READ, .first = 0, .count = SIZE_MAX, .error = FAULT_END});
    const lutra_status status = lutra_file_map_read(model_path, SIZE_MAX, &map, &error);
    assert_true(fault_disarm());
    assert_int_equal(status, LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "cut short while it was read"));
    assert_null(map.data);
}

static void a_file_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    lutra_file_map map;
    lutra_error error;
    fixture_write_text(folder, "model.safetensors", "0123456789");
    assert_int_equal(lutra_file_map_read(model_path, 10, &map, &error), LUTRA_OK);
    assert_memory_equal(map.data, "0123456789", 10);
    lutra_file_map_close(&map);
    assert_int_equal(lutra_file_map_read(model_path, 9, &map, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "more than 9 bytes"));
    fixture_write_text(folder, "model.safetensors", "");
    assert_int_equal(lutra_file_map_read(model_path, 0, &map, &error), LUTRA_OK);
    assert_int_equal(map.size, 0);
    lutra_file_map_close(&map);
}

int main(void)
{
#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, make_model, remove_model)
    const struct CMUnitTest tests[] = {
        WITH_MODEL(a_copy_outlives_its_file),
        WITH_MODEL(a_mapped_file_may_be_replaced),
        WITH_MODEL(a_file_that_shrinks_is_an_error),
        WITH_MODEL(a_file_beyond_the_limit_is_refused),
    };
    return cmocka_run_group_tests_name("file_copies", tests, NULL, NULL);
}
