/* SPDX-License-Identifier: Apache-2.0 */
#include "model_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TENSORS = 128 };

static char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *format_text(const char *format, ...)
{
    char *text = malloc(4096);
    va_list arguments;
    assert_non_null(text);
    va_start(arguments, format);
    assert_true(vsnprintf(text, 4096, format, arguments) < 4096);
    va_end(arguments);
    return text;
}

char *fixture_golden(const char *name, const char *file)
{
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    return format_text("%s/tests/golden/models/%s/%s", root ? root : ".", name, file);
}

char *fixture_folder(void)
{
    const char *temporary = getenv("TMPDIR");
    char *folder = format_text("%s/lutra-test-XXXXXX", temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

char *fixture_path(const char *folder, const char *file)
{
    return format_text("%s/%s", folder, file);
}

void fixture_remove(char *folder)
{
    DIR *directory = opendir(folder);
    const struct dirent *entry;
    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *path = fixture_path(folder, entry->d_name);
        unlink(path);
        free(path);
    }
    closedir(directory);
    assert_int_equal(rmdir(folder), 0);
    free(folder);
}

uint8_t *fixture_read(const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("cannot read %s", path);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*n + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, file), *n);
    bytes[*n] = 0;
    fclose(file);
    return bytes;
}

void fixture_write_bytes(const char *folder, const char *file, const void *bytes, size_t n)
{
    char *path = fixture_path(folder, file);
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, n, stream), n);
    assert_int_equal(fclose(stream), 0);
    free(path);
}

void fixture_write_text(const char *folder, const char *file, const char *text)
{
    fixture_write_bytes(folder, file, text, strlen(text));
}

void fixture_write_config(const char *folder, const char *name, const char *changes)
{
    char *path = fixture_golden(name, "config.json");
    json_t *config = json_load_file(path, 0, NULL), *merged = json_loads(changes, 0, NULL);
    const char *key;
    json_t *value;
    assert_non_null(config);
    if (!merged)
        fail_msg("no JSON: %s", changes);
    json_object_foreach(merged, key, value)
    {
        json_t *old = json_object_get(config, key);
        if (json_is_object(value) && json_is_object(old))
            json_object_update(old, value);
        else if (json_is_null(value))
            json_object_del(config, key);
        else
            json_object_set(config, key, value);
    }
    char *target = fixture_path(folder, "config.json");
    assert_int_equal(json_dump_file(config, target, JSON_INDENT(1)), 0);
    json_decref(config);
    json_decref(merged);
    free(target);
    free(path);
}

/* ---- edited tensors ---------------------------------------------------------------------------- */

typedef struct output {
    const char *name;
    lutra_dtype dtype;
    size_t rank, shape[LUTRA_MAX_RANK];
    uint8_t *data;
    size_t bytes;
} output;

static size_t elements_of(const output *tensor)
{
    size_t n = 1;
    for (size_t i = 0; i < tensor->rank; i++)
        n *= tensor->shape[i];
    return n;
}

static void apply(output *tensor, const tensor_edit *edit)
{
    const size_t row = tensor->shape[0] ? tensor->bytes / tensor->shape[0] : 0;
    switch (edit->kind) {
    case EDIT_RENAME:
        tensor->name = edit->text;
        break;
    case EDIT_INTEGER:
        assert_int_equal(tensor->dtype, LUTRA_F32);
        tensor->dtype = LUTRA_I32;
        break;
    case EDIT_FLAT:
        tensor->data = realloc(tensor->data, tensor->bytes + row);
        assert_non_null(tensor->data);
        memset(tensor->data + tensor->bytes, 0, row);
        tensor->bytes += row;
        tensor->shape[0]++;
        break;
    case EDIT_TRANSPOSE: {
        const size_t inputs = elements_of(tensor) / tensor->shape[0];
        tensor->shape[1] = tensor->shape[0];
        tensor->shape[0] = inputs;
        tensor->rank = 2;
        break;
    }
    case EDIT_VALUE:
        assert_int_equal(tensor->dtype, LUTRA_F32);
        assert_true(edit->element < elements_of(tensor));
        memcpy(tensor->data + edit->element * sizeof(float), &edit->value, sizeof(float));
        break;
    case EDIT_NONE:
    case EDIT_DROP:
    case EDIT_ADD:
        break;
    }
}

