/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every golden model of tests/golden/models through the public API, on every level of kernels and on 1 and 2
 * threads: outputs within the tolerance of the framework's own, and not one bit different between thread
 * counts; labels; pictures preprocessed to the very bytes. make_models.py says what the goldens are.
 */
#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LEVELS = 16, MAX_TESTS = 128 };

static double worst_difference; /* over all models, printed at the end */

/* ---- running ----------------------------------------------------------------------------------- */

typedef struct outputs {
    float *logits;   /* [batch][n_classes], or NULL */
    float *features; /* [batch][n_features] */
    size_t n_logits, n_features;
} outputs;

static void outputs_allocate(const lutra_model_info *info, size_t batch, outputs *out)
{
    out->n_logits = batch * info->n_classes;
    out->n_features = batch * info->n_features;
    out->logits = out->n_logits ? malloc(out->n_logits * sizeof(float)) : NULL;
    out->features = malloc(out->n_features * sizeof(float));
    assert_non_null(out->features);
    /* What is not written must not pass by chance. */
    for (size_t i = 0; i < out->n_logits; i++)
        out->logits[i] = NAN;
    for (size_t i = 0; i < out->n_features; i++)
        out->features[i] = NAN;
}

static void outputs_free(outputs *out)
{
    free(out->logits);
    free(out->features);
}

static void run(const lutra_model *model, size_t n_threads, const uint8_t *pixels, size_t batch, outputs *out)
{
    const lutra_context_options options = {
        .n_threads = n_threads, .max_batch = batch, .mode = LUTRA_MODE_F32};
    lutra_context *context;
    lutra_error error;
    golden_check(lutra_context_create(model, &options, &context, &error), &error);
    assert_int_equal(lutra_context_threads(context), n_threads);
    outputs_allocate(lutra_model_get_info(model), batch, out);
    golden_check(lutra_context_run(context, pixels, batch, out->logits, out->features, &error), &error);
    lutra_context_free(context);
}

/* The outputs on every level and 1 and 2 threads against the golden ones; returns the largest difference. */
static double check_outputs(const lutra_model *model, const uint8_t *pixels, size_t batch,
                            const outputs *golden)
{
    const char *levels[MAX_LEVELS];
    const size_t n_levels = golden_levels(levels, MAX_LEVELS);
    double worst = 0;
    for (size_t i = 0; i < n_levels; i++) {
        outputs one, two;
        golden_select(levels[i]);
        run(model, 1, pixels, batch, &one);
        run(model, 2, pixels, batch, &two);
        assert_int_equal(one.n_logits, golden->n_logits);
        assert_int_equal(one.n_features, golden->n_features);
        const double logits = golden_difference(one.logits, golden->logits, one.n_logits);
        const double features = golden_difference(one.features, golden->features, one.n_features);
        worst = fmax(worst, fmax(logits, features));
        if (worst > GOLDEN_TOLERANCE)
            fail_msg("%s: logits differ by %.3g, features by %.3g", levels[i], logits, features);
        if (one.n_logits)
            assert_memory_equal(one.logits, two.logits, one.n_logits * sizeof(float));
        assert_memory_equal(one.features, two.features, one.n_features * sizeof(float));
        outputs_free(&one);
        outputs_free(&two);
    }
    golden_select(NULL);
    worst_difference = fmax(worst_difference, worst);
    return worst;
}

/* ---- one golden file --------------------------------------------------------------------------- */

static void check_labels(const lutra_model *model, const char *labels)
{
    size_t n = 0;
    for (const char *name = labels; name; n++) {
        const char *end = strchr(name, '\n');
        const size_t length = end ? (size_t)(end - name) : strlen(name);
        const char *label = lutra_model_label(model, n);
        assert_non_null(label);
        assert_int_equal(strlen(label), length);
        assert_memory_equal(label, name, length);
        name = end ? end + 1 : NULL;
    }
    assert_int_equal(n, lutra_model_get_info(model)->n_classes);
    assert_null(lutra_model_label(model, n));
}

static void test_golden(void **state)
{
    const char *path = *state; /* .../models/NAME/golden*.safetensors */
    char *folder = strdup(path);
    *strrchr(folder, '/') = '\0';
    lutra_safetensors *file;
    lutra_model *model;
    lutra_error error;
    golden_check(lutra_safetensors_open(path, &file, &error), &error);
    const char *size = lutra_safetensors_metadata(file, "image_size");
    const char *labels = lutra_safetensors_metadata(file, "labels");
    const lutra_model_options options = {.image_size = size ? (size_t)atoi(size) : 0};
    golden_check(lutra_model_open(folder, &options, &model, &error), &error);
    const lutra_model_info *info = lutra_model_get_info(model);

    size_t n_pixels;
    outputs golden;
    const uint8_t *pixels = golden_u8(file, "pixels", &n_pixels);
    assert_non_null(pixels);
    const lutra_tensor *shape = lutra_safetensors_find(file, "pixels");
    assert_int_equal(shape->shape[1], info->preprocessing.height);
    assert_int_equal(shape->shape[2], info->preprocessing.width);
    const size_t batch = n_pixels / info->input_bytes;
    golden.logits = golden_f32(file, "logits", &golden.n_logits);
    golden.features = golden_f32(file, "features", &golden.n_features);
    const double worst = check_outputs(model, pixels, batch, &golden);
    if (labels)
        check_labels(model, labels);
    print_message("# %s: max |difference| %.2e\n", strrchr(folder, '/') + 1, worst);

    outputs_free(&golden);
    lutra_model_close(model);
    lutra_safetensors_close(file);
    free(folder);
}

