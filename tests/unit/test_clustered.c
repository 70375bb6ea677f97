/* SPDX-License-Identifier: Apache-2.0 */
/* A clustered file's description against the tensors that it speaks of: each way in which they can disagree
 * is refused, by the tensor's name. */
#include "model_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/clustered.h"

/* A file with one clustered matrix "m" of 2 outputs and 4 inputs, whose parts a test may say differently. */
typedef struct parts {
    const char *version;                      /* metadata; "" is left out */
    const char *config;                       /* lutra.config as a whole, or NULL: */
    const char *name, *shape, *dtype, *scope; /* of the matrix in it */
    const char *clusters, *bits;              /* "" is left out */
    const char *indices, *codebook, *scale;   /* types, shapes and places in the header */
    const char *indices_name, *codebook_name, *scale_name;
    float scales[2];
    int8_t entries[2];
    float more_entries[2]; /* of an F32 codebook */
    const char *extra;     /* more of the header */
} parts;

static const parts good = {
    .version = "1",
    .name = "m",
    .shape = "[2,4]",
    .dtype = "\"F32\"",
    .scope = "\"row\"",
    .clusters = "2",
    .bits = "1",
    .indices_name = "m.indices",
    .indices = "{\"dtype\":\"U8\",\"shape\":[64],\"data_offsets\":[0,64]}",
    .scale_name = "m.scale",
    .scale = "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[64,72]}",
    .codebook_name = "m.codebook",
    .codebook = "{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[72,74]}",
    .scales = {1, 2},
    .entries = {-1, 1},
    .more_entries = {-1, 1},
};

enum { MAX_TEXT = 8192 };

static char *escape(const char *text)
{
    json_t *json = json_string(text);
    char *escaped = json_dumps(json, JSON_ENCODE_ANY);
    assert_non_null(escaped);
    json_decref(json);
    return escaped;
}

static char *config_of(const parts *p)
{
    char *text = malloc(MAX_TEXT);
    assert_non_null(text);
    if (p->config)
        snprintf(text, MAX_TEXT, "%s", p->config);
    else
        snprintf(text, MAX_TEXT, "{\"tensors\":{\"%s\":{\"shape\":%s,\"dtype\":%s,\"scope\":%s%s%s%s%s}}}",
                 p->name, p->shape, p->dtype, p->scope, *p->clusters ? ",\"clusters\":" : "", p->clusters,
                 *p->bits ? ",\"bits\":" : "", p->bits);
    return text;
}

static uint8_t *make(const parts *p, size_t *size)
{
    const bool f32 = strstr(p->codebook, "F32") != NULL;
    const size_t n_data = 72 + (f32 ? 8 : 2);
    char *config = config_of(p), *escaped = escape(config);
    uint8_t *file = calloc(1, MAX_TEXT + n_data);
    assert_non_null(file);
    char *text = (char *)file + 8;
    int length = snprintf(text, MAX_TEXT - 8, "{\"__metadata__\":{\"lutra.config\":%s", escaped);
    if (*p->version)
        length += snprintf(text + length, 64, ",\"lutra.version\":\"%s\"", p->version);
    length += snprintf(text + length, MAX_TEXT / 2, "},\"%s\":%s,\"%s\":%s,\"%s\":%s%s}", p->indices_name,
                       p->indices, p->scale_name, p->scale, p->codebook_name, p->codebook,
                       p->extra ? p->extra : "");
    assert_true(length < MAX_TEXT - 8);
    file[0] = (uint8_t)(length & 255);
    file[1] = (uint8_t)(length >> 8);
    uint8_t *data = file + 8 + length;
    memset(data, 0, n_data);
    memcpy(data + 64, p->scales, 8);
    if (f32)
        memcpy(data + 72, p->more_entries, 8);
    else
        memcpy(data + 72, p->entries, 2);
    *size = 8 + (size_t)length + n_data;
    free(config);
    free(escaped);
    return file;
}

static lutra_status open_parts(const parts *p, lutra_error *error)
{
    size_t size;
    uint8_t *bytes = make(p, &size);
    lutra_safetensors *file;
    lutra_clustered clustered;
    if (lutra_safetensors_open_memory(bytes, size, "memory", &file, error))
        fail_msg("%s", error->message);
    const lutra_status status = lutra_clustered_open(file, &clustered, error);
    if (status == LUTRA_OK) {
        const lutra_clustered_tensor *found = lutra_clustered_find(&clustered, p->name);
        assert_int_equal(clustered.n_tensors, 1);
        assert_ptr_equal(found, clustered.tensors);
        assert_null(lutra_clustered_find(&clustered, "other"));
    } else {
        assert_null(clustered.tensors);
    }
    lutra_clustered_close(&clustered);
    lutra_safetensors_close(file);
    free(bytes);
    return status;
}