static size_t collect(const lutra_safetensors *file, const tensor_edit *edit, output *tensors)
{
    size_t n = 0;
    bool found = edit->kind == EDIT_NONE || edit->kind == EDIT_ADD;
    for (size_t i = 0; i < lutra_safetensors_count(file); i++) {
        const lutra_tensor *source = lutra_safetensors_at(file, i);
        const bool is_edited = edit->tensor && strcmp(source->name, edit->tensor) == 0;
        found = found || is_edited;
        if (is_edited && edit->kind == EDIT_DROP)
            continue;
        assert_true(n + 1 < MAX_TENSORS);
        output *tensor = &tensors[n++];
        *tensor = (output){.name = source->name,
                           .dtype = source->dtype,
                           .rank = source->rank,
                           .data = malloc(source->bytes + 1),
                           .bytes = source->bytes};
        assert_non_null(tensor->data);
        memcpy(tensor->shape, source->shape, sizeof tensor->shape);
        memcpy(tensor->data, source->data, source->bytes);
        if (is_edited)
            apply(tensor, edit);
    }
    if (!found)
        fail_msg("no tensor %s to edit", edit->tensor);
    if (edit->kind == EDIT_ADD) {
        tensors[n] = (output){.name = edit->text, .dtype = LUTRA_F32, .rank = 1, .shape = {2}, .bytes = 8};
        tensors[n].data = calloc(1, 8);
        n++;
    }
    return n;
}

/* The tensors one behind the other; plainly, without lutra_writer's syncs, of which thousands would take
 * long. */
static void write_tensors(const char *folder, const output *tensors, size_t n)
{
    json_t *header = json_object();
    json_int_t end = 0;
    for (size_t i = 0; i < n; i++) {
        json_t *shape = json_array();
        for (size_t j = 0; j < tensors[i].rank; j++)
            json_array_append_new(shape, json_integer((json_int_t)tensors[i].shape[j]));
        const json_int_t begin = end;
        end += (json_int_t)tensors[i].bytes;
        json_object_set_new(header, tensors[i].name,
                            json_pack("{s:s, s:o, s:[I,I]}", "dtype", lutra_dtype_name(tensors[i].dtype),
                                      "shape", shape, "data_offsets", begin, end));
    }
    char *text = json_dumps(header, JSON_COMPACT), *path = fixture_path(folder, "model.safetensors");
    FILE *file = fopen(path, "wb");
    assert_non_null(text);
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        fputc((int)((uint64_t)strlen(text) >> (8 * i) & 255), file);
    fputs(text, file);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fwrite(tensors[i].data, 1, tensors[i].bytes, file), tensors[i].bytes);
    assert_int_equal(fclose(file), 0);
    free(path);
    free(text);
    json_decref(header);
}

void fixture_write_model(const char *folder, const char *name, const tensor_edit *edit)
{
    static const tensor_edit none = {EDIT_NONE, NULL, NULL, 0, 0};
    output tensors[MAX_TENSORS];
    lutra_safetensors *file;
    lutra_error error;
    char *source = fixture_golden(name, "model.safetensors");
    assert_int_equal(lutra_safetensors_open(source, &file, &error), LUTRA_OK);
    const size_t n = collect(file, edit ? edit : &none, tensors);
    write_tensors(folder, tensors, n);
    for (size_t i = 0; i < n; i++)
        free(tensors[i].data);
    lutra_safetensors_close(file);
    free(source);
}

/* ---- refusals ---------------------------------------------------------------------------------- */

void expect_refusal(const char *path, const lutra_model_options *options, lutra_status status,
                    lutra_error *error, ...)
{
    lutra_model *model = (lutra_model *)(uintptr_t)1;
    const lutra_status found = lutra_model_open(path, options, &model, error);
    va_list parts;
    const char *part;
    if (found == LUTRA_OK) {
        lutra_model_close(model);
        fail_msg("%s was opened", path);
    }
    assert_null(model);
    assert_int_equal(error->status, found);
    if (found != status)
        fail_msg("%s instead of %s: %s", lutra_status_name(found), lutra_status_name(status), error->message);
    va_start(parts, error);
    while ((part = va_arg(parts, const char *)))
        if (!strstr(error->message, part))
            fail_msg("\"%s\" is not in the message: %s", part, error->message);
    va_end(parts);
}

uint8_t *fixture_safetensors(const char *header, size_t n_data, size_t *size)
{
    const size_t length = strlen(header);
    uint8_t *file = calloc(1, 8 + length + n_data);
    assert_non_null(file);
    for (size_t i = 0; i < 8; i++)
        file[i] = (uint8_t)((uint64_t)length >> 8 * i);
    memcpy(file + 8, header, length);
    *size = 8 + length + n_data;
    return file;
}
