/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The embedded model on 32 of its test pictures, from the file of the picture to the logits, on every level
 * of kernels, against PyTorch's of embedded_logits.safetensors (make_embedded.py).
 */
#include "golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PICTURES = 32, MAX_LEVELS = 16 };

/* The pictures named in `files`, parted by commas, as the model wants them: [N_PICTURES][input_bytes]. */
static uint8_t *read_pictures(const lutra_model_info *info, const char *files)
{
    uint8_t *pixels = malloc(N_PICTURES * info->input_bytes);
    char *folder = golden_path("data/embedded/test");
    char *names = strdup(files), *rest = names;
    size_t n = 0;
    lutra_error error;
    assert_non_null(pixels);
    for (char *name; (name = strtok_r(rest, ",", &rest)); n++) {
        assert_true(n < N_PICTURES);
        char *path = golden_join(folder, name);
        golden_check(lutra_image_read(path, &info->preprocessing, pixels + n * info->input_bytes, &error),
                     &error);
        free(path);
    }
    assert_int_equal(n, N_PICTURES);
    free(names);
    free(folder);
    return pixels;
}

static void check_level(const lutra_model *model, const char *level, const uint8_t *pixels,
                        const float *golden, size_t n_golden)
{
    const lutra_context_options options = {.n_threads = 2, .max_batch = N_PICTURES, .mode = LUTRA_MODE_F32};
    float *logits = malloc(n_golden * sizeof *logits);
    lutra_context *context;
    lutra_error error;
    assert_non_null(logits);
    golden_select(level);
    golden_check(lutra_context_create(model, &options, &context, &error), &error);
    golden_check(lutra_context_run(context, pixels, N_PICTURES, logits, NULL, &error), &error);
    const double difference = golden_difference(logits, golden, n_golden);
    print_message("# %s: max |difference| of logits %.2e\n", level, difference);
    if (!(difference <= GOLDEN_TOLERANCE))
        fail_msg("%s: logits differ by %.3g", level, difference);
    lutra_context_free(context);
    free(logits);
}

static void test_logits(void **state)
{
    (void)state;
    const char *levels[MAX_LEVELS];
    size_t n_golden;
    lutra_safetensors *file;
    lutra_model *model;
    lutra_error error;
    if (golden_lacks_codecs("embedded model"))
        skip();
    char *golden_file = golden_path("tests/golden/embedded_logits.safetensors");
    char *folder = golden_path("data/embedded");
    golden_check(lutra_safetensors_open(golden_file, &file, &error), &error);
    golden_check(lutra_model_open(folder, NULL, &model, &error), &error);
    const lutra_model_info *info = lutra_model_get_info(model);
    float *golden = golden_f32(file, "logits", &n_golden);
    assert_int_equal(n_golden, N_PICTURES * info->n_classes);
    uint8_t *pixels = read_pictures(info, lutra_safetensors_metadata(file, "files"));
    const size_t n_levels = golden_levels(levels, MAX_LEVELS);
    assert_true(n_levels > 0);
    for (size_t i = 0; i < n_levels; i++)
        check_level(model, levels[i], pixels, golden, n_golden);
    golden_select(NULL);
    free(pixels);
    free(golden);
    lutra_model_close(model);
    lutra_safetensors_close(file);
    free(folder);
    free(golden_file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_logits)};
    return cmocka_run_group_tests_name("embedded model", tests, NULL, NULL);
}
