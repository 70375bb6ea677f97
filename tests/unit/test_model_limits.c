/* SPDX-License-Identifier: Apache-2.0 */
/* The maxima of docs/reliability.md that bound a model and its runs, at and beyond their edges; sizes whose
 * products do not fit into 32 or 64 bits; numbers that do not fit into a float. */
#include "model_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../fuzz/tiny_model.h"
#include "kernels/attention/attention.h"
#include "model/finite.h"
#include "model/labels.h"
#include "model/position.h"
#include "model/vit.h"

static const tiny_model small = {.dim = 8,
                                 .depth = 1,
                                 .n_heads = 2,
                                 .mlp_dim = 4,
                                 .patch = 1,
                                 .grid_height = 2,
                                 .grid_width = 2,
                                 .n_classes = 3,
                                 .n_registers = 1,
                                 .dtype = LUTRA_F32};

/* Another shape of a tensor, whose bytes follow; or another member of the description's `section`. */
typedef struct change {
    const char *tensor;
    size_t rank;
    int64_t shape[4];
    const char *section, *key, *json;
} change;

static void apply(json_t *header, const change *c)
{
    json_t *metadata = json_object_get(header, "__metadata__");
    if (c->tensor) {
        json_t *shape = json_array(), *entry = json_object_get(header, c->tensor);
        assert_non_null(entry);
        for (size_t i = 0; i < c->rank; i++)
            json_array_append_new(shape, json_integer((json_int_t)c->shape[i]));
        json_object_set_new(entry, "shape", shape);
    }
    if (c->section) {
        json_t *config = json_loads(json_string_value(json_object_get(metadata, "lutra.config")), 0, NULL);
        json_t *value = json_loads(c->json, JSON_DECODE_ANY, NULL);
        assert_true(config && value);
        json_object_set_new(json_object_get(config, c->section), c->key, value);
        char *text = json_dumps(config, JSON_COMPACT);
        json_object_set_new(metadata, "lutra.config", json_string(text));
        free(text);
        json_decref(config);
    }
}

/* F32 tensors one behind the other, all zeros. */
static size_t lay_out(json_t *header)
{
    const char *name;
    json_t *entry, *extent;
    json_int_t at = 0;
    json_object_foreach(header, name, entry)
    {
        json_int_t bytes = sizeof(float);
        size_t i;
        bool empty = false;
        if (strcmp(name, "__metadata__") == 0)
            continue;
        json_array_foreach(json_object_get(entry, "shape"), i, extent) empty =
            empty || json_integer_value(extent) == 0;
        json_array_foreach(json_object_get(entry, "shape"), i, extent) if (!empty) bytes *=
            json_integer_value(extent);
        bytes = empty ? 0 : bytes;
        json_object_set_new(entry, "data_offsets", json_pack("[I, I]", at, at + bytes));
        at += bytes;
    }
    return (size_t)at;
}

static lutra_status open_changed(const tiny_model *shape, const change *changes, size_t n,
                                 const lutra_model_options *options, lutra_model_info *info,
                                 lutra_error *error)
{
    size_t size;
    lutra_model *model;
    uint8_t *bytes = tiny_model_make(shape, 1, &size);
    size_t length = 0;
    for (size_t i = 8; i-- > 0;)
        length = length << 8 | bytes[i];
    json_t *header = json_loadb((const char *)bytes + 8, length, 0, NULL);
    assert_non_null(header);
    free(bytes);
    for (size_t i = 0; i < n; i++)
        apply(header, &changes[i]);
    const size_t n_data = lay_out(header);
    char *text = json_dumps(header, JSON_COMPACT);
    bytes = fixture_safetensors(text, n_data, &size);
    const lutra_status status = lutra_model_open_memory(bytes, size, options, &model, error);
    if (status == LUTRA_OK && info)
        *info = *lutra_model_get_info(model);
    if (status)
        assert_null(model);
    lutra_model_close(model);
    free(bytes);
    free(text);
    json_decref(header);
    return status;
}