/* ---- pictures ---------------------------------------------------------------------------------- */

static void check_picture(const lutra_model *model, const lutra_safetensors *file, const char *picture)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    char name[128];
    size_t n_pixels;
    outputs golden;
    lutra_error error;
    snprintf(name, sizeof name, "%s.pixels", picture);
    const uint8_t *wanted = golden_u8(file, name, &n_pixels);
    assert_int_equal(n_pixels, info->input_bytes);
    snprintf(name, sizeof name, "%s.logits", picture);
    golden.logits = golden_f32(file, name, &golden.n_logits);
    snprintf(name, sizeof name, "%s.features", picture);
    golden.features = golden_f32(file, name, &golden.n_features);

    snprintf(name, sizeof name, "tests/golden/models/%s", picture);
    char *path = golden_path(name);
    uint8_t *pixels = malloc(info->input_bytes);
    golden_check(lutra_image_read(path, &info->preprocessing, pixels, &error), &error);
    for (size_t i = 0; i < n_pixels; i++)
        if (pixels[i] != wanted[i])
            fail_msg("%s: row %zu, column %zu, channel %zu is %d, not %d", picture,
                     i / 3 / info->preprocessing.width, i / 3 % info->preprocessing.width, i % 3, pixels[i],
                     wanted[i]);
    check_outputs(model, pixels, 1, &golden);
    free(pixels);
    free(path);
    outputs_free(&golden);
}

static void test_pictures(void **state)
{
    const char *path = *state; /* .../models/NAME/pictures.safetensors */
    if (golden_lacks_codecs(path))
        skip();
    char *folder = strdup(path);
    *strrchr(folder, '/') = '\0';
    lutra_safetensors *file;
    lutra_model *model;
    lutra_error error;
    golden_check(lutra_safetensors_open(path, &file, &error), &error);
    golden_check(lutra_model_open(folder, NULL, &model, &error), &error);
    size_t n_pictures = 0;
    for (size_t i = 0; i < lutra_safetensors_count(file); i++) {
        const char *name = lutra_safetensors_at(file, i)->name;
        const char *end = strstr(name, ".pixels");
        if (!end)
            continue;
        char picture[64];
        snprintf(picture, sizeof picture, "%.*s", (int)(end - name), name);
        check_picture(model, file, picture);
        n_pictures++;
    }
    assert_int_equal(n_pictures, 3);
    lutra_model_close(model);
    lutra_safetensors_close(file);
    free(folder);
}

/* ---- the list ---------------------------------------------------------------------------------- */

static struct CMUnitTest tests[MAX_TESTS];
static char *paths[MAX_TESTS];
static size_t n_tests;

static void add(const char *folder, const char *file)
{
    const bool is_picture = strcmp(file, "pictures.safetensors") == 0;
    if (strncmp(file, "golden", 6) != 0 && !is_picture)
        return;
    if (n_tests == MAX_TESTS) {
        fprintf(stderr, "MAX_TESTS is too small\n");
        exit(1);
    }
    paths[n_tests] = golden_join(folder, file);
    tests[n_tests] = (struct CMUnitTest){.name = strstr(paths[n_tests], "models/") + 7,
                                         .test_func = is_picture ? test_pictures : test_golden,
                                         .initial_state = paths[n_tests]};
    n_tests++;
}

int main(void)
{
    char *models = golden_path("tests/golden/models");
    size_t n_folders;
    char **folders = golden_names(models, &n_folders);
    for (size_t i = 0; i < n_folders; i++) {
        if (strchr(folders[i], '.'))
            continue; /* a picture */
        char *folder = golden_join(models, folders[i]);
        size_t n_files;
        char **files = golden_names(folder, &n_files);
        for (size_t j = 0; j < n_files; j++)
            add(folder, files[j]);
        golden_names_free(files, n_files);
        free(folder);
    }
    golden_names_free(folders, n_folders);
    free(models);
    const int failed = _cmocka_run_group_tests("golden models", tests, n_tests, NULL, NULL);
    print_message("# over %zu golden files: max |difference| %.2e, at most %.0e\n", n_tests, worst_difference,
                  GOLDEN_TOLERANCE);
    for (size_t i = 0; i < n_tests; i++)
        free(paths[i]);
    return failed;
}
