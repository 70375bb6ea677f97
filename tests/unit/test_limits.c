/* SPDX-License-Identifier: Apache-2.0 */
/* The maxima of docs/reliability.md: what is at one is read, what is beyond it is refused by name before
 * memory is taken for it. Those of models and their runs are in test_model_limits.c. */
#include "model_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/safetensors_header.h"
#include "image/axis.h"
#include "image/picture.h"
#include "model/labels.h"
#include "model/vit_settings.h"

/* ---- files made of a header and zeros ---------------------------------------------------------- */

static lutra_status open_tensors(size_t n, lutra_error *error)
{
    char *header = malloc(n * 64 + 3), *at = header;
    lutra_safetensors *file;
    size_t size;
    assert_non_null(header);
    *at++ = '{';
    for (size_t i = 0; i < n; i++)
        at += snprintf(at, 64, "%s\"%zu\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                       i ? "," : "", i);
    *at++ = '}';
    *at = 0;
    uint8_t *bytes = fixture_safetensors(header, 0, &size);
    const lutra_status status = lutra_safetensors_open_memory(bytes, size, "memory", &file, error);
    if (status == LUTRA_OK) {
        assert_int_equal(lutra_safetensors_count(file), n);
        lutra_safetensors_close(file);
    }
    free(bytes);
    free(header);
    return status;
}

static void tensors_are_limited(void **state)
{
    (void)state;
    lutra_error error;
    assert_int_equal(open_tensors(LUTRA_MAX_TENSORS, &error), LUTRA_OK);
    assert_int_equal(open_tensors(LUTRA_MAX_TENSORS + 1, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "declares 65537 tensors; the limit is 65536"));
}

static void metadata_is_no_tensor_of_the_limit(void **state)
{
    (void)state;
    lutra_error error;
    lutra_safetensors *file;
    size_t size;
    /* The metadata of a file at the limit do not count: 3 entries stand for it, of which one is none. */
    uint8_t *bytes = fixture_safetensors(
        "{\"__metadata__\":{},\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, &size);
    assert_int_equal(lutra_safetensors_open_memory(bytes, size, "memory", &file, &error), LUTRA_OK);
    assert_int_equal(lutra_safetensors_count(file), 1);
    lutra_safetensors_close(file);
    free(bytes);
}

static lutra_status open_shards(const char *folder, size_t n_shards, size_t tensors_in_each,
                                lutra_error *error)
{
    char *index = malloc(n_shards * 64 + 64), *at = index;
    lutra_safetensors *file;
    assert_non_null(index);
    at += snprintf(at, 32, "{\"weight_map\":{");
    for (size_t i = 0; i < n_shards; i++) {
        char name[32];
        char *header = malloc(tensors_in_each * 80 + 3), *end = header;
        size_t size;
        assert_non_null(header);
        snprintf(name, sizeof name, "%zu.safetensors", i);
        at += sprintf(at, "%s\"%zu.0\":\"%s\"", i ? "," : "", i, name);
        for (size_t j = 0; j < tensors_in_each; j++)
            end += sprintf(end, "%c\"%zu.%zu\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                           j ? ',' : '{', i, j);
        sprintf(end, "}");
        uint8_t *bytes = fixture_safetensors(header, 0, &size);
        fixture_write_bytes(folder, name, bytes, size);
        free(bytes);
        free(header);
    }
    sprintf(at, "}}");
    fixture_write_text(folder, "model.safetensors.index.json", index);
    char *path = fixture_path(folder, "model.safetensors.index.json");
    const lutra_status status = lutra_safetensors_open(path, &file, error);
    if (status == LUTRA_OK) {
        assert_int_equal(lutra_safetensors_count(file), n_shards * tensors_in_each);
        lutra_safetensors_close(file);
    }
    free(path);
    free(index);
    return status;
}

static void shards_are_limited(void **state)
{
    (void)state;
    lutra_error error;
    char *folder = fixture_folder();
    assert_int_equal(open_shards(folder, LUTRA_MAX_SHARDS, 1, &error), LUTRA_OK);
    assert_int_equal(open_shards(folder, LUTRA_MAX_SHARDS + 1, 1, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "names more than 1024 shards"));
    assert_int_equal(open_shards(folder, 2, LUTRA_MAX_TENSORS / 2 + 1, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "its shards declare more than 65536 tensors"));
    fixture_remove(folder);
}

/* All of them are kept until the last one is read; a thousand shards may be links to one file. */
static void headers_of_shards_are_limited_together(void **state)
{
    (void)state;
    lutra_error error;
    lutra_safetensors *file;
    const size_t n = LUTRA_MAX_JSON_VALUES / 2;
    size_t size;
    char *folder = fixture_folder(), *path = fixture_path(folder, "model.safetensors.index.json");
    char *header = malloc(n * 16 + 64), *at = header;
    assert_non_null(header);
    at += sprintf(at, "{\"__metadata__\":{");
    for (size_t i = 0; i < n; i++)
        at += sprintf(at, "%s\"%zu\":\"\"", i ? "," : "", i);
    sprintf(at, "}}");
    uint8_t *bytes = fixture_safetensors(header, 0, &size);
    fixture_write_bytes(folder, "0", bytes, size);
    fixture_write_bytes(folder, "1", bytes, size);
    fixture_write_text(folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"0\",\"b\":\"1\"}}");
    assert_int_equal(lutra_safetensors_open(path, &file, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "values of JSON, what other shards leave of the limit"));
    free(bytes);
    free(header);
    free(path);
    fixture_remove(folder);
}

/* Each of millions of names would be looked for among a thousand shards. */
static void names_in_an_index_are_limited(void **state)
{
    (void)state;
    lutra_error error;
    lutra_safetensors *file;
    size_t size;
    char *folder = fixture_folder(), *path = fixture_path(folder, "model.safetensors.index.json");
    for (size_t n = LUTRA_MAX_TENSORS; n <= LUTRA_MAX_TENSORS + 1; n++) {
        char *index = malloc(n * 32 + 64), *at = index;
        assert_non_null(index);
        at += snprintf(at, 32, "{\"weight_map\":{");
        for (size_t i = 0; i < n; i++)
            at += snprintf(at, 32, "%s\"%zu\":\"a\"", i ? "," : "", i);
        snprintf(at, 32, "}}");
        fixture_write_text(folder, "model.safetensors.index.json", index);
        free(index);
        uint8_t *bytes = fixture_safetensors("{}", 0, &size);
        fixture_write_bytes(folder, "a", bytes, size);
        free(bytes);
        const bool edge = n == LUTRA_MAX_TENSORS; /* is looked for, and not found in the empty shard */
        assert_int_equal(lutra_safetensors_open(path, &file, &error),
                         edge ? LUTRA_ERROR_FORMAT : LUTRA_ERROR_UNSUPPORTED);
        assert_non_null(
            strstr(error.message, edge ? "is missing from a" : "names 65537 tensors; the limit is 65536"));
    }
    free(path);
    fixture_remove(folder);
}

static void headers_and_configurations_are_limited(void **state)
{
    (void)state;
    const uint64_t sizes[] = {LUTRA_MAX_HEADER_BYTES, LUTRA_MAX_HEADER_BYTES + 1, UINT64_MAX};
    static const char *const messages[] = {"is longer than the file", "its header would take 100000001 bytes",
                                           "its header would take 18446744073709551615 bytes"};
    uint8_t bytes[16] = {0};
    lutra_safetensors *file;
    lutra_error error;
    json_t *json;
    for (size_t i = 0; i < 3; i++) {
        for (size_t j = 0; j < 8; j++)
            bytes[j] = (uint8_t)(sizes[i] >> 8 * j);
        assert_int_equal(lutra_safetensors_open_memory(bytes, sizeof bytes, "memory", &file, &error),
                         LUTRA_ERROR_FORMAT);
        assert_non_null(strstr(error.message, messages[i]));
    }
    char *text = calloc(LUTRA_MAX_JSON_BYTES, 1);
    assert_non_null(text);
    text[0] = '?';
    assert_int_equal(lutra_json_parse(text, LUTRA_MAX_JSON_BYTES, "memory", 0, &json, &error),
                     LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "invalid JSON"));
    free(text);
    assert_int_equal(lutra_json_parse("?", (size_t)LUTRA_MAX_JSON_BYTES + 1, "memory", 0, &json, &error),
                     LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "100000001 bytes of JSON are more than 100000000"));
    assert_null(json);
    for (size_t depth = 2047; depth <= 2048; depth++) {
        char nested[2 * 2048];
        memset(nested, '[', depth);
        memset(nested + depth, ']', depth);
        const lutra_status status = lutra_json_parse(nested, 2 * depth, "memory", 0, &json, &error);
        assert_int_equal(status, depth == 2047 ? LUTRA_OK : LUTRA_ERROR_FORMAT);
        json_decref(json);
    }
}

/* `begin`, n times `value` between commas, `end`. */
static lutra_status parse_list(const char *begin, const char *value, const char *end, size_t n,
                               lutra_error *error)
{
    const size_t length = strlen(value);
    char *text = malloc(strlen(begin) + n * (length + 1) + strlen(end) + 1), *at = text;
    json_t *json;
    assert_non_null(text);
    memcpy(at, begin, strlen(begin));
    at += strlen(begin);
    for (size_t i = 0; i < n; i++) {
        memcpy(at, value, length);
        at += length;
        *at++ = ',';
    }
    at--;
    at += sprintf(at, "%s", end);
    const lutra_status status = lutra_json_parse(text, (size_t)(at - text), "memory", 0, &json, error);
    json_decref(json);
    free(text);
    return status;
}

/* Three bytes of an empty object take over 200 of memory: without the limit, the longest text took 7 GB. */
static void values_of_json_are_limited(void **state)
{
    (void)state;
    lutra_error error;
    const size_t n = LUTRA_MAX_JSON_VALUES;
    assert_int_equal(parse_list("[", "0", "]", n, &error), LUTRA_OK);
    assert_int_equal(parse_list("[", "0", "]", n + 1, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "more than 1048576 values of JSON"));
    assert_int_equal(parse_list("[", "{}", "]", n / 2, &error), LUTRA_OK);
    assert_int_equal(parse_list("[", "{}", "]", n / 2 + 1, &error), LUTRA_ERROR_FORMAT);
    assert_int_equal(parse_list("[", "[]", "]", n / 2 + 1, &error), LUTRA_ERROR_FORMAT);
    /* The headers of all models that are opened. */
    assert_int_equal(parse_list("[", "{\"dtype\":\"U8\",\"shape\":[0,0,0,0,0,0,0,0],\"data_offsets\":[0,0]}",
                                "]", LUTRA_MAX_TENSORS, &error),
                     LUTRA_OK);
    /* What stands in a text is none. */
    assert_int_equal(parse_list("[\"\\\"", "[{", "\"]", n, &error), LUTRA_OK);
}

/* ---- everything else --------------------------------------------------------------------------- */

static void labels_are_limited(void **state)
{
    (void)state;
    lutra_error error;
    json_t *labels;
    char *folder = fixture_folder(), *path = fixture_path(folder, "labels.tsv");
    fixture_write_text(folder, "labels.tsv", "65535\tlast\n");
    assert_int_equal(lutra_labels_read(path, &labels, &error), LUTRA_OK);
    assert_int_equal(json_array_size(labels), LUTRA_MAX_LABELS);
    json_decref(labels);
    fixture_write_text(folder, "labels.tsv", "65536\tone more\n");
    assert_int_equal(lutra_labels_read(path, &labels, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "class index 65536 is out of range"));
    free(path);
    fixture_remove(folder);
}

/* `begin`, the texts "0" to "n - 1" with `value` behind each, `end`. */
static json_t *with_labels(const char *begin, const char *value, const char *end, size_t n)
{
    char *text = malloc(strlen(begin) + n * 16 + strlen(end) + 1), *at = text;
    assert_non_null(text);
    memcpy(at, begin, strlen(begin));
    at += strlen(begin);
    for (size_t i = 0; i < n; i++)
        at += snprintf(at, 16, "%s\"%zu\"%s", i ? "," : "", i, value);
    strcpy(at, end);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    free(text);
    return json;
}

static void labels_of_configurations_are_limited(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *value, *end;
    } cases[] = {
        {"{\"architecture\":\"vit_tiny_patch16_224\",\"label_names\":[", "", "]}"},
        {"{\"model_type\":\"vit\",\"id2label\":{", ":\"\"", "}}"},
        {"{\"family\":\"vit\",\"model\":{\"pool\":\"token\",\"activation\":\"gelu\"},"
         "\"preprocessing\":{\"crop_mode\":\"center\",\"resample\":3},\"labels\":[",
         "", "]}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t n = LUTRA_MAX_LABELS; n <= LUTRA_MAX_LABELS + 1; n++) {
            lutra_vit_settings settings;
            lutra_error error;
            json_t *json = with_labels(cases[i].begin, cases[i].value, cases[i].end, n);
            lutra_vit_settings_init(&settings);
            const lutra_status status =
                json_object_get(json, "family")
                    ? lutra_vit_settings_from_lutra(json, "model", &settings, &error)
                    : lutra_vit_settings_from_config(json, "config.json", NULL, NULL, &settings, &error);
            assert_int_equal(status, n == LUTRA_MAX_LABELS ? LUTRA_OK : LUTRA_ERROR_FORMAT);
            /* Beyond, no list was begun. */
            assert_int_equal(json_array_size(settings.labels), status ? 0 : n);
            if (status)
                assert_non_null(strstr(error.message, "65537 labels are more than 65536"));
            lutra_vit_settings_free(&settings);
            json_decref(json);
        }
    }
}