static void expect(const tiny_model *shape, const change *changes, size_t n, lutra_status status,
                   const char *message)
{
    lutra_error error = {0};
    const lutra_status found = open_changed(shape, changes, n, NULL, NULL, &error);
    if (found != status || (message && !strstr(error.message, message)))
        fail_msg("%s instead of %s (%s): %s", lutra_status_name(found), lutra_status_name(status),
                 message ? message : "", error.message);
}

static void models_are_limited(void **state)
{
    (void)state;
    tiny_model wide = small, patches = small;
    expect(&small, NULL, 0, LUTRA_OK, NULL);
    /* Positions of the class token and the patches alone fit any number of registers. */
    const change positions = {.tensor = "pos_embed", .rank = 3, .shape = {1, 5, 8}};
    const change registers[] = {positions,
                                {.tensor = "reg_token", .rank = 3, .shape = {1, LUTRA_MAX_REGISTERS, 8}}};
    const change more_registers[] = {
        positions, {.tensor = "reg_token", .rank = 3, .shape = {1, LUTRA_MAX_REGISTERS + 1, 8}}};
    expect(&small, registers, 2, LUTRA_OK, NULL);
    expect(&small, more_registers, 2, LUTRA_ERROR_UNSUPPORTED, "1025 register tokens: at most 1024");

    const change classes[] = {{.tensor = "head.weight", .rank = 2, .shape = {LUTRA_MAX_LABELS, 8}},
                              {.tensor = "head.bias", .rank = 1, .shape = {LUTRA_MAX_LABELS}}};
    const change more_classes[] = {{.tensor = "head.weight", .rank = 2, .shape = {LUTRA_MAX_LABELS + 1, 8}}};
    expect(&small, classes, 2, LUTRA_OK, NULL);
    expect(&small, more_classes, 1, LUTRA_ERROR_UNSUPPORTED, "65537 classes: at most 65536");

    /* 1 + 1 + 65534 tokens, and one more; rows of positions likewise. */
    const change tokens = {.section = "preprocessing", .key = "size", .json = "[7, 8190]"};
    const change more_tokens = {.section = "preprocessing", .key = "size", .json = "[8, 8192]"};
    const change rows = {.tensor = "pos_embed", .rank = 3, .shape = {1, LUTRA_MAX_TOKENS, 8}};
    const change more_rows = {.tensor = "pos_embed", .rank = 3, .shape = {1, LUTRA_MAX_TOKENS + 1, 8}};
    expect(&small, &tokens, 1, LUTRA_OK, NULL);
    expect(&small, &more_tokens, 1, LUTRA_ERROR_UNSUPPORTED, "comes to 65538 tokens: at most 65536");
    expect(&small, &rows, 1, LUTRA_OK, NULL);
    expect(&small, &more_rows, 1, LUTRA_ERROR_UNSUPPORTED, "has 65537 rows: at most 65536");

    /* The rest of a model this wide would take gigabytes: it is refused for that, not for its width. */
    wide.n_registers = 0;
    const change dim = {.tensor = "patch_embed.proj.weight", .rank = 4, .shape = {LUTRA_MAX_INPUTS, 3, 1, 1}};
    const change more_dim = {
        .tensor = "patch_embed.proj.weight", .rank = 4, .shape = {LUTRA_MAX_INPUTS + 1, 3, 1, 1}};
    expect(&wide, &dim, 1, LUTRA_ERROR_FORMAT, "must have 163840 numbers");
    expect(&wide, &more_dim, 1, LUTRA_ERROR_UNSUPPORTED, "an embedding dimension of 32769: at most 32768");

    /* A patch's 3 channels are inputs: 104 x 104 pixels are the most. */
    patches.grid_height = patches.grid_width = 1;
    const size_t most = 104, sides[] = {most, most + 1, LUTRA_MAX_PATCH + 1};
    static const char *const messages[] = {NULL, "has more than 32768 inputs",
                                           "must have the shape [dim][3][patch][patch]"};
    for (size_t i = 0; i < 3; i++) {
        const int64_t side = (int64_t)sides[i];
        char size[16];
        snprintf(size, sizeof size, "%d", (int)side);
        const change patch = {.tensor = "patch_embed.proj.weight",
                              .rank = 4,
                              .shape = {i == 2 ? 1 : 8, 3, side, side},
                              .section = "preprocessing",
                              .key = "size",
                              .json = size};
        expect(&patches, &patch, 1, i == 0 ? LUTRA_OK : LUTRA_ERROR_UNSUPPORTED, messages[i]);
    }
}

