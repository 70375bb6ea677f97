/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every golden model clustered, and exported again: the clustered file alone says all that its folder said
 * (options, preprocessing, labels), and the three ways to the same weights (packed indices; dense, described
 * by the file itself; dense, beside the original config.json) yield the same outputs, at the model's size and
 * at another.
 */
#include "golden.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TESTS = 128, MAX_OUTPUTS = 4096 };

/* The weights are the same numbers; what differs is the order of a product's sum and scale. Two orders of
 * magnitude below what any lost option moves (make_models.py sees to that). */
#define SAME 1e-4

static double worst_difference;

static void copy_file(const char *from_folder, const char *to_folder, const char *name)
{
    char *from = golden_join(from_folder, name), *to = golden_join(to_folder, name);
    FILE *source = fopen(from, "rb");
    if (source) {
        FILE *target = fopen(to, "wb");
        int byte;
        assert_non_null(target);
        while ((byte = fgetc(source)) != EOF)
            fputc(byte, target);
        fclose(source);
        assert_int_equal(fclose(target), 0);
    }
    free(from);
    free(to);
}

static void check_same_info(const lutra_model_info *a, const lutra_model_info *b)
{
    const lutra_preprocessing *p = &a->preprocessing, *q = &b->preprocessing;
    assert_string_equal(a->arch, b->arch);
    assert_string_equal(a->family, b->family);
    assert_int_equal(a->n_classes, b->n_classes);
    assert_int_equal(a->n_features, b->n_features);
    assert_int_equal(a->n_heads, b->n_heads);
    assert_int_equal(a->depth, b->depth);
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_int_equal(a->n_prefix_tokens, b->n_prefix_tokens);
    assert_int_equal(a->n_parameters, b->n_parameters);
    assert_int_equal(a->macs, b->macs);
    assert_int_equal(p->height, q->height);
    assert_int_equal(p->width, q->width);
    assert_int_equal(p->resize_height, q->resize_height);
    assert_int_equal(p->resize_width, q->resize_width);
    assert_int_equal(p->crop_mode, q->crop_mode);
    assert_int_equal(p->resample, q->resample);
    assert_float_equal(p->crop_pct, q->crop_pct, 0);
    assert_memory_equal(p->mean, q->mean, sizeof p->mean);
    assert_memory_equal(p->std, q->std, sizeof p->std);
}

static void check_same_labels(const lutra_model *a, const lutra_model *b)
{
    for (size_t i = 0; i <= lutra_model_get_info(a)->n_classes; i++) {
        const char *one = lutra_model_label(a, i), *other = lutra_model_label(b, i);
        assert_int_equal(!one, !other);
        if (one)
            assert_string_equal(one, other);
    }
}

/* The tensors of an exported file without its description, so that the config.json beside it has to say
 * everything. */
static void strip_metadata(const char *from, const char *to)
{
    FILE *source = fopen(from, "rb"), *target = fopen(to, "wb");
    uint8_t size[8];
    size_t n = 0;
    int byte;
    assert_true(source && target);
    assert_int_equal(fread(size, 1, sizeof size, source), sizeof size);
    for (size_t i = sizeof size; i-- > 0;)
        n = n << 8 | size[i];
    char *header = calloc(1, n + 1);
    assert_non_null(header);
    assert_int_equal(fread(header, 1, n, source), n);
    json_t *json = json_loads(header, 0, NULL);
    assert_int_equal(json_object_del(json, "__metadata__"), 0);
    char *stripped = json_dumps(json, JSON_COMPACT);
    assert_true(strlen(stripped) <= n);
    memset(header, ' ', n); /* as long as before: the tensors stay where they are */
    memcpy(header, stripped, strlen(stripped));
    fwrite(size, 1, sizeof size, target);
    fwrite(header, 1, n, target);
    while ((byte = fgetc(source)) != EOF)
        fputc(byte, target);
    fclose(source);
    assert_int_equal(fclose(target), 0);
    free(stripped);
    json_decref(json);
    free(header);
}

static char *weights_of(const char *folder)
{
    char *path = golden_join(folder, "model.safetensors");
    if (access(path, F_OK) == 0)
        return path;
    free(path);
    return golden_join(folder, "model.safetensors.index.json");
}

/* The clustered (or exported) file has all tensors of the source, under their names and with their shapes. */
static void check_same_tensors(const char *source, const char *path, bool is_clustered)
{
    lutra_tensor_file *a, *b;
    lutra_error error;
    size_t n_clustered = 0;
    golden_check(lutra_tensor_file_open(source, &a, &error), &error);
    golden_check(lutra_tensor_file_open(path, &b, &error), &error);
    golden_check(lutra_tensor_file_verify(b, &error), &error);
    assert_int_equal(lutra_tensor_file_n_tensors(a), lutra_tensor_file_n_tensors(b));
    for (size_t i = 0; i < lutra_tensor_file_n_tensors(a); i++) {
        const lutra_tensor_info *wanted = lutra_tensor_file_tensor(a, i), *found = NULL;
        for (size_t j = 0; !found && j < lutra_tensor_file_n_tensors(b); j++)
            if (strcmp(lutra_tensor_file_tensor(b, j)->name, wanted->name) == 0)
                found = lutra_tensor_file_tensor(b, j);
        if (!found)
            fail_msg("%s is not in %s", wanted->name, path);
        assert_int_equal(found->rank, wanted->rank);
        assert_memory_equal(found->shape, wanted->shape, wanted->rank * sizeof *wanted->shape);
        n_clustered += found->n_clusters > 0;
    }
    assert_int_equal(n_clustered > 0, is_clustered);
    lutra_tensor_file_close(a);
    lutra_tensor_file_close(b);
}

