/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every row of the architecture table against timm's facts in archs.json, and the model cut to two blocks,
 * with weights made by the same formulas as in make_archs.py, against timm's outputs.
 */
#include "golden.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/vit_settings.h"

enum { MAX_ARCHS = 128, PIECE = 1 << 16 };

static json_t *golden_archs; /* archs.json */
static double worst_difference;

/* ---- weights, as make_archs.py makes them ------------------------------------------------------ */

/* FNV-1a. */
static uint64_t hash_of(const char *name)
{
    uint64_t value = 0xcbf29ce484222325u;
    for (; *name; name++)
        value = (value ^ (uint8_t)*name) * 0x100000001b3u;
    return value;
}

/* Number `i` of the SplitMix64 sequence that starts at `seed`. */
static uint64_t bits_at(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), n = strlen(end);
    return length >= n && strcmp(text + length - n, end) == 0;
}

static void spread_of(const char *name, size_t fan_in, double *mean, double *width)
{
    *mean = 0;
    if (ends_with(name, "gamma")) {
        *mean = *width = 0.5;
    } else if (strstr(name, "norm") && ends_with(name, "weight")) {
        *mean = 1;
        *width = 0.5;
    } else if (ends_with(name, "bias")) {
        *width = 0.25;
    } else if (strstr(name, "token") || strstr(name, "pos_embed")) {
        *width = 0.5;
    } else {
        *width = 2 / sqrt((double)fan_in);
    }
}

static void write_tensor(FILE *file, const char *name, const json_t *shape)
{
    static float piece[PIECE];
    const uint64_t seed = hash_of(name);
    uint64_t n = 1, fan_in = 1;
    double mean, width;
    for (size_t i = 0; i < json_array_size(shape); i++) {
        const uint64_t extent = (uint64_t)json_integer_value(json_array_get(shape, i));
        n *= extent;
        fan_in *= i ? extent : 1;
    }
    spread_of(name, (size_t)fan_in, &mean, &width);
    for (uint64_t i = 0; i < n;) {
        size_t m = 0;
        for (; m < PIECE && i < n; m++, i++)
            piece[m] = (float)(mean + width * ((double)(bits_at(seed, i) >> 40) / 8388608 - 1));
        assert_int_equal(fwrite(piece, sizeof *piece, m, file), m);
    }
}

static json_t *header_of(const json_t *tensors)
{
    json_t *header = json_object();
    const char *name;
    json_t *shape;
    json_int_t offset = 0;
    json_object_foreach((json_t *)(uintptr_t)tensors, name, shape)
    {
        json_int_t bytes = 4;
        for (size_t i = 0; i < json_array_size(shape); i++)
            bytes *= json_integer_value(json_array_get(shape, i));
        json_object_set_new(header, name,
                            json_pack("{s:s, s:O, s:[I,I]}", "dtype", "F32", "shape", shape, "data_offsets",
                                      offset, offset + bytes));
        offset += bytes;
    }
    return header;
}

/* The order of a header's members is that in which their tensors are written. */
static void write_model(const char *path, const json_t *tensors)
{
    json_t *header = header_of(tensors);
    char *text = json_dumps(header, JSON_COMPACT);
    assert_non_null(text);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    const uint64_t size = strlen(text);
    for (int i = 0; i < 8; i++)
        fputc((int)(size >> (8 * i) & 255), file);
    fputs(text, file);
    const char *name;
    json_t *shape;
    json_object_foreach((json_t *)(uintptr_t)tensors, name, shape) write_tensor(file, name, shape);
    assert_int_equal(fclose(file), 0);
    free(text);
    json_decref(header);
}

/* ---- the comparison ---------------------------------------------------------------------------- */

static size_t size_of(const json_t *row, const char *key)
{
    const json_t *value = json_object_get(row, key);
    assert_true(json_is_integer(value));
    return (size_t)json_integer_value(value);
}

static void check_rgb(const float *rgb, const json_t *row, const char *key)
{
    for (size_t i = 0; i < 3; i++)
        assert_float_equal(rgb[i], json_number_value(json_array_get(json_object_get(row, key), i)), 1e-7);
}