static void pictures_for_a_model_are_limited(void **state)
{
    (void)state;
    lutra_error error;
    lutra_model_info info;
    tiny_model model = small;
    model.patch = 64;
    const lutra_model_options edge = {.image_size = LUTRA_MAX_SIDE_OF_INPUT};
    const lutra_model_options beyond = {.image_size = LUTRA_MAX_SIDE_OF_INPUT + 64};
    assert_int_equal(open_changed(&model, NULL, 0, &edge, &info, &error), LUTRA_OK);
    assert_int_equal(info.n_tokens, 2 + 128 * 128);
    assert_int_equal(open_changed(&model, NULL, 0, &beyond, &info, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "at most 8192"));
}

static void runs_are_limited(void **state)
{
    (void)state;
    size_t size;
    lutra_model *model;
    lutra_context *context;
    lutra_error error;
    uint8_t *bytes = tiny_model_make(&small, 1, &size);
    assert_int_equal(lutra_model_open_memory(bytes, size, NULL, &model, &error), LUTRA_OK);
    const struct {
        lutra_context_options options;
        lutra_status status;
        const char *message;
    } cases[] = {{{.max_batch = 1024, .n_threads = 1}, LUTRA_OK, ""},
                 {{.max_batch = 1025, .n_threads = 1}, LUTRA_ERROR_ARGUMENT, "a batch of 1025: at most 1024"},
                 {{.max_batch = SIZE_MAX, .n_threads = 1}, LUTRA_ERROR_ARGUMENT, "at most 1024"},
                 {{.n_threads = LUTRA_MAX_THREADS}, LUTRA_OK, ""},
                 {{.n_threads = LUTRA_MAX_THREADS + 1}, LUTRA_ERROR_ARGUMENT, "64"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const lutra_status status = lutra_context_create(model, &cases[i].options, &context, &error);
        if (status != cases[i].status || (status && !strstr(error.message, cases[i].message)))
            fail_msg("case %zu: %s", i, lutra_status_name(status));
        lutra_context_free(context);
    }
    lutra_model_close(model);
    free(bytes);
}

/* Modulo 2^32 the scratch of the widest head on 61 threads, which are allowed, came to less than one's. */
static void scratch_that_overflows_is_refused(void **state)
{
    (void)state;
    size_t one, bytes;
    assert_true(lutra_attention_scratch(LUTRA_MAX_INPUTS, 1, &one));
    const size_t most = SIZE_MAX / one;
    assert_true(lutra_attention_scratch(LUTRA_MAX_INPUTS, most, &bytes));
    assert_int_equal(bytes, most * one);
    assert_false(lutra_attention_scratch(LUTRA_MAX_INPUTS, most + 1, &bytes));
}

/* A tensor without elements may declare any shape. These had products that came to small numbers modulo 2^64
 * (or 2^32), so that what they are compared with agreed. */
static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    tiny_model wide = small;
    wide.dim = 16;
    const bool is_short = sizeof(size_t) < sizeof(uint64_t); /* the reader refuses such an extent */
    const lutra_status status = is_short ? LUTRA_ERROR_FORMAT : LUTRA_ERROR_UNSUPPORTED;
    const change rows = {.tensor = "pos_embed", .rank = 3, .shape = {1, 5, 8}};
    const change registers[] = {rows, {.tensor = "reg_token", .rank = 3, .shape = {1, (int64_t)1 << 61, 0}}};
    const change short_registers[] = {rows,
                                      {.tensor = "reg_token", .rank = 3, .shape = {1, (int64_t)1 << 29, 0}}};
    const change positions = {.tensor = "pos_embed", .rank = 3, .shape = {1, (int64_t)1 << 60, 0}};
    const change short_positions = {.tensor = "pos_embed", .rank = 3, .shape = {1, (int64_t)1 << 28, 0}};
    expect(&small, registers, 2, status, is_short ? "overflows" : "register tokens: at most 1024");
    expect(&small, short_registers, 2, LUTRA_ERROR_UNSUPPORTED, "register tokens: at most 1024");
    expect(&wide, &positions, 1, status, is_short ? "overflows" : "rows: at most 65536");
    expect(&wide, &short_positions, 1, LUTRA_ERROR_UNSUPPORTED, "rows: at most 65536");
    /* A grid of 65536 x 65536 has 0 patches modulo 2^32: the positions' one row is then the class token's,
     * and the grid would be read far beyond it. There is a grid of 1 x 1 instead. */
    const change grid[] = {{.tensor = "pos_embed", .rank = 3, .shape = {1, 1, 8}},
                           {.section = "model", .key = "image_size", .json = "65536"}};
    expect(&small, grid, 2, LUTRA_OK, NULL);
}