/* Runs the model on pixels 0, 37, 74, ... modulo 256. */
static size_t run(const lutra_model *model, float *outputs /* [MAX_OUTPUTS]: logits, then features */)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    lutra_context *context;
    lutra_error error;
    uint8_t *pixels = malloc(info->input_bytes);
    assert_non_null(pixels);
    assert_true(info->n_classes + info->n_features <= MAX_OUTPUTS);
    for (size_t i = 0; i < info->input_bytes; i++)
        pixels[i] = (uint8_t)(37 * i + i / 97);
    golden_check(lutra_context_create(model, &golden_f32_options, &context, &error), &error);
    golden_check(lutra_context_run(context, pixels, 1, info->n_classes ? outputs : NULL,
                                   outputs + info->n_classes, &error),
                 &error);
    lutra_context_free(context);
    free(pixels);
    return info->n_classes + info->n_features;
}

static lutra_model *open_model(const char *path, size_t image_size)
{
    const lutra_model_options options = {.image_size = image_size};
    lutra_model *model;
    lutra_error error;
    golden_check(lutra_model_open(path, &options, &model, &error), &error);
    return model;
}

static void compare(const char *one_path, const char *other_path, size_t image_size)
{
    static float a[MAX_OUTPUTS], b[MAX_OUTPUTS];
    lutra_model *one = open_model(one_path, image_size), *other = open_model(other_path, image_size);
    check_same_info(lutra_model_get_info(one), lutra_model_get_info(other));
    check_same_labels(one, other);
    const size_t n = run(one, a);
    assert_int_equal(run(other, b), n);
    const double difference = golden_difference(a, b, n);
    if (!(difference <= SAME))
        fail_msg("%s and %s at %zu pixels differ by %.3g", one_path, other_path, image_size, difference);
    worst_difference = fmax(worst_difference, difference);
    lutra_model_close(one);
    lutra_model_close(other);
}

static void test_roundtrip(void **state)
{
    static const char *const parts[] = {"clustered.safetensors", "config.json", "preprocessor_config.json",
                                        "model.safetensors"};
    const char *source = *state; /* a golden model's folder */
    char with_config[] = "/tmp/lutra-roundtrip-XXXXXX", alone[] = "/tmp/lutra-roundtrip-XXXXXX";
    lutra_error error;
    assert_true(mkdtemp(with_config) && mkdtemp(alone));
    char *clustered = golden_join(alone, parts[0]), *dense = golden_join(alone, parts[3]);
    char *dense_with_config = golden_join(with_config, parts[3]);

    const lutra_cluster_options options = {.n_clusters = 200, .scope = LUTRA_SCOPE_ROW, .n_threads = 1};
    golden_check(lutra_cluster_file(source, clustered, &options, NULL, &error), &error);
    golden_check(lutra_export_file(clustered, dense, LUTRA_F32, NULL, NULL, &error), &error);
    strip_metadata(dense, dense_with_config);
    copy_file(source, with_config, parts[1]);
    copy_file(source, with_config, parts[2]);
    char *weights = weights_of(source);
    check_same_tensors(weights, clustered, true);
    check_same_tensors(weights, dense, false);
    free(weights);

    lutra_model *original = open_model(source, 0);
    const size_t other_size = 7 * lutra_model_get_info(original)->patch_size;
    lutra_model_close(original);
    const size_t sizes[] = {0, other_size};
    for (size_t i = 0; i < 2; i++) {
        compare(clustered, dense, sizes[i]);
        compare(clustered, with_config, sizes[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        char *one = golden_join(alone, parts[i]), *other = golden_join(with_config, parts[i]);
        unlink(one);
        unlink(other);
        free(one);
        free(other);
    }
    assert_int_equal(rmdir(alone), 0);
    assert_int_equal(rmdir(with_config), 0);
    free(clustered);
    free(dense);
    free(dense_with_config);
}

int main(void)
{
    static struct CMUnitTest tests[MAX_TESTS];
    size_t n_folders, n_tests = 0;
    char *models = golden_path("tests/golden/models");
    char **folders = golden_names(models, &n_folders);
    for (size_t i = 0; i < n_folders && n_tests < MAX_TESTS; i++)
        if (!strchr(folders[i], '.'))
            tests[n_tests++] = (struct CMUnitTest){.name = folders[i],
                                                   .test_func = test_roundtrip,
                                                   .initial_state = golden_join(models, folders[i])};
    const int failed = _cmocka_run_group_tests("clustered and exported", tests, n_tests, NULL, NULL);
    print_message("# over %zu models: max |difference| %.2e, at most %.0e\n", n_tests, worst_difference,
                  SAME);
    for (size_t i = 0; i < n_tests; i++)
        free(tests[i].initial_state);
    golden_names_free(folders, n_folders);
    free(models);
    return failed;
}