static void labels_of_a_description_are_texts(void **state)
{
    (void)state;
    static const struct {
        const char *labels;
        lutra_status status;
    } cases[] = {{"[]", LUTRA_OK},
                 {"[\"otter\", \"vole\"]", LUTRA_OK},
                 {"[\"otter\", 1]", LUTRA_ERROR_FORMAT},
                 {"[null]", LUTRA_ERROR_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        lutra_vit_settings settings;
        lutra_error error;
        snprintf(text, sizeof text,
                 "{\"family\":\"vit\",\"model\":{\"pool\":\"token\",\"activation\":\"gelu\"},"
                 "\"preprocessing\":{\"crop_mode\":\"center\",\"resample\":3},\"labels\":%s}",
                 cases[i].labels);
        json_t *json = json_loads(text, 0, NULL);
        lutra_vit_settings_init(&settings);
        assert_int_equal(lutra_vit_settings_from_lutra(json, "model", &settings, &error), cases[i].status);
        if (cases[i].status)
            assert_non_null(strstr(error.message, "labels must be a list of texts"));
        lutra_vit_settings_free(&settings);
        json_decref(json);
    }
}

static lutra_status begin_picture(uint64_t width, uint64_t height, lutra_error *error)
{
    const lutra_preprocessing p = {.height = 1, .width = 1, .crop_pct = 1, .resample = LUTRA_BICUBIC};
    uint8_t pixels[3];
    lutra_picture picture = {.name = "picture", .preprocessing = &p, .pixels = pixels};
    const lutra_status status = lutra_picture_begin(&picture, width, height, 1, error);
    lutra_resizer_free(picture.resizer);
    return status;
}

static void pictures_are_limited(void **state)
{
    (void)state;
    lutra_error error;
    assert_int_equal(begin_picture(LUTRA_MAX_SIDE, 1, &error), LUTRA_OK);
    assert_int_equal(begin_picture(1, LUTRA_MAX_SIDE, &error), LUTRA_OK);
    assert_int_equal(begin_picture(LUTRA_MAX_SIDE + 1, 1, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_int_equal(begin_picture(1, LUTRA_MAX_SIDE + 1, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_int_equal(begin_picture(LUTRA_MAX_PIXELS / 64, 64, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_int_equal(begin_picture(1 << 14, LUTRA_MAX_PIXELS >> 14, &error), LUTRA_OK);
    assert_int_equal(begin_picture(1 << 14, (LUTRA_MAX_PIXELS >> 14) + 1, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_int_equal(begin_picture((uint64_t)1 << 32, (uint64_t)1 << 32, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_int_equal(begin_picture(UINT64_MAX, 2, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "2^28 pixels and 2^20 a side"));
}

/* The longer side follows from the shorter one: 2^24 of a picture of 1 x 2^20 pixels would come to 2^44,
 * which the nearest neighbour's steps took hours to count, and which 32 bits do not hold. */
static void resized_sides_are_limited(void **state)
{
    (void)state;
    static const struct {
        lutra_crop_mode mode;
        size_t height, width, resize_height;
        double crop_pct;
        uint64_t side; /* of the picture, 1 the other way */
        lutra_status status;
    } cases[] = {
        {LUTRA_CROP_CENTER, 1, 1, 256, 1, 1 << 20, LUTRA_OK},
        {LUTRA_CROP_CENTER, 1, 1, 257, 1, 1 << 20, LUTRA_ERROR_UNSUPPORTED},
        {LUTRA_CROP_CENTER, 1, 1, 1 << 24, 1, 16, LUTRA_OK},
        {LUTRA_CROP_CENTER, 1, 1, 1 << 24, 1, 17, LUTRA_ERROR_UNSUPPORTED},
        {LUTRA_CROP_CENTER, 1, 1, 1 << 24, 1, 1 << 20, LUTRA_ERROR_UNSUPPORTED},
        {LUTRA_CROP_CENTER, 2, 2, 0, 0x1p-23, 16, LUTRA_OK},
        {LUTRA_CROP_CENTER, 2, 2, 0, 0x1p-23, 1 << 20, LUTRA_ERROR_UNSUPPORTED},
        {LUTRA_CROP_CENTER, 2, 1, 0, 0x1p-23, 1 << 20, LUTRA_ERROR_UNSUPPORTED},
        {LUTRA_CROP_BORDER, 2, 1, 0, 0x1p-23, 1 << 20, LUTRA_OK},
        {LUTRA_CROP_SQUASH, 2, 1, 0, 0x1p-23, 1 << 20, LUTRA_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int turned = 0; turned < 2; turned++) {
            lutra_error error;
            uint8_t pixels[2 * 2 * 3];
            const lutra_preprocessing p = {.height = cases[i].height,
                                           .width = cases[i].width,
                                           .resize_height = cases[i].resize_height,
                                           .crop_pct = cases[i].crop_pct,
                                           .crop_mode = cases[i].mode,
                                           .resample = LUTRA_BICUBIC};
            lutra_picture picture = {.name = "picture", .preprocessing = &p, .pixels = pixels};
            const lutra_status status = lutra_picture_begin(&picture, turned ? 1 : cases[i].side,
                                                            turned ? cases[i].side : 1, 1, &error);
            if (status != cases[i].status || (status && !strstr(error.message, "picture: ")))
                fail_msg("case %zu: %s", i, lutra_status_name(status));
            lutra_resizer_free(picture.resizer);
        }
}

/* The rows that a resize holds are as many as its filter is long, and never more than the picture has. */
static void a_filter_is_no_longer_than_its_picture(void **state)
{
    (void)state;
    for (int resample = 1; resample <= 5; resample++) {
        const lutra_axis_request request = {
            .source = 1000, .resized = 1, .n_wanted = 1, .resample = resample};
        lutra_axis axis;
        lutra_error error;
        assert_int_equal(lutra_axis_create(&request, &axis, &error), LUTRA_OK);
        assert_in_range(axis.max_taps, axis.taps[0].count, 1000);
        lutra_axis_free(&axis);
    }
}

static void descriptions_of_devices_are_limited(void **state)
{
    (void)state;
    enum { LIMIT = 1 << 20 };
    lutra_error error;
    lutra_device device;
    size_t n;
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    char source[4096], *folder = fixture_folder(), *path = fixture_path(folder, "device.json");
    snprintf(source, sizeof source, "%s/data/devices/pi5.json", root ? root : ".");
    uint8_t *description = fixture_read(source, &n), *padded = malloc(LIMIT + 1);
    assert_non_null(padded);
    memset(padded, ' ', LIMIT + 1);
    memcpy(padded, description, n);
    fixture_write_bytes(folder, "device.json", padded, LIMIT);
    assert_int_equal(lutra_device_read(path, &device, &error), LUTRA_OK);
    fixture_write_bytes(folder, "device.json", padded, LIMIT + 1);
    assert_int_equal(lutra_device_read(path, &device, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "too large"));
    /* So that what is predicted is finite. */
    fixture_write_text(
        folder, "device.json",
        "{\"name\": \"n\", \"title\": \"t\", \"core\": \"c\", \"isa\": \"neon\", \"cores\": "
        "{\"value\": 4, \"source\": \"s\"}, \"clock_ghz\": {\"value\": 1e300, \"source\": \"s\"}}");
    assert_int_equal(lutra_device_read(path, &device, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "\"clock_ghz\" must have a \"value\" within reason"));
    free(padded);
    free(description);
    free(path);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_limited),
        cmocka_unit_test(metadata_is_no_tensor_of_the_limit),
        cmocka_unit_test(shards_are_limited),
        cmocka_unit_test(headers_of_shards_are_limited_together),
        cmocka_unit_test(names_in_an_index_are_limited),
        cmocka_unit_test(headers_and_configurations_are_limited),
        cmocka_unit_test(values_of_json_are_limited),
        cmocka_unit_test(labels_are_limited),
        cmocka_unit_test(labels_of_configurations_are_limited),
        cmocka_unit_test(labels_of_a_description_are_texts),
        cmocka_unit_test(pictures_are_limited),
        cmocka_unit_test(resized_sides_are_limited),
        cmocka_unit_test(a_filter_is_no_longer_than_its_picture),
        cmocka_unit_test(descriptions_of_devices_are_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