static void expect(const parts *p, lutra_status status, const char *message)
{
    lutra_error error = {0};
    const lutra_status found = open_parts(p, &error);
    if (found != status || (message && !strstr(error.message, message)))
        fail_msg("%s instead of %s (%s): %s", lutra_status_name(found), lutra_status_name(status),
                 message ? message : "", error.message);
}

/* `good` with one member set. */
#define EXPECT(member, value, status, message)                                                               \
    do {                                                                                                     \
        parts changed = good;                                                                                \
        changed.member = (value);                                                                            \
        expect(&changed, status, message);                                                                   \
    } while (0)
#define REFUSED(member, value, message) EXPECT(member, value, LUTRA_ERROR_FORMAT, message)

static void sound_files_are_read(void **state)
{
    (void)state;
    expect(&good, LUTRA_OK, NULL);
    EXPECT(dtype, "\"BF16\"", LUTRA_OK, NULL);
    EXPECT(shape, "[2,2,1,2]", LUTRA_OK, NULL);
    parts tensor = good, model = good, floats = good;
    tensor.scope = "\"tensor\"";
    tensor.scale = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[64,68]}";
    tensor.extra = ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[68,72]}";
    expect(&tensor, LUTRA_OK, NULL);
    model = tensor;
    model.scope = "\"model\"";
    model.codebook_name = "lutra.codebook";
    expect(&model, LUTRA_OK, NULL);
    floats.codebook = "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[72,80]}";
    expect(&floats, LUTRA_OK, NULL);
}

static void versions_and_descriptions_are_checked(void **state)
{
    (void)state;
    EXPECT(version, "2", LUTRA_ERROR_UNSUPPORTED, "format version \"2\" is unknown");
    EXPECT(version, "", LUTRA_ERROR_UNSUPPORTED, "format version \"\" is unknown");
    REFUSED(config, "{", "memory: lutra.config: invalid JSON");
    REFUSED(config, "[]", "lutra.config is not a JSON object");
    REFUSED(config, "{}", "lutra.config has no \"tensors\"");
    REFUSED(config, "{\"tensors\":[]}", "lutra.config has no \"tensors\"");
    REFUSED(config, "{\"tensors\":{\"m\":3}}",
            "\"m\": its shape in lutra.config must have 1 to 8 dimensions");
    REFUSED(config, "{\"tensors\":{\"m\":{\"shape\":[1]}}}", "its dtype in lutra.config");
}

/* Of which each takes memory before the next is looked at. */
static void more_descriptions_than_tensors_are_refused(void **state)
{
    (void)state;
    REFUSED(config, "{\"tensors\":{\"a\":3,\"b\":3,\"c\":3}}", "\"a\": its shape in lutra.config");
    REFUSED(config, "{\"tensors\":{\"a\":3,\"b\":3,\"c\":3,\"d\":3}}",
            "lutra.config describes 4 tensors, but the file holds 3");
}

static void shapes_are_checked(void **state)
{
    (void)state;
    static const char *const dimensions = "must have 1 to 8 dimensions";
    static const char *const count = "has a dimension that is no count";
    static const char *const overflows = "its shape in lutra.config overflows";
    REFUSED(shape, "[]", dimensions);
    REFUSED(shape, "3", dimensions);
    REFUSED(shape, "[1,1,1,1,1,1,1,1,1]", dimensions);
    REFUSED(shape, "[2,0]", count);
    REFUSED(shape, "[2,-4]", count);
    REFUSED(shape, "[2,4.0]", count);
    REFUSED(shape, "[2,\"4\"]", count);
    REFUSED(shape, "[1,4611686018427387904,4]", overflows);
    REFUSED(shape, "[4611686018427387904,4611686018427387904]", overflows);
    REFUSED(shape, "[2,9223372036854775807,2]", overflows);
    REFUSED(shape, "[9223372036854775807,1]", overflows); /* rounded up to 16 outputs */
    REFUSED(shape, "[2,33]", "tensor \"m.indices\" is not as long as its matrix's packed indices must be");
    REFUSED(shape, "[17,4]", "tensor \"m.indices\" is not as long");
}