static void check_facts(const lutra_model_info *info, const lutra_vit_arch *arch, const json_t *row)
{
    assert_string_equal(info->arch, arch->name);
    assert_int_equal(arch->depth, size_of(row, "depth")); /* the model at hand is cut */
    assert_int_equal(arch->n_classes, size_of(row, "classes"));
    assert_int_equal(info->n_classes, size_of(row, "classes"));
    assert_int_equal(info->dim, size_of(row, "dim"));
    assert_int_equal(info->n_heads, size_of(row, "heads"));
    assert_int_equal(info->mlp_dim, size_of(row, "mlp_dim"));
    assert_int_equal(info->patch_size, size_of(row, "patch"));
    assert_int_equal(info->n_tokens, size_of(row, "tokens"));
    assert_int_equal(info->n_prefix_tokens, size_of(row, "prefix_tokens"));
    assert_int_equal(info->preprocessing.height, size_of(row, "image"));
    assert_int_equal(info->preprocessing.width, size_of(row, "image"));
    assert_int_equal(info->preprocessing.crop_mode, LUTRA_CROP_CENTER);
    assert_int_equal(info->preprocessing.resample, LUTRA_BICUBIC);
    assert_float_equal(info->preprocessing.crop_pct, json_number_value(json_object_get(row, "crop_pct")), 0);
    check_rgb(info->preprocessing.mean, row, "mean");
    check_rgb(info->preprocessing.std, row, "std");

    lutra_vit_settings settings;
    lutra_vit_settings_init(&settings);
    lutra_vit_settings_from_arch(arch, &settings);
    assert_float_equal(settings.eps, json_number_value(json_object_get(row, "eps")), 0);
    assert_int_equal(settings.pool, LUTRA_POOL_TOKEN);
    assert_false(settings.gelu_tanh);
}

static double check_outputs(const float *outputs, const json_t *golden)
{
    double worst = 0;
    assert_true(json_array_size(golden) > 0);
    for (size_t i = 0; i < json_array_size(golden); i++) {
        const double difference = fabs(outputs[i] - json_number_value(json_array_get(golden, i)));
        assert_true(difference <= GOLDEN_TOLERANCE);
        worst = fmax(worst, difference);
    }
    return worst;
}

static double run(const lutra_model *model, const json_t *row)
{
    const lutra_model_info *info = lutra_model_get_info(model);
    lutra_context *context;
    lutra_error error;
    golden_check(lutra_context_create(model, &golden_f32_options, &context, &error), &error);
    uint8_t *pixels = malloc(info->input_bytes);
    float *logits = calloc(info->n_classes + 1, sizeof(float)),
          *features = calloc(info->n_features, sizeof(float));
    assert_true(pixels && logits && features);
    const uint64_t seed = hash_of("pixels");
    for (size_t i = 0; i < info->input_bytes; i++)
        pixels[i] = (uint8_t)(bits_at(seed, i) >> 56);
    golden_check(lutra_context_run(context, pixels, 1, info->n_classes ? logits : NULL, features, &error),
                 &error);
    double worst = check_outputs(features, json_object_get(row, "features"));
    if (info->n_classes)
        worst = fmax(worst, check_outputs(logits, json_object_get(row, "logits")));
    free(pixels);
    free(logits);
    free(features);
    lutra_context_free(context);
    return worst;
}

static void write_config(const char *path, const char *arch, json_int_t depth)
{
    json_t *config = json_pack("{s:s, s:{s:I}}", "architecture", arch, "model_args", "depth", depth);
    assert_int_equal(json_dump_file(config, path, 0), 0);
    json_decref(config);
}

static void test_arch(void **state)
{
    const lutra_vit_arch *arch = *state;
    const json_t *row = json_object_get(json_object_get(golden_archs, "archs"), arch->name);
    if (!row)
        fail_msg("%s is not in archs.json: run make_archs.py", arch->name);
    char folder[] = "/tmp/lutra-arch-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *config = golden_join(folder, "config.json"), *weights = golden_join(folder, "model.safetensors");
    write_config(config, arch->name, json_integer_value(json_object_get(golden_archs, "depth")));
    write_model(weights, json_object_get(row, "tensors"));

    lutra_model *model;
    lutra_error error;
    const lutra_status status = lutra_model_open(folder, NULL, &model, &error);
    unlink(config);
    unlink(weights); /* stays mapped */
    rmdir(folder);
    golden_check(status, &error);
    check_facts(lutra_model_get_info(model), arch, row);
    const double worst = run(model, row);
    worst_difference = fmax(worst_difference, worst);
    print_message("# %s: max |difference| %.2e\n", arch->name, worst);
    lutra_model_close(model);
    free(config);
    free(weights);
}