/* Of a column of positions for a row of patches, one of the two ways to the new grid leads over 65534 x 8190
 * positions: 17 GB here. */
static void positions_need_no_more_than_their_grids(void **state)
{
    (void)state;
    struct rusage before, after;
    const change column[] = {{.tensor = "pos_embed", .rank = 3, .shape = {1, LUTRA_MAX_TOKENS, 8}},
                             {.section = "model", .key = "image_size", .json = "[65534, 1]"},
                             {.section = "preprocessing", .key = "size", .json = "[1, 8190]"}};
    const change row[] = {column[0],
                          {.section = "model", .key = "image_size", .json = "[1, 65534]"},
                          {.section = "preprocessing", .key = "size", .json = "[8190, 1]"}};
    getrusage(RUSAGE_SELF, &before);
    expect(&small, column, 3, LUTRA_OK, NULL);
    expect(&small, row, 3, LUTRA_OK, NULL);
    getrusage(RUSAGE_SELF, &after);
    assert_in_range(after.ru_maxrss - before.ru_maxrss, 0, 512 << 10); /* KiB */
}

static void all_positions_equal(const float *positions, size_t n, double value)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)positions[i] - value) <= 1e-6)) /* a NaN fails */
            fail_msg("position %zu is %g instead of %g", i, (double)positions[i], value);
}

/* Whichever way is taken: equal positions stay, and those of a column are its own resampled, side by side. */
static void both_ways_to_a_grid_lead_to_the_same(void **state)
{
    (void)state;
    enum { LONG = 48, WIDE = 20, SHORT = 2 };
    float from[LONG], ones[LONG], column[SHORT], to[SHORT * WIDE];
    for (size_t i = 0; i < LONG; i++) {
        from[i] = (float)(i * i % 17);
        ones[i] = 1;
    }
    for (int antialias = 0; antialias <= 1; antialias++) {
        assert_int_equal(lutra_resample_positions(ones, LONG, 1, to, SHORT, WIDE, 1, antialias, NULL),
                         LUTRA_OK);
        all_positions_equal(to, SHORT * WIDE, 1);
        assert_int_equal(lutra_resample_positions(from, LONG, 1, column, SHORT, 1, 1, antialias, NULL),
                         LUTRA_OK);
        assert_int_equal(lutra_resample_positions(from, LONG, 1, to, SHORT, WIDE, 1, antialias, NULL),
                         LUTRA_OK);
        for (size_t y = 0; y < SHORT; y++)
            all_positions_equal(to + y * WIDE, WIDE, (double)column[y]);
        assert_int_equal(lutra_resample_positions(from, 1, LONG, to, WIDE, SHORT, 1, antialias, NULL),
                         LUTRA_OK);
        for (size_t x = 0; x < SHORT; x++)
            for (size_t y = 0; y < WIDE; y++)
                all_positions_equal(to + y * SHORT + x, 1, (double)column[x]);
    }
}