static void members_are_checked(void **state)
{
    (void)state;
    static const char *const disagree = "its clusters (2 to 256) and bits in lutra.config do not agree";
    REFUSED(dtype, "\"I8\"", "its dtype in lutra.config is not F64, F32, F16 or BF16");
    REFUSED(dtype, "\"F31\"", "its dtype in lutra.config");
    REFUSED(dtype, "32", "its dtype in lutra.config");
    REFUSED(scope, "\"rows\"", "its scope in lutra.config is not row, tensor or model");
    REFUSED(scope, "null", "its scope in lutra.config");
    REFUSED(clusters, "1", disagree);
    REFUSED(clusters, "3", disagree);
    REFUSED(clusters, "", disagree);
    REFUSED(clusters, "257", "\"clusters\" must be an integer from 0 to 256");
    REFUSED(clusters, "-2", "\"clusters\" must be an integer");
    REFUSED(clusters, "2.0", "\"clusters\" must be an integer");
    REFUSED(bits, "2", disagree);
    REFUSED(bits, "null", disagree);
    REFUSED(bits, "9", "\"bits\" must be an integer from 0 to 8");
}

static void parts_are_checked(void **state)
{
    (void)state;
    static const char *const codebook = "tensor \"m.codebook\" must be I8 or F32 with one entry per cluster";
    static const char *const scale = "tensor \"m.scale\" must be F32 with one scale per row";
    REFUSED(indices_name, "n.indices", "tensor \"m.indices\", declared in lutra.config, is missing");
    REFUSED(codebook_name, "n.codebook", "tensor \"m.codebook\", declared in lutra.config, is missing");
    REFUSED(scale_name, "n.scale", "tensor \"m.scale\", declared in lutra.config, is missing");
    REFUSED(scope, "\"model\"", "\"m\": the tensor \"lutra.codebook\" is missing");
    REFUSED(indices, "{\"dtype\":\"I8\",\"shape\":[64],\"data_offsets\":[0,64]}",
            "tensor \"m.indices\" is not");
    REFUSED(codebook, "{\"dtype\":\"I8\",\"shape\":[1,2],\"data_offsets\":[72,74]}", codebook);
    REFUSED(codebook, "{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[72,74]}", codebook);
    REFUSED(codebook, "{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[72,74]}", codebook);
    REFUSED(scale, "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[64,72]}", scale);
    REFUSED(scale, "{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[64,72]}", scale);
    REFUSED(scale, "{\"dtype\":\"I32\",\"shape\":[2],\"data_offsets\":[64,72]}", scale);
    REFUSED(scope, "\"tensor\"", scale);
}

static void numbers_are_checked(void **state)
{
    (void)state;
    static const float none[] = {NAN, INFINITY, -INFINITY};
    parts floats = good;
    floats.codebook = "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[72,80]}";
    for (size_t i = 0; i < 3; i++) {
        REFUSED(scales[i % 2], none[i], "tensor \"m.scale\" has a scale that is negative or not finite");
        floats.more_entries[i % 2] = none[i];
        expect(&floats, LUTRA_ERROR_FORMAT, "tensor \"m.codebook\" has an entry that is not finite");
        floats.more_entries[i % 2] = 1;
    }
    REFUSED(scales[1], -0.5f, "tensor \"m.scale\" has a scale that is negative or not finite");
    EXPECT(scales[1], 0.0f, LUTRA_OK, NULL);
    EXPECT(scales[1], 3e38f, LUTRA_OK, NULL);
    floats.scales[1] = 3e38f;
    floats.more_entries[0] = -1.1f;
    expect(&floats, LUTRA_OK, NULL);
    floats.more_entries[0] = -1.2f;
    expect(&floats, LUTRA_ERROR_FORMAT, "tensor \"m.scale\" has a scale that makes weights infinite");
    parts integers = good;
    integers.entries[0] = -2;
    integers.scales[1] = 3e38f;
    expect(&integers, LUTRA_ERROR_FORMAT, "tensor \"m.scale\" has a scale that makes weights infinite");
    REFUSED(entries[1], -128, "tensor \"m.codebook\" has an entry of -128");
    EXPECT(entries[0], -127, LUTRA_OK, NULL);
}

static void a_long_name_is_refused(void **state)
{
    (void)state;
    char name[1024];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = 0;
    REFUSED(name, name, "its name is too long");
    name[1024 - sizeof ".indices"] = 0;
    REFUSED(name, name, "declared in lutra.config, is missing");
}

/* ---- the public view --------------------------------------------------------------------------- */

static lutra_status open_view(const parts *p, uint8_t first_index, lutra_tensor_file **view,
                              lutra_error *error)
{
    size_t size, length;
    char *folder = fixture_folder(), *path = fixture_path(folder, "m.safetensors");
    uint8_t *bytes = make(p, &size);
    length = bytes[0] | (size_t)bytes[1] << 8;
    bytes[8 + length] = first_index;
    fixture_write_bytes(folder, "m.safetensors", bytes, size);
    const lutra_status status = lutra_tensor_file_open(path, view, error);
    free(bytes);
    free(path);
    fixture_remove(folder);
    return status;
}