/* ---- who names the architecture ---------------------------------------------------------------- */

/* The tensors of all blocks, of which archs.json has the first two. */
static json_t *full_tensors(const char *arch)
{
    const json_t *row = json_object_get(json_object_get(golden_archs, "archs"), arch);
    json_t *tensors = json_object(), *shape;
    const char *name;
    char block_name[128];
    json_object_foreach(json_object_get(row, "tensors"), name, shape)
    {
        if (strncmp(name, "blocks.", 7) != 0)
            json_object_set(tensors, name, shape);
        for (size_t i = 0; strncmp(name, "blocks.0.", 9) == 0 && i < size_of(row, "depth"); i++) {
            snprintf(block_name, sizeof block_name, "blocks.%zu.%s", i, name + 9);
            json_object_set(tensors, block_name, shape);
        }
    }
    return tensors;
}

static void check_opens_as(const char *path, const char *option, const char *arch, const char *source,
                           double crop_pct)
{
    const lutra_model_options options = {.arch = option};
    lutra_model *model;
    lutra_error error;
    golden_check(lutra_model_open(path, &options, &model, &error), &error);
    const lutra_model_info *info = lutra_model_get_info(model);
    assert_string_equal(info->arch, arch);
    assert_string_equal(info->arch_source, source);
    assert_float_equal(info->preprocessing.crop_pct, crop_pct, 0);
    lutra_model_close(model);
}

static void test_names_without_configuration(void **state)
{
    (void)state;
    char folder[] = "/tmp/lutra-arch-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *plain = golden_join(folder, "weights.safetensors"),
         *named = golden_join(folder, "deit_tiny_patch16_224-7.safetensors"),
         *other = golden_join(folder, "vit_tiny_patch16_224.dino.safetensors");
    lutra_model *model;
    lutra_error error;

    json_t *tensors = full_tensors("deit_tiny_patch16_224");
    write_model(named, tensors);
    check_opens_as(named, NULL, "deit_tiny_patch16_224", "file name", 0.875);
    check_opens_as(named, "vit_tiny_patch16_224", "vit_tiny_patch16_224", "option", 0.9);
    assert_int_equal(rename(named, other), 0);
    assert_int_equal(lutra_model_open(other, NULL, &model, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "vit_tiny_patch16_224"));
    assert_non_null(strstr(error.message, "config.json"));
    assert_int_equal(rename(other, plain), 0);
    check_opens_as(plain, "deit_tiny_patch16_224", "deit_tiny_patch16_224", "option", 0.875);
    assert_int_equal(lutra_model_open(plain, NULL, &model, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, plain));
    assert_non_null(
        strstr(error.message, "pass --arch with one of vit_tiny_patch16_224, deit_tiny_patch16_224"));
    json_decref(tensors);

    tensors = full_tensors("deit_tiny_distilled_patch16_224"); /* nothing else has these shapes */
    write_model(plain, tensors);
    check_opens_as(plain, NULL, "deit_tiny_distilled_patch16_224", "shapes", 0.875);
    json_decref(tensors);
    unlink(plain);
    rmdir(folder);
    free(plain);
    free(named);
    free(other);
}

static void check_name(const char *name, const char *row)
{
    const lutra_vit_arch *arch = lutra_vit_arch_prefix(name);
    assert_non_null(arch);
    if (lutra_vit_arch_wants_other_pictures(arch, name) != (row == NULL))
        fail_msg("%s is %s", name, row ? "refused" : "taken for a row");
    if (row)
        assert_string_equal(arch->name, row);
}

/* A name that goes on from a row's is taken for the row unless timm prepares pictures otherwise for it. */
static void test_names_that_go_on(void **state)
{
    static const struct {
        const char *name, *row; /* NULL: refused */
    } files[] = {
        {"vit_tiny_patch16_224.safetensors", "vit_tiny_patch16_224"},
        {"vit_tiny_patch16_224-dino.safetensors", NULL},
        {"vit_tiny_patch16_224.dino", NULL},
        {"vit_tiny_patch16_224_dinosaurs.safetensors", "vit_tiny_patch16_224"},
        {"vit_small_patch16_384.dino.safetensors", NULL},
        {"deit3_small_patch16_384.fb_in22k_ft_in1k.safetensors", "deit3_small_patch16_384"},
        {"vit_base_patch14_dinov2.lvd142m.safetensors", "vit_base_patch14_dinov2"},
        {"deit_base_patch16_224_clip.safetensors", "deit_base_patch16_224"},
    };
    const char *name;
    const json_t *row;
    size_t n = 0;
    (void)state;
    for (; n < sizeof files / sizeof *files; n++)
        check_name(files[n].name, files[n].row);
    json_object_foreach(json_object_get(golden_archs, "names"), name, row)
    {
        check_name(name, json_string_value(row));
        n++;
    }
    assert_true(n > 100);
}

