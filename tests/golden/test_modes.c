/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The modes bf16 and int8 on every golden model, dense and clustered in each scope: near the f32 mode of the
 * same weights, on every level of kernels; not one bit different between thread counts or places in a batch.
 * And which of them is taken where none is named.
 */
#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LEVELS = 16, MAX_TESTS = 128 };

/* How far outputs may be from f32's, relative to their root mean square.
 * int8: a row of activations spans some 8 of its standard deviations in 255 steps, each off by 1 / sqrt(12)
 * of a step: 0.9 % of noise into each product, weights on an int8 grid add some 0.6 %. The golden models
 * chain 8 to 12 products: 1.1 % * sqrt(12) = 3.8 %, and twice that for outliers. bf16: a number is off by up
 * to 2^-8 of itself, 0.16 % in the mean of squares; activations and weights: 0.23 %, times sqrt(12) 0.8 %,
 * and twice that for outliers. Logits are few, and sums in which the features may cancel while their noise
 * does not: they may be twice as far off. Between levels the float steps round differently, which brings a
 * few activations to the neighbouring step: part of the noise is drawn anew. */
static const struct mode {
    lutra_mode mode;
    const char *name;
    double max_noise, max_between_levels;
} modes[] = {{LUTRA_MODE_BF16, "bf16", 0.016, 0.004}, {LUTRA_MODE_INT8, "int8", 0.08, 0.02}};
#define N_MODES (sizeof modes / sizeof *modes)

static double worst_noise[N_MODES], worst_levels[N_MODES];

typedef struct outputs {
    float *logits, *features; /* [batch][n]; logits NULL where there is no head */
} outputs;

static void free_outputs(outputs *out)
{
    free(out->logits);
    free(out->features);
}

static outputs run(const lutra_model *model, lutra_mode mode, size_t n_threads, const uint8_t *pixels,
                   size_t batch)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    const lutra_context_options options = {.n_threads = n_threads, .max_batch = batch, .mode = mode};
    outputs out = {0};
    lutra_context *context;
    lutra_error error;
    golden_check(lutra_context_create(model, &options, &context, &error), &error);
    out.features = malloc(batch * info->n_features * sizeof(float));
    out.logits = info->n_classes ? malloc(batch * info->n_classes * sizeof(float)) : NULL;
    golden_check(lutra_context_run(context, pixels, batch, out.logits, out.features, &error), &error);
    lutra_context_free(context);
    return out;
}

static double noise_of_numbers(const float *got, const float *want, size_t n)
{
    double noise = 0, power = 0;
    for (size_t i = 0; i < n; i++) {
        noise += pow((double)got[i] - (double)want[i], 2);
        power += pow((double)want[i], 2);
    }
    return sqrt(noise / power);
}

static double noise_of(const outputs *got, const outputs *want, const lutra_model_info *info, size_t batch)
{
    const double features = noise_of_numbers(got->features, want->features, batch * info->n_features);
    const double logits =
        info->n_classes ? noise_of_numbers(got->logits, want->logits, batch * info->n_classes) / 2 : 0;
    return features >= logits || isnan(features) ? features : logits;
}

static void check_same(const outputs *a, const outputs *b, size_t offset, const lutra_model_info *info,
                       size_t batch)
{
    assert_memory_equal(a->features, b->features + offset * info->n_features,
                        batch * info->n_features * sizeof(float));
    if (info->n_classes)
        assert_memory_equal(a->logits, b->logits + offset * info->n_classes,
                            batch * info->n_classes * sizeof(float));
}

static void check_mode(const lutra_model *model, size_t index, const outputs *f32, const uint8_t *pixels,
                       size_t batch)
{
    const struct mode *m = &modes[index];
    const lutra_model_info *info = lutra_model_get_info(model);
    const char *levels[MAX_LEVELS];
    const size_t n_levels = golden_levels(levels, MAX_LEVELS);
    outputs reference = {0};
    for (size_t i = 0; i < n_levels; i++) {
        golden_select(levels[i]);
        outputs one = run(model, m->mode, 1, pixels, batch);
        outputs five = run(model, m->mode, 5, pixels, batch);
        outputs last = run(model, m->mode, 2, pixels + (batch - 1) * info->input_bytes, 1);
        check_same(&one, &five, 0, info, batch);
        check_same(&last, &one, batch - 1, info, 1);
        free_outputs(&five);
        free_outputs(&last);
        if (i == 0)
            reference = one;
        const double noise = noise_of(&one, f32, info, batch);
        const double between = noise_of(&one, &reference, info, batch);
        worst_noise[index] = fmax(worst_noise[index], noise);
        worst_levels[index] = fmax(worst_levels[index], between);
        if (!(noise <= m->max_noise && between <= m->max_between_levels))
            fail_msg("%s, %s: %.4f of noise against f32, %.5f against the reference", m->name, levels[i],
                     noise, between);
        if (noise == 0)
            fail_msg("%s, %s: the very numbers of f32", m->name, levels[i]);
        if (i > 0)
            free_outputs(&one);
    }
    free_outputs(&reference);
    golden_select(NULL);
}

/* Where all weights are exact in int8 and the level multiplies it, that; else bf16 where it multiplies that.
 */
