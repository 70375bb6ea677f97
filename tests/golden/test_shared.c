/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two shared models on the shared photos against shared.json: the preprocessed bytes and the logits of
 * the first eight, the right answers and the mean negative log-likelihood of all. Skipped, loudly, where they
 * are not here.
 */
#include "golden.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_CLASSES = 1000, MAX_PHOTOS = 1000 };

typedef struct shared_photo {
    char file[128];
    size_t label;
} shared_photo;

static json_t *golden_models;
static char *shared;
static shared_photo photos[MAX_PHOTOS];
static size_t n_photos;

static int compare_photos(const void *a, const void *b)
{
    return strcmp(((const shared_photo *)a)->file, ((const shared_photo *)b)->file);
}

/* labels.tsv: file, class index, wnid, name; a line of headings. In the order of the files' names, as
 * shared.json. */
static void read_labels(void)
{
    char line[512];
    char *path = golden_join(shared, "images/imagenet-sample/labels.tsv");
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("cannot read %s", path);
    while (fgets(line, sizeof line, file)) {
        shared_photo *photo = &photos[n_photos];
        if (sscanf(line, "%127[^\t]\t%zu\t", photo->file, &photo->label) != 2)
            continue;
        assert_true(++n_photos < MAX_PHOTOS);
    }
    fclose(file);
    free(path);
    qsort(photos, n_photos, sizeof *photos, compare_photos);
}

/* The CRC-32 of zlib and PNG. */
static uint32_t crc32_of(const uint8_t *data, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static double check_photo(const json_t *golden, const shared_photo *photo, const uint8_t *pixels,
                          size_t n_pixels, const float *logits)
{
    const json_t *values = json_object_get(golden, "logits");
    double worst = 0;
    assert_string_equal(json_string_value(json_object_get(golden, "file")), photo->file);
    assert_int_equal(crc32_of(pixels, n_pixels), json_integer_value(json_object_get(golden, "pixels_crc32")));
    assert_int_equal(json_array_size(values), N_CLASSES);
    for (size_t i = 0; i < N_CLASSES; i++) {
        const double difference = fabs(logits[i] - json_number_value(json_array_get(values, i)));
        if (!(difference <= GOLDEN_TOLERANCE)) /* a NaN fails */
            fail_msg("%s: logit %zu differs by %.3g", photo->file, i, difference);
        worst = fmax(worst, difference);
    }
    return worst;
}

/* How many classes score higher than the right one. */
static size_t rank_of(const float *logits, size_t label)
{
    size_t rank = 0;
    for (size_t i = 0; i < N_CLASSES; i++)
        rank += logits[i] > logits[label];
    return rank;
}

static double nll_of(const float *logits, size_t label)
{
    double sum = 0;
    for (size_t i = 0; i < N_CLASSES; i++)
        sum += exp((double)logits[i] - (double)logits[label]);
    return log(sum);
}

static void evaluate(const lutra_model *model, const json_t *golden)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    const json_t *first = json_object_get(golden, "photos");
    static float logits[N_CLASSES];
    uint8_t *pixels = malloc(info->input_bytes);
    double nll = 0, worst = 0;
    size_t top1 = 0, top5 = 0;
    lutra_context *context;
    lutra_error error;
    assert_int_equal(info->n_classes, N_CLASSES);
    golden_check(lutra_context_create(model, &golden_f32_options, &context, &error), &error);
    for (size_t i = 0; i < n_photos; i++) {
        char *folder = golden_join(shared, "images/imagenet-sample");
        char *path = golden_join(folder, photos[i].file);
        golden_check(lutra_image_read(path, &info->preprocessing, pixels, &error), &error);
        golden_check(lutra_context_run(context, pixels, 1, logits, NULL, &error), &error);
        if (i < json_array_size(first))
            worst = fmax(
                worst, check_photo(json_array_get(first, i), &photos[i], pixels, info->input_bytes, logits));
        const size_t rank = rank_of(logits, photos[i].label);
        top1 += rank < 1;
        top5 += rank < 5;
        nll += nll_of(logits, photos[i].label) / (double)n_photos;
        free(path);
        free(folder);
    }
    print_message(
        "# %s on %s: of %zu photos top-1 %zu, top-5 %zu, mean NLL %.5f; max |difference| of logits %.2e\n",
        info->arch, lutra_context_isa(context), n_photos, top1, top5, nll, worst);
    assert_int_equal(top1, json_integer_value(json_object_get(golden, "top1")));
    assert_int_equal(top5, json_integer_value(json_object_get(golden, "top5")));
    /* The project's bound; float sums in another order move the mean by less than 1e-6. */
    assert_true(fabs(nll - json_number_value(json_object_get(golden, "nll"))) <= 1e-4);
    lutra_context_free(context);
    free(pixels);
}

static void test_model(void **state)
{
    const char *name = *state;
    const json_t *golden = json_object_get(golden_models, name);
    char file[128];
    lutra_model *model;
    lutra_error error;
    if (!shared || golden_lacks_codecs(name))
        skip();
    assert_non_null(golden);
    snprintf(file, sizeof file, "models/%s.safetensors", name);
    char *path = golden_join(shared, file);
    golden_check(lutra_model_open(path, NULL, &model, &error), &error);
    assert_string_equal(lutra_model_get_info(model)->arch_source, "file name");
    evaluate(model, golden);
    lutra_model_close(model);
    free(path);
}

static int set_up(void **state)
{
    (void)state;
    char *path = golden_path("tests/golden/shared.json");
    json_t *golden = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    free(path);
    assert_non_null(golden);
    golden_models = json_incref(json_object_get(golden, "models"));
    shared = golden_shared();
    if (shared) {
        read_labels();
        assert_int_equal(n_photos, json_integer_value(json_object_get(golden, "images")));
    }
    json_decref(golden);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(golden_models);
    free(shared);
    return 0;
}

int main(void)
{
    static char deit[] = "deit_tiny_patch16_224", vit[] = "vit_tiny_patch16_224_augreg";
    const struct CMUnitTest tests[] = {
        {.name = deit, .test_func = test_model, .initial_state = deit},
        {.name = vit, .test_func = test_model, .initial_state = vit},
    };
    return cmocka_run_group_tests_name("shared models", tests, set_up, tear_down);
}