static void set_vector(json_t *tensors, const char *name, json_int_t n)
{
    json_object_set_new(tensors, name, json_pack("[I]", n));
}

/* CLIP's models have the shapes of others and a norm before the blocks; models that were trained to pool an
 * average have the norm behind the pool. Neither is one of the known architectures, whoever names it so. */
static void test_norms_that_no_known_architecture_has(void **state)
{
    (void)state;
    static const char arch[] = "deit_tiny_distilled_patch16_224"; /* which its shapes alone would name */
    const lutra_model_options options[] = {{.arch = NULL}, {.arch = arch}};
    static const char *const norms[] = {"norm_pre", "fc_norm"};
    char folder[] = "/tmp/lutra-arch-XXXXXX", name[64];
    assert_non_null(mkdtemp(folder));
    char *plain = golden_join(folder, "weights.safetensors"),
         *named = golden_join(folder, "deit_tiny_distilled_patch16_224.safetensors");
    for (size_t i = 0; i < 2; i++) {
        json_t *tensors = full_tensors(arch);
        snprintf(name, sizeof name, "%s.bias", norms[i]);
        set_vector(tensors, name, 192);
        snprintf(name, sizeof name, "%s.weight", norms[i]);
        set_vector(tensors, name, 192);
        if (strcmp(norms[i], "fc_norm") == 0) {
            json_object_del(tensors, "norm.weight");
            json_object_del(tensors, "norm.bias");
        }
        write_model(plain, tensors);
        json_decref(tensors);
        for (size_t j = 0; j < 3; j++) {
            lutra_model *model;
            lutra_error error;
            if (j == 2)
                assert_int_equal(rename(plain, named), 0);
            assert_int_equal(lutra_model_open(j == 2 ? named : plain, &options[j % 2], &model, &error),
                             LUTRA_ERROR_ARGUMENT);
            assert_non_null(strstr(error.message, name));
            assert_non_null(strstr(error.message, "config.json"));
        }
        unlink(named);
    }
    rmdir(folder);
    free(plain);
    free(named);
}

/* Both lists are the same: a row that timm's facts are missing for, or the other way round, fails. */
static void test_complete(void **state)
{
    size_t n = 0;
    (void)state;
    while (lutra_arch_name(n)) {
        assert_string_equal(lutra_arch_name(n), lutra_vit_arch_at(n)->name);
        n++;
    }
    assert_int_equal(n, json_object_size(json_object_get(golden_archs, "archs")));
    assert_true(n >= 38);
}

int main(void)
{
    static struct CMUnitTest tests[MAX_ARCHS + 4];
    const lutra_vit_arch *arch;
    size_t n = 0;
    json_error_t json_error;
    char *path = golden_path("tests/golden/archs.json");
    golden_archs = json_load_file(path, JSON_REJECT_DUPLICATES, &json_error);
    if (!golden_archs) {
        fprintf(stderr, "%s: %s\n", path, json_error.text);
        return 1;
    }
    tests[n++] = (struct CMUnitTest){.name = "complete", .test_func = test_complete};
    tests[n++] = (struct CMUnitTest){.name = "names without configuration",
                                     .test_func = test_names_without_configuration};
    tests[n++] = (struct CMUnitTest){.name = "names that go on", .test_func = test_names_that_go_on};
    tests[n++] = (struct CMUnitTest){.name = "norms that no known architecture has",
                                     .test_func = test_norms_that_no_known_architecture_has};
    for (size_t i = 0; (arch = lutra_vit_arch_at(i)) && n < MAX_ARCHS + 4; i++)
        tests[n++] = (struct CMUnitTest){
            .name = arch->name, .test_func = test_arch, .initial_state = (void *)(uintptr_t)arch};
    const int failed = _cmocka_run_group_tests("known architectures", tests, n, NULL, NULL);
    print_message("# over %zu architectures: max |difference| %.2e, at most %.0e\n", n - 4, worst_difference,
                  GOLDEN_TOLERANCE);
    json_decref(golden_archs);
    free(path);
    return failed;
}