static void a_matrix_is_shown_as_one_tensor(void **state)
{
    (void)state;
    lutra_tensor_file *view;
    lutra_error error;
    parts p = good;
    p.extra = ",\".scale\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[74,74]},"
              "\"other.scale\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[74,74]}";
    assert_int_equal(open_view(&p, 0, &view, &error), LUTRA_OK);
    assert_int_equal(lutra_tensor_file_n_tensors(view), 3);
    const lutra_tensor_info *m = lutra_tensor_file_tensor(view, 0);
    assert_string_equal(m->name, "m");
    assert_int_equal(m->bytes, 64 + 8 + 2);
    assert_int_equal(m->n_clusters, 2);
    assert_int_equal(m->bits, 1);
    assert_int_equal(m->rank, 2);
    assert_int_equal(m->shape[1], 4);
    assert_string_equal(m->scope, "row");
    /* Names that end like a part's, of no matrix. */
    assert_string_equal(lutra_tensor_file_tensor(view, 1)->name, ".scale");
    assert_string_equal(lutra_tensor_file_tensor(view, 2)->name, "other.scale");
    assert_null(lutra_tensor_file_tensor(view, 3));
    assert_string_equal(lutra_tensor_file_metadata(view, "lutra.version"), "1");
    assert_null(lutra_tensor_file_metadata(view, "lutra"));
    assert_int_equal(lutra_tensor_file_verify(view, &error), LUTRA_OK);
    lutra_tensor_file_close(view);
    lutra_tensor_file_close(NULL);
    p.version = "3";
    assert_int_equal(open_view(&p, 0, &view, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_null(view);
}

static void the_shared_codebook_hides_no_tensor(void **state)
{
    (void)state;
    lutra_tensor_file *view;
    lutra_error error;
    parts p = good;
    p.scope = "\"model\"";
    p.codebook_name = "lutra.codebook";
    p.scale = "{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[64,68]}";
    p.extra = ",\"m.codebook\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[68,72]}";
    assert_int_equal(open_view(&p, 0, &view, &error), LUTRA_OK);
    assert_int_equal(lutra_tensor_file_n_tensors(view), 3);
    assert_int_equal(lutra_tensor_file_tensor(view, 0)->bytes, 64 + 4);
    assert_string_equal(lutra_tensor_file_tensor(view, 1)->name, "m.codebook"); /* by their offsets */
    assert_string_equal(lutra_tensor_file_tensor(view, 2)->name, "lutra.codebook");
    lutra_tensor_file_close(view);
}

static void indices_beyond_the_codebook_are_found(void **state)
{
    (void)state;
    lutra_tensor_file *view;
    lutra_error error;
    parts p = good;
    p.config = "{\"tensors\":{\"m\":{\"shape\":[2,4],\"dtype\":\"F32\",\"scope\":\"row\",\"clusters\":3,"
               "\"bits\":2}}}";
    p.codebook = "{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[72,84]}";
    /* A float more than `make` counts; the room behind it is zeros. */
    size_t size;
    uint8_t *bytes = make(&p, &size);
    const size_t length = bytes[0] | (size_t)bytes[1] << 8;
    char *folder = fixture_folder(), *path = fixture_path(folder, "m.safetensors");
    for (int index = 2; index <= 3; index++) {
        bytes[8 + length] = (uint8_t)index;
        fixture_write_bytes(folder, "m.safetensors", bytes, size + 4);
        assert_int_equal(lutra_tensor_file_open(path, &view, &error), LUTRA_OK);
        const lutra_status status = lutra_tensor_file_verify(view, &error);
        assert_int_equal(status, index == 2 ? LUTRA_OK : LUTRA_ERROR_FORMAT);
        lutra_tensor_file_close(view);
    }
    assert_non_null(
        strstr(error.message, "tensor \"m\": index 3 at output 0, input 0 is beyond the 3 clusters"));
    free(bytes);
    free(path);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files_are_read),
        cmocka_unit_test(versions_and_descriptions_are_checked),
        cmocka_unit_test(more_descriptions_than_tensors_are_refused),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(members_are_checked),
        cmocka_unit_test(parts_are_checked),
        cmocka_unit_test(numbers_are_checked),
        cmocka_unit_test(a_long_name_is_refused),
        cmocka_unit_test(a_matrix_is_shown_as_one_tensor),
        cmocka_unit_test(the_shared_codebook_hides_no_tensor),
        cmocka_unit_test(indices_beyond_the_codebook_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
