/* SPDX-License-Identifier: Apache-2.0 */
#include "model_fixture.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/half.h"
#include "compress/sha256.h"

#define GOLDEN "timm-token"

/* ---- 16-bit floats ----------------------------------------------------------------------------- */

/* Every half is its own nearest; of two neighbours the nearer is chosen, the even one halfway. */
static void check_rounding(float (*widen)(uint16_t), uint16_t (*narrow)(float), uint16_t infinity)
{
    for (unsigned sign = 0; sign < 2; sign++) {
        for (unsigned bits = 0; bits < infinity; bits++) {
            const uint16_t half = (uint16_t)(bits | sign << 15);
            const float value = widen(half);
            assert_int_equal(narrow(value), half);
            if (bits + 1 == infinity)
                continue;
            const float next = widen((uint16_t)(half + 1)), middle = value / 2 + next / 2;
            if (bits < 2 && infinity == 0x7f80) /* halfway is below the least float */
                continue;
            assert_int_equal(narrow(middle), bits % 2 ? half + 1 : half);
            assert_int_equal(narrow(nextafterf(middle, value)), half);
            assert_int_equal(narrow(nextafterf(middle, next)), half + 1);
        }
    }
}

static void test_rounding_to_halves(void **state)
{
    (void)state;
    check_rounding(lutra_f16_to_f32, lutra_f32_to_f16, 0x7c00);
    check_rounding(lutra_bf16_to_f32, lutra_f32_to_bf16, 0x7f80);
    assert_int_equal(lutra_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(lutra_f32_to_f16(65520), 0x7c00);
    assert_int_equal(lutra_f32_to_f16(-3e38f), 0xfc00);
    assert_int_equal(lutra_f32_to_f16(1e-30f), 0);
    assert_int_equal(lutra_f32_to_bf16(3.4e38f), 0x7f80);
}

/* ---- SHA-256 ----------------------------------------------------------------------------------- */

static void check_hash(const char *text, size_t repeated, size_t piece, const char *expected)
{
    const size_t n = strlen(text) * repeated;
    char hex[65], *all = malloc(n + 1);
    lutra_sha256 hash;
    for (size_t i = 0; i < repeated; i++)
        memcpy(all + i * strlen(text), text, strlen(text));
    lutra_sha256_start(&hash);
    for (size_t at = 0; at < n; at += piece)
        lutra_sha256_add(&hash, all + at, n - at < piece ? n - at : piece);
    lutra_sha256_end(&hash, hex);
    assert_string_equal(hex, expected);
    free(all);
}

/* Digests from FIPS 180-4's examples (the first four) and from Python 3.11's hashlib. */
static void test_sha256(void **state)
{
    (void)state;
    const char *long_text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    check_hash("", 0, 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check_hash("abc", 1, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_hash(long_text, 1, 9, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    check_hash("a", 1000000, 4097, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    check_hash("0123456", 8, 64,
               "bfad54d37b27d8535667e87dbf6b4f31c8c56973e382777b37bc7912602860ab"); /* 56 and 63 bytes: the
                                                                                       padding spills over */
    check_hash("0123456", 9, 10, "72a708b1b5f51daa2629645c375464dd0c2e9e576d11cc8459df86a1227f3f9f");
}

/* ---- files ------------------------------------------------------------------------------------- */

typedef struct watch {
    uint64_t last, total, calls, stop_at; /* stop_at: the call that cancels; 0: none */
    bool in_parts;                        /* each of which counts anew */
} watch;

static bool look(void *user, const char *what, uint64_t done, uint64_t total)
{
    watch *w = user;
    assert_true(*what && done <= total);
    assert_true(w->in_parts || (done >= w->last && (w->calls == 0 || total == w->total)));
    w->last = done;
    w->total = total;
    return ++w->calls != w->stop_at;
}

static lutra_status cluster(const char *input, const char *output, lutra_cluster_options options, watch *w,
                            lutra_cluster_report *report, lutra_error *error)
{
    options.n_clusters = options.n_clusters ? options.n_clusters : 16;
    options.n_threads = 2;
    options.progress = w ? look : NULL;
    options.progress_user = w;
    return lutra_cluster_file(input, output, &options, report, error);
}

static char *golden_folder(void)
{
    char *folder = fixture_folder();
    fixture_write_model(folder, GOLDEN, &(tensor_edit){EDIT_NONE, NULL, NULL, 0, 0});
    fixture_write_config(folder, GOLDEN, "{}");
    return folder;
}

static void assert_absent(const char *path)
{
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_report_agrees_with_the_file(void **state)
{
    (void)state;
    char *folder = golden_folder(), *out = fixture_path(folder, "out.safetensors");
    lutra_cluster_report report;
    lutra_error error;
    lutra_safetensors *file;
    watch w = {0};
    const lutra_scope scopes[] = {LUTRA_SCOPE_ROW, LUTRA_SCOPE_TENSOR, LUTRA_SCOPE_MODEL};
    for (size_t i = 0; i < 3; i++) {
        w = (watch){0};
        assert_int_equal(
            cluster(folder, out, (lutra_cluster_options){.scope = scopes[i]}, &w, &report, &error), LUTRA_OK);
        double squared_error = 0;
        uint64_t n = 0, parts = 0;
        for (size_t t = 0; t < report.n_tensors; t++) {
            squared_error += report.tensors[t].squared_error;
            n += report.tensors[t].n * report.tensors[t].k;
            assert_int_equal(report.tensors[t].bits, 4);
        }
        assert_int_equal(lutra_safetensors_open(out, &file, &error), LUTRA_OK);
        for (size_t t = 0; t < lutra_safetensors_count(file); t++) {
            const lutra_tensor *tensor = lutra_safetensors_at(file, t);
            const char *dot = strrchr(tensor->name, '.');
            if (dot && (!strcmp(dot, ".indices") || !strcmp(dot, ".scale") || !strcmp(dot, ".codebook")))
                parts += tensor->bytes;
        }
        assert_int_equal(report.n_clustered, n);
        assert_int_equal(report.bytes_out, lutra_safetensors_bytes(file));
        assert_true(fabs(report.bits_per_weight - 8 * (double)parts / (double)n) < 1e-9);
        assert_true(fabs(report.squared_error - squared_error) <= 1e-9 * squared_error);
        assert_true(report.squared_error > 0 && report.optimality_gap <= 0.001);
        assert_true(w.last == w.total && w.calls > report.n_tensors);
        lutra_safetensors_close(file);
        lutra_cluster_report_free(&report);
    }
    free(out);
    fixture_remove(folder);
}

static void test_cancelled_at_any_point_nothing_is_left(void **state)
{
    (void)state;
    char *folder = golden_folder(), *out = fixture_path(folder, "out.safetensors");
    char *temporary = fixture_path(folder, ".out.safetensors.lutra-tmp");
    lutra_error error;
    watch whole = {0};
    assert_int_equal(
        cluster(folder, out, (lutra_cluster_options){.scope = LUTRA_SCOPE_ROW}, &whole, NULL, &error),
        LUTRA_OK);
    unlink(out);
    for (uint64_t call = 1; call <= whole.calls; call++) {
        watch w = {.stop_at = call};
        assert_int_equal(
            cluster(folder, out, (lutra_cluster_options){.scope = LUTRA_SCOPE_ROW}, &w, NULL, &error),
            LUTRA_ERROR_CANCELLED);
        assert_int_equal(w.calls, call);
        assert_absent(out);
        assert_absent(temporary);
    }
    for (uint64_t call = 1; call <= 3; call++) {
        watch w = {.stop_at = call};
        assert_int_equal(lutra_export_file(folder, out, LUTRA_F32, look, &w, &error), LUTRA_ERROR_CANCELLED);
        w = (watch){.stop_at = call};
        assert_int_equal(lutra_random_file("vit_tiny_patch16_224", 1, out, look, &w, &error),
                         LUTRA_ERROR_CANCELLED);
        assert_absent(out);
        assert_absent(temporary);
    }
    free(out);
    free(temporary);
    fixture_remove(folder);
}

/* Replaces one shard and removes another as soon as the job has begun. */
static bool disturb(void *user, const char *what, uint64_t done, uint64_t total)
{
    const char *folder = user;
    char *one = fixture_path(folder, "model-00002-of-00003.safetensors");
    char *other = fixture_path(folder, "model-00003-of-00003.safetensors");
    (void)what, (void)done, (void)total;
    rename(other, one);
    free(one);
    free(other);
    return true;
}

/* What is said of the source is said of the weights that were clustered. */
static void test_shards_that_are_replaced_meanwhile(void **state)
{
    (void)state;
    static const char *const files[] = {"config.json",
                                        "preprocessor_config.json",
                                        "model.safetensors.index.json",
                                        "model-00001-of-00003.safetensors",
                                        "model-00002-of-00003.safetensors",
                                        "model-00003-of-00003.safetensors"};
    char *folder = fixture_folder(), *out = fixture_path(folder, "out.safetensors");
    uint8_t *bytes[2];
    size_t n[2];
    lutra_cluster_report reports[2];
    lutra_error error;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = fixture_golden("hf-vit-sharded", files[i]);
        uint8_t *file = fixture_read(path, &n[0]);
        fixture_write_bytes(folder, files[i], file, n[0]);
        free(file);
        free(path);
    }
    for (size_t i = 0; i < 2; i++) {
        const lutra_cluster_options options = {
            .n_clusters = 16, .n_threads = 1, .progress = i == 1 ? disturb : NULL, .progress_user = folder};
        assert_int_equal(lutra_cluster_file(folder, out, &options, &reports[i], &error), LUTRA_OK);
        bytes[i] = fixture_read(out, &n[i]);
    }
    assert_string_equal(reports[0].source_sha256, reports[1].source_sha256);
    assert_true(n[0] == n[1] && memcmp(bytes[0], bytes[1], n[0]) == 0);
    for (size_t i = 0; i < 2; i++) {
        lutra_cluster_report_free(&reports[i]);
        free(bytes[i]);
    }
    free(out);
    fixture_remove(folder);
}

#define N_PICTURES 20

/* Pictures of the golden model's size, each of another pattern; free with free(). */
static uint8_t *make_pictures(const char *folder)
{
    lutra_model *model;
    lutra_error error;
    assert_int_equal(lutra_model_open(folder, NULL, &model, &error), LUTRA_OK);
    const size_t bytes = lutra_model_get_info(model)->input_bytes;
    lutra_model_close(model);
    uint8_t *pixels = malloc(N_PICTURES * bytes);
    for (size_t i = 0; i < N_PICTURES * bytes; i++)
        pixels[i] = (uint8_t)(i * (3 + i / bytes) % 251);
    return pixels;
}

/* While sensitivities are measured and while the model is clustered, once or more often. */
static void test_a_budget_cancelled_leaves_nothing(void **state)
{
    (void)state;
    char *folder = golden_folder(), *out = fixture_path(folder, "out.safetensors");
    char *temporary = fixture_path(folder, ".out.safetensors.lutra-tmp");
    uint8_t *pixels = make_pictures(folder);
    const lutra_cluster_options options = {.budget_unit = LUTRA_BUDGET_KL,
                                           .budget = 0.01,
                                           .calibration_pixels = pixels,
                                           .n_calibration_pictures = N_PICTURES - 4,
                                           .n_validation_pictures = 4};
    lutra_cluster_report report;
    lutra_error error;
    watch whole = {.in_parts = true};
    assert_int_equal(cluster(folder, out, options, &whole, &report, &error), LUTRA_OK);
    assert_true(report.chosen.kl > 0 && report.chosen.kl <= 0.01);
    lutra_cluster_report_free(&report);
    unlink(out);
    for (uint64_t call = 1; call <= whole.calls; call += 1 + whole.calls / 40) {
        watch w = {.stop_at = call, .in_parts = true};
        assert_int_equal(cluster(folder, out, options, &w, NULL, &error), LUTRA_ERROR_CANCELLED);
        assert_int_equal(w.calls, call);
        assert_absent(out);
        assert_absent(temporary);
    }
    free(out);
    free(temporary);
    free(pixels);
    fixture_remove(folder);
}

/* Calls between those of the gradients and the first of a matrix. */
typedef struct gap {
    bool counts;
    size_t n_calls, least, n_gaps;
} gap;

static bool count_in_gaps(void *user, const char *what, uint64_t done, uint64_t total)
{
    gap *g = user;
    (void)done, (void)total;
    if (strcmp(what, "gradients") == 0) {
        g->counts = true;
        g->n_calls = 0;
    } else if (g->counts && strstr(what, ".weight")) {
        g->counts = false;
        g->least = g->n_calls < g->least ? g->n_calls : g->least;
        g->n_gaps++;
    } else if (g->counts) {
        g->n_calls++;
    }
    return true;
}

/* It takes seconds to minutes, in which the caller may want to stop: while losses of widths are measured and
 * before the model is clustered. */
static void test_the_dense_model_runs_step_by_step(void **state)
{
    (void)state;
    char *folder = golden_folder(), *out = fixture_path(folder, "out.safetensors");
    uint8_t *pixels = make_pictures(folder);
    gap g = {.least = SIZE_MAX};
    const lutra_cluster_options options = {.budget_unit = LUTRA_BUDGET_BITS,
                                           .budget = 3,
                                           .calibration_pixels = pixels,
                                           .n_calibration_pictures = N_PICTURES,
                                           .n_threads = 1,
                                           .progress = count_in_gaps,
                                           .progress_user = &g};
    lutra_model *model;
    lutra_error error;
    assert_int_equal(lutra_cluster_file(folder, out, &options, NULL, &error), LUTRA_OK);
    assert_int_equal(lutra_model_open(folder, NULL, &model, &error), LUTRA_OK);
    assert_int_equal(g.n_gaps, 2);
    assert_true(g.least >= lutra_model_n_steps(model));
    lutra_model_close(model);
    free(out);
    free(pixels);
    fixture_remove(folder);
}

typedef struct hold {
    const char *temporary;
    int first; /* the temporary, open since the first call, so that its number is no other file's; -1 */
} hold;

static bool look_at_temporary(void *user, const char *what, uint64_t done, uint64_t total)
{
    hold *h = user;
    struct stat first, now;
    (void)what, (void)done, (void)total;
    if (h->first < 0)
        h->first = open(h->temporary, O_RDONLY);
    assert_int_equal(fstat(h->first, &first), 0);
    assert_int_equal(stat(h->temporary, &now), 0);
    assert_true(now.st_dev == first.st_dev && now.st_ino == first.st_ino);
    return true;
}

/* Rounds and tries of a budget write to the one temporary file, locked all the time. */
static void test_a_budget_keeps_its_output_to_itself(void **state)
{
    (void)state;
    char *folder = golden_folder(), *out = fixture_path(folder, "out.safetensors");
    char *temporary = fixture_path(folder, ".out.safetensors.lutra-tmp");
    uint8_t *pixels = make_pictures(folder);
    lutra_cluster_report report;
    lutra_error error;
    for (int i = 0; i < 2; i++) {
        hold h = {temporary, -1};
        const lutra_cluster_options options = {.budget_unit = i ? LUTRA_BUDGET_BYTES : LUTRA_BUDGET_KL,
                                               .budget = i ? 16000 : 0.1,
                                               .calibration_pixels = pixels,
                                               .n_calibration_pictures = N_PICTURES - 4,
                                               .n_validation_pictures = 4,
                                               .n_threads = 1,
                                               .progress = look_at_temporary,
                                               .progress_user = &h};
        assert_int_equal(lutra_cluster_file(folder, out, &options, &report, &error), LUTRA_OK);
        assert_true(i || report.n_rounds > 1);
        lutra_cluster_report_free(&report);
        close(h.first);
    }
    free(out);
    free(temporary);
    free(pixels);
    fixture_remove(folder);
}

static void test_export_brings_the_dense_model_back(void **state)
{
    (void)state;
    char *folder = golden_folder(), *input = fixture_path(folder, "model.safetensors");
    char *out = fixture_path(folder, "out.safetensors");
    const lutra_dtype types[] = {LUTRA_F32, LUTRA_F16, LUTRA_BF16};
    lutra_safetensors *before, *after;
    lutra_error error;
    for (size_t i = 0; i < 3; i++) {
        watch w = {0};
        assert_int_equal(lutra_export_file(folder, out, types[i], look, &w, &error), LUTRA_OK);
        assert_true(w.last == w.total);
        assert_int_equal(lutra_safetensors_open(input, &before, &error), LUTRA_OK);
        assert_int_equal(lutra_safetensors_open(out, &after, &error), LUTRA_OK);
        assert_string_equal(lutra_safetensors_metadata(after, "format"), "pt");
        assert_int_equal(lutra_safetensors_count(before), lutra_safetensors_count(after));
        for (size_t t = 0; t < lutra_safetensors_count(before); t++) {
            const lutra_tensor *source = lutra_safetensors_at(before, t);
            const lutra_tensor *made = lutra_safetensors_find(after, source->name);
            assert_non_null(made);
            assert_int_equal(made->dtype, types[i]);
            assert_int_equal(made->rank, source->rank);
            assert_memory_equal(made->shape, source->shape, source->rank * sizeof *made->shape);
            assert_int_equal(source->dtype, LUTRA_F32);
            for (size_t e = 0; e < source->n_elements; e++) {
                float value;
                uint16_t half;
                memcpy(&value, source->data + 4 * e, 4);
                memcpy(&half, made->data + 2 * e, 2);
                if (types[i] == LUTRA_F32)
                    assert_memory_equal(made->data + 4 * e, &value, 4);
                else
                    assert_int_equal(half, types[i] == LUTRA_F16 ? lutra_f32_to_f16(value)
                                                                 : lutra_f32_to_bf16(value));
            }
        }
        lutra_safetensors_close(before);
        lutra_safetensors_close(after);
    }
    assert_int_equal(lutra_export_file(folder, out, LUTRA_I8, NULL, NULL, &error), LUTRA_ERROR_ARGUMENT);
    free(input);
    free(out);
    fixture_remove(folder);
}

/* The description travels with the weights: no config.json beside them is needed any more. */
static void test_clustered_and_exported_files_stand_alone(void **state)
{
    (void)state;
    char *folder = golden_folder(), *clustered = fixture_path(folder, "clustered.safetensors");
    char *other = fixture_folder(), *dense = fixture_path(other, "dense.safetensors");
    lutra_error error;
    lutra_model *models[3];
    assert_int_equal(
        cluster(folder, clustered, (lutra_cluster_options){.scope = LUTRA_SCOPE_ROW}, NULL, NULL, &error),
        LUTRA_OK);
    assert_int_equal(lutra_export_file(clustered, dense, LUTRA_F32, NULL, NULL, &error), LUTRA_OK);
    const char *paths[] = {folder, clustered, dense};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(lutra_model_open(paths[i], NULL, &models[i], &error), LUTRA_OK);
    for (size_t i = 1; i < 3; i++) {
        const lutra_model_info *a = lutra_model_get_info(models[0]), *b = lutra_model_get_info(models[i]);
        assert_int_equal(a->n_parameters, b->n_parameters);
        assert_int_equal(a->macs, b->macs);
        assert_int_equal(a->n_heads, b->n_heads);
        assert_memory_equal(a->preprocessing.mean, b->preprocessing.mean, sizeof a->preprocessing.mean);
        assert_true(a->preprocessing.crop_pct >= b->preprocessing.crop_pct &&
                    a->preprocessing.crop_pct <= b->preprocessing.crop_pct);
    }
    assert_true(lutra_model_get_info(models[1])->n_clustered > 0);
    assert_int_equal(lutra_model_get_info(models[2])->n_clustered, 0);
    for (size_t i = 0; i < 3; i++)
        lutra_model_close(models[i]);
    /* What is clustered is not clustered again. */
    assert_int_equal(
        cluster(clustered, dense, (lutra_cluster_options){.scope = LUTRA_SCOPE_ROW}, NULL, NULL, &error),
        LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "clustered already"));
    assert_non_null(strstr(error.message, clustered));
    free(clustered);
    free(dense);
    fixture_remove(folder);
    fixture_remove(other);
}

/* Calls for each number of the tensors whose names hold `part`. */
static void each_number(const lutra_safetensors *file, uint8_t *bytes, const char *part,
                        void (*visit)(float *value, int *exponent), int *exponent)
{
    for (size_t t = 0; t < lutra_safetensors_count(file); t++) {
        const lutra_tensor *tensor = lutra_safetensors_at(file, t);
        for (size_t i = 0; strstr(tensor->name, part) && i < tensor->n_elements; i++) {
            float value;
            assert_int_equal(tensor->dtype, LUTRA_F32);
            memcpy(&value, bytes + tensor->offset + 4 * i, 4);
            visit(&value, exponent);
            memcpy(bytes + tensor->offset + 4 * i, &value, 4);
        }
    }
}

static void note_exponent(float *value, int *exponent)
{
    if (*value != 0 && ilogbf(*value) > *exponent)
        *exponent = ilogbf(*value);
}

static void multiply_by_power(float *value, int *exponent)
{
    *value = ldexpf(*value, *exponent);
}

/* The clustered file with a power of two moved from the scales to the codebooks, so that the largest entry
 * lies in 2^exponent..2^(exponent + 1). */
static void move_power(const char *path, int exponent, const char *folder, const char *name)
{
    lutra_safetensors *file;
    lutra_error error;
    size_t size;
    int largest = -1000;
    uint8_t *bytes = fixture_read(path, &size);
    assert_int_equal(lutra_safetensors_open(path, &file, &error), LUTRA_OK);
    each_number(file, bytes, "codebook", note_exponent, &largest);
    int up = exponent - largest, down = -up;
    each_number(file, bytes, "codebook", multiply_by_power, &up);
    each_number(file, bytes, ".scale", multiply_by_power, &down);
    lutra_safetensors_close(file);
    fixture_write_bytes(folder, name, bytes, size);
    free(bytes);
}

static void run_once(const char *path, lutra_mode mode, float *logits)
{
    lutra_model *model;
    lutra_context *context;
    lutra_error error;
    if (lutra_model_open(path, NULL, &model, &error))
        fail_msg("%s", error.message);
    const lutra_model_info *info = lutra_model_get_info(model);
    const lutra_context_options options = {.n_threads = 1, .mode = mode};
    uint8_t *pixels = malloc(info->input_bytes);
    assert_non_null(pixels);
    assert_in_range(info->n_classes, 1, 16);
    for (size_t i = 0; i < info->input_bytes; i++)
        pixels[i] = (uint8_t)(i * 151 >> 2);
    assert_int_equal(lutra_context_create(model, &options, &context, &error), LUTRA_OK);
    assert_int_equal(lutra_context_run(context, pixels, 1, logits, NULL, &error), LUTRA_OK);
    free(pixels);
    lutra_context_free(context);
    lutra_model_close(model);
}

/* A weight is the product of an entry and a scale, however that is shared out between them. */
static void test_entries_of_any_size(void **state)
{
    (void)state;
    static const lutra_scope scopes[] = {LUTRA_SCOPE_ROW, LUTRA_SCOPE_TENSOR, LUTRA_SCOPE_MODEL};
    static const int exponents[] = {127, -100};
    char *folder = golden_folder(), *out = fixture_path(folder, "out.safetensors");
    char *other = fixture_folder(), *back = fixture_path(other, "back"),
         *shifted = fixture_path(other, "shifted");
    lutra_error error;
    for (size_t i = 0; i < 3; i++) {
        const lutra_cluster_options options = {.scope = scopes[i], .codebook = LUTRA_CODEBOOK_F32};
        assert_int_equal(cluster(folder, out, options, NULL, NULL, &error), LUTRA_OK);
        for (size_t j = 0; j < 2; j++) {
            move_power(out, exponents[j], other, "shifted");
            move_power(shifted, 0, other, "back"); /* small scales may have lost bits */
            for (lutra_mode mode = LUTRA_MODE_F32; mode <= LUTRA_MODE_INT8; mode++) {
                float want[16] = {0}, got[16] = {0};
                run_once(back, mode, want);
                run_once(shifted, mode, got);
                assert_true(isfinite(want[0]));
                assert_memory_equal(got, want, sizeof want);
            }
        }
    }
    free(back);
    free(out);
    free(shifted);
    fixture_remove(folder);
    fixture_remove(other);
}

static void test_the_output_is_no_file_of_the_input(void **state)
{
    (void)state;
    char *folder = golden_folder(), *path = fixture_path(folder, "model.safetensors");
    size_t n, n_after;
    lutra_error error;
    const lutra_cluster_options options = {.scope = LUTRA_SCOPE_TENSOR};
    uint8_t *before = fixture_read(path, &n);
    assert_int_equal(cluster(folder, path, options, NULL, NULL, &error), LUTRA_ERROR_ARGUMENT);
    assert_string_equal(error.path, path);
    assert_int_equal(lutra_export_file(folder, path, LUTRA_BF16, NULL, NULL, &error), LUTRA_ERROR_ARGUMENT);
    uint8_t *after = fixture_read(path, &n_after);
    assert_int_equal(n, n_after);
    assert_memory_equal(before, after, n);
    free(before);
    free(after);
    free(path);
    fixture_remove(folder);
}

static void test_bad_options(void **state)
{
    (void)state;
    lutra_error error;
    const struct {
        size_t n_clusters;
        lutra_scope scope;
        lutra_codebook_type codebook;
        const char *message;
    } cases[] = {{1, LUTRA_SCOPE_ROW, LUTRA_CODEBOOK_AUTO, "between 2 and 256"},
                 {257, LUTRA_SCOPE_ROW, LUTRA_CODEBOOK_AUTO, "between 2 and 256"},
                 {256, LUTRA_SCOPE_ROW, LUTRA_CODEBOOK_I8, "at most 255"},
                 {16, LUTRA_SCOPE_MODEL, LUTRA_CODEBOOK_I8, "must be F32"}};
    for (size_t i = 0; i < 4; i++) {
        const lutra_cluster_options options = {
            .n_clusters = cases[i].n_clusters, .scope = cases[i].scope, .codebook = cases[i].codebook};
        assert_int_equal(cluster("nowhere", "nothing", options, NULL, NULL, &error), LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, cases[i].message));
    }
    const uint8_t pixel = 0;
    const lutra_cluster_options budget = {.budget_unit = LUTRA_BUDGET_BITS,
                                          .budget = 4,
                                          .calibration_pixels = &pixel,
                                          .n_calibration_pictures = 1};
    lutra_cluster_options wrong[5] = {budget, budget, budget, budget, budget};
    static const char *const says[] = {"calibration pictures", "scope model", "1 to 8", "validation pictures",
                                       "above 0"};
    wrong[0].calibration_pixels = NULL;
    wrong[1].scope = LUTRA_SCOPE_MODEL;
    wrong[2].budget = 8.5;
    wrong[3].budget_unit = LUTRA_BUDGET_KL;
    wrong[4].budget = -1;
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(cluster("nowhere", "nothing", wrong[i], NULL, NULL, &error), LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, says[i]));
    }
    const size_t counts[][2] = {{1025, 0}, {1000, 25}, {1, SIZE_MAX}, {SIZE_MAX, 2}};
    for (size_t i = 0; i < 4; i++) {
        const lutra_cluster_options many = {.n_clusters = 16,
                                            .calibration_pixels = &pixel,
                                            .n_calibration_pictures = counts[i][0],
                                            .n_validation_pictures = counts[i][1]};
        assert_int_equal(cluster("nowhere", "nothing", many, NULL, NULL, &error), LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, "at most 1024 in all"));
    }
    assert_int_equal(lutra_random_file("resnet50", 0, "nothing", NULL, NULL, &error),
                     LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "resnet50"));
}