static void check_choice(const lutra_model *model, bool exact_in_i8)
{
    const char *levels[MAX_LEVELS];
    const size_t n_levels = golden_levels(levels, MAX_LEVELS);
    for (size_t i = 0; i < n_levels; i++) {
        lutra_context *context;
        lutra_error error;
        golden_select(levels[i]);
        golden_check(lutra_context_create(model, NULL, &context, &error), &error);
        assert_int_equal(lutra_context_mode(context),
                         exact_in_i8 && strcmp(levels[i], "reference") != 0 ? LUTRA_MODE_INT8
                         : strcmp(levels[i], "avx512bf16") == 0             ? LUTRA_MODE_BF16
                                                                            : LUTRA_MODE_F32);
        lutra_context_free(context);
    }
    golden_select(NULL);
}

static void check_model(const lutra_model *model, bool exact_in_i8, const uint8_t *pixels, size_t batch)
{
    outputs f32 = run(model, LUTRA_MODE_F32, 1, pixels, batch);
    for (size_t i = 0; i < N_MODES; i++)
        check_mode(model, i, &f32, pixels, batch);
    check_choice(model, exact_in_i8);
    free_outputs(&f32);
}

static void check_clustered(const char *folder, const lutra_cluster_options *options, const uint8_t *pixels,
                            size_t batch)
{
    char path[] = "/tmp/lutra-modes-XXXXXX";
    lutra_model *model;
    lutra_error error;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    golden_check(lutra_cluster_file(folder, path, options, NULL, &error), &error);
    golden_check(lutra_model_open(path, NULL, &model, &error), &error);
    assert_true(lutra_model_get_info(model)->n_clustered > 0);
    check_model(model, options->scope == LUTRA_SCOPE_ROW, pixels, batch);
    lutra_model_close(model);
    unlink(path);
}

static void test_model(void **state)
{
    static const lutra_cluster_options clusterings[] = {
        {.n_clusters = 64, .scope = LUTRA_SCOPE_ROW, .n_threads = 1},
        {.n_clusters = 200, .scope = LUTRA_SCOPE_TENSOR, .codebook = LUTRA_CODEBOOK_F32, .n_threads = 1},
        {.n_clusters = 64, .scope = LUTRA_SCOPE_MODEL, .n_threads = 1},
    };
    const char *path = *state; /* .../models/NAME/golden.safetensors */
    char *folder = strdup(path);
    *strrchr(folder, '/') = '\0';
    lutra_safetensors *file;
    lutra_model *model;
    lutra_error error;
    size_t n_pixels;
    golden_check(lutra_safetensors_open(path, &file, &error), &error);
    golden_check(lutra_model_open(folder, NULL, &model, &error), &error);
    const uint8_t *pixels = golden_u8(file, "pixels", &n_pixels);
    const size_t batch = n_pixels / lutra_model_get_info(model)->input_bytes;
    assert_true(batch > 0);
    check_model(model, false, pixels, batch);
    for (size_t i = 0; i < sizeof clusterings / sizeof *clusterings; i++)
        check_clustered(folder, &clusterings[i], pixels, batch);
    lutra_model_close(model);
    lutra_safetensors_close(file);
    free(folder);
}

static void test_unknown_mode(void **state)
{
    const lutra_context_options options = {.mode = (lutra_mode)7};
    char *folder = golden_path("tests/golden/models/timm-token");
    lutra_model *model;
    lutra_context *context;
    lutra_error error;
    (void)state;
    golden_check(lutra_model_open(folder, NULL, &model, &error), &error);
    assert_int_equal(lutra_context_create(model, &options, &context, &error), LUTRA_ERROR_ARGUMENT);
    assert_null(context);
    assert_non_null(strstr(error.message, "mode 7"));
    lutra_model_close(model);
    free(folder);
}

static void test_worst(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODES; i++) {
        print_message("# %s against f32: noise <= %.4f; between levels: <= %.5f\n", modes[i].name,
                      worst_noise[i], worst_levels[i]);
        assert_true(worst_noise[i] > 0);
    }
}

int main(void)
{
    struct CMUnitTest tests[MAX_TESTS] = {{.name = "unknown_mode", .test_func = test_unknown_mode}};
    size_t n_tests = 1, n_models;
    char *folder = golden_path("tests/golden/models");
    char **models = golden_names(folder, &n_models);
    for (size_t i = 0; i < n_models; i++) {
        char *model = golden_join(folder, models[i]), *path = golden_join(model, "golden.safetensors");
        free(model);
        if (access(path, R_OK) != 0) {
            free(path);
            continue;
        }
        assert_true(n_tests + 1 < MAX_TESTS);
        tests[n_tests++] =
            (struct CMUnitTest){.name = models[i], .test_func = test_model, .initial_state = path};
    }
    tests[n_tests++] = (struct CMUnitTest){.name = "worst", .test_func = test_worst};
    const int failed = _cmocka_run_group_tests("modes", tests, n_tests, NULL, NULL);
    for (size_t i = 0; i < n_tests; i++)
        free(tests[i].initial_state);
    golden_names_free(models, n_models);
    free(folder);
    return failed;
}