/* Of its matrices no row would fit a buffer: an export divided by their 0 inputs. */
static void a_hidden_layer_is_not_empty(void **state)
{
    (void)state;
    const change none[] = {{.tensor = "blocks.0.mlp.fc1.weight", .rank = 2, .shape = {0, 8}},
                           {.tensor = "blocks.0.mlp.fc1.bias", .rank = 1, .shape = {0}},
                           {.tensor = "blocks.0.mlp.fc2.weight", .rank = 2, .shape = {8, 0}}};
    expect(&small, none, 3, LUTRA_ERROR_FORMAT, "an MLP of 0 neurons");
}

/* What a double holds and a float does not became infinite, or 0 to divide by, when a model was run. */
static void numbers_fit_floats(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"{\"eps\": 3e38, \"mean\": [-3e38, 0, 3e38]}", true},
                 {"{\"eps\": 1.2e-38}", true},
                 {"{\"eps\": 1e39}", false},
                 {"{\"eps\": 1e-39}", false},
                 {"{\"eps\": 0}", false},
                 {"{\"mean\": [0, 0, 1e39]}", false},
                 {"{\"mean\": [-1e300, 0, 0]}", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *json = json_loads(cases[i].text, 0, NULL);
        double eps = 1;
        float mean[3];
        lutra_error error;
        lutra_status status = lutra_config_number(json, "eps", "config.json", &eps, &error);
        if (status == LUTRA_OK)
            status = lutra_config_rgb(json, "mean", "config.json", mean, &error);
        if (status != (cases[i].good ? LUTRA_OK : LUTRA_ERROR_FORMAT))
            fail_msg("%s: %s", cases[i].text, lutra_status_name(status));
        json_decref(json);
    }
}

/* Weights in double precision are used as floats: the edge is where the nearest float is infinite. */
static void doubles_fit_floats(void **state)
{
    (void)state;
    const double edge = 0x1.ffffffp127;
    const struct {
        double value;
        bool good;
    } cases[] = {{nextafter(edge, 0), true},
                 {-nextafter(edge, 0), true},
                 {edge, false},
                 {-edge, false},
                 {1e300, false},
                 {INFINITY, false},
                 {NAN, false},
                 {5e-324, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double values[] = {1, cases[i].value};
        const lutra_tensor tensor = {
            .name = "w", .dtype = LUTRA_F64, .n_elements = 2, .data = (const uint8_t *)values};
        lutra_error error;
        const lutra_status status = lutra_check_finite(&tensor, &error);
        assert_int_equal(status, cases[i].good ? LUTRA_OK : LUTRA_ERROR_FORMAT);
        if (status)
            assert_non_null(strstr(error.message, "what no finite float holds at element 1"));
    }
}

static lutra_status rescale(const char *factor, lutra_error *error)
{
    char text[128];
    lutra_vit_settings settings;
    snprintf(text, sizeof text, "{\"image_processor_type\": \"ViTImageProcessor\", \"rescale_factor\": %s}",
             factor);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    lutra_vit_settings_init(&settings);
    const lutra_status status =
        lutra_vit_settings_from_preprocessor(json, "preprocessor_config.json", "vit", &settings, error);
    lutra_vit_settings_free(&settings);
    json_decref(json);
    return status;
}

static void a_factor_leaves_something_to_divide_by(void **state)
{
    (void)state;
    lutra_error error;
    assert_int_equal(rescale("0.00392156862745098", &error), LUTRA_OK);
    assert_int_equal(rescale("1", &error), LUTRA_OK);
    assert_int_equal(rescale("1e4", &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "\"rescale_factor\" is out of range"));
    assert_int_equal(rescale("1e-37", &error), LUTRA_OK);
    assert_int_equal(rescale("1e38", &error), LUTRA_ERROR_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_are_limited),
        cmocka_unit_test(pictures_for_a_model_are_limited),
        cmocka_unit_test(runs_are_limited),
        cmocka_unit_test(scratch_that_overflows_is_refused),
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(positions_need_no_more_than_their_grids),
        cmocka_unit_test(both_ways_to_a_grid_lead_to_the_same),
        cmocka_unit_test(a_hidden_layer_is_not_empty),
        cmocka_unit_test(numbers_fit_floats),
        cmocka_unit_test(doubles_fit_floats),
        cmocka_unit_test(a_factor_leaves_something_to_divide_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