static void test_weights_that_are_not_finite(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *out = fixture_path(folder, "out.safetensors");
    lutra_error error;
    fixture_write_config(folder, GOLDEN, "{}");
    fixture_write_model(folder, GOLDEN, &(tensor_edit){EDIT_VALUE, "blocks.0.mlp.fc1.weight", NULL, 5, NAN});
    assert_int_equal(
        cluster(folder, out, (lutra_cluster_options){.scope = LUTRA_SCOPE_ROW}, NULL, NULL, &error),
        LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "blocks.0.mlp.fc1.weight"));
    assert_non_null(strstr(error.message, "model.safetensors"));
    assert_true(error.offset != LUTRA_NO_OFFSET);
    assert_absent(out);
    free(out);
    fixture_remove(folder);
}

static void test_random_models_follow_their_seed(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = fixture_path(folder, "r.safetensors");
    uint8_t *bytes[3];
    size_t n[3];
    lutra_error error;
    lutra_model *model;
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(
            lutra_random_file("deit_tiny_distilled_patch16_224", i / 2, path, NULL, NULL, &error), LUTRA_OK);
        bytes[i] = fixture_read(path, &n[i]);
    }
    assert_true(n[0] == n[1] && n[0] == n[2] && memcmp(bytes[0], bytes[1], n[0]) == 0);
    assert_int_not_equal(memcmp(bytes[0], bytes[2], n[0]), 0);
    assert_int_equal(lutra_model_open(path, NULL, &model, &error), LUTRA_OK);
    assert_string_equal(lutra_model_get_info(model)->arch, "deit_tiny_distilled_patch16_224");
    assert_int_equal(lutra_model_get_info(model)->n_parameters, 5910800); /* timm's count */
    lutra_model_close(model);
    for (size_t i = 0; i < 3; i++)
        free(bytes[i]);
    free(path);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding_to_halves),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_report_agrees_with_the_file),
        cmocka_unit_test(test_cancelled_at_any_point_nothing_is_left),
        cmocka_unit_test(test_shards_that_are_replaced_meanwhile),
        cmocka_unit_test(test_a_budget_cancelled_leaves_nothing),
        cmocka_unit_test(test_the_dense_model_runs_step_by_step),
        cmocka_unit_test(test_a_budget_keeps_its_output_to_itself),
        cmocka_unit_test(test_export_brings_the_dense_model_back),
        cmocka_unit_test(test_clustered_and_exported_files_stand_alone),
        cmocka_unit_test(test_entries_of_any_size),
        cmocka_unit_test(test_the_output_is_no_file_of_the_input),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_weights_that_are_not_finite),
        cmocka_unit_test(test_random_models_follow_their_seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
