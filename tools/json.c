/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "terminal.h"

static atomic_bool out_of_memory, must_not_fail;

/* While it reads, Jansson 2.14 does not survive that a token's buffer cannot grow: it reads on behind it. */
static void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (memory)
        return memory;
    atomic_store(&out_of_memory, true);
    if (atomic_load(&must_not_fail))
        exit(tool_out_of_memory());
    return NULL;
}

json_t *tool_json_no_memory(void)
{
    atomic_store(&out_of_memory, true);
    return NULL;
}

void tool_json_watch(void)
{
    json_set_alloc_funcs(allocate, free);
}

char *tool_json_dump(const json_t *json, size_t flags)
{
    char *text = json_dumps(json, flags);
    if (!atomic_load(&out_of_memory))
        return text;
    free(text);
    return NULL;
}

json_t *tool_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *tool_json_float(float value)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    return tool_json_real(strtod(text, NULL));
}

json_t *tool_json_size(uint64_t value)
{
    return json_integer((json_int_t)value);
}

json_t *tool_json_text(const char *text)
{
    if (!text)
        return json_null();
    json_t *json = json_string(text);
    if (json)
        return json;
    /* Not UTF-8: a file's name may be any bytes. Keep what is ASCII. */
    char *copy = malloc(3 * strlen(text) + 1), *out = copy;
    if (!copy)
        return tool_json_no_memory();
    for (; *text; text++) {
        if ((unsigned char)*text < 0x80) {
            *out++ = *text;
        } else {
            memcpy(out, "\xef\xbf\xbd", 3);
            out += 3;
        }
    }
    *out = 0;
    json = json_string(copy);
    free(copy);
    return json;
}

const char *tool_mode_name(lutra_mode mode)
{
    switch (mode) {
    case LUTRA_MODE_AUTO:
        return "auto";
    case LUTRA_MODE_F32:
        return "f32";
    case LUTRA_MODE_BF16:
        return "bf16";
    case LUTRA_MODE_INT8:
        return "int8";
    }
    return "unknown";
}

const char *tool_crop_name(lutra_crop_mode mode)
{
    switch (mode) {
    case LUTRA_CROP_CENTER:
        return "center";
    case LUTRA_CROP_SQUASH:
        return "squash";
    case LUTRA_CROP_BORDER:
        return "border";
    }
    return "unknown";
}

const char *tool_resample_name(int code)
{
    static const char *const names[] = {"nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"};
    return code >= 0 && code < 6 ? names[code] : "unknown";
}

json_t *tool_json_preprocessing(const lutra_preprocessing *p)
{
    json_t *json = json_object(), *mean = json_array(), *std = json_array();
    for (size_t i = 0; i < 3; i++) {
        json_array_append_new(mean, tool_json_float(p->mean[i]));
        json_array_append_new(std, tool_json_float(p->std[i]));
    }
    json_object_set_new(json, "height", tool_json_size(p->height));
    json_object_set_new(json, "width", tool_json_size(p->width));
    json_object_set_new(json, "crop_pct", tool_json_real(p->crop_pct));
    json_object_set_new(json, "crop_mode", json_string(tool_crop_name(p->crop_mode)));
    json_object_set_new(json, "resize_height", tool_json_size(p->resize_height));
    json_object_set_new(json, "resize_width", tool_json_size(p->resize_width));
    json_object_set_new(json, "interpolation", json_string(tool_resample_name(p->resample)));
    json_object_set_new(json, "mean", mean);
    json_object_set_new(json, "std", std);
    json_object_set_new(json, "exif", json_boolean(!p->ignore_exif));
    return json;
}

void tool_json_machine(json_t *object, size_t n_threads, const char *isa)
{
    json_object_set_new(object, "threads", tool_json_size(n_threads));
    json_object_set_new(object, "isa", json_string(isa));
}

void tool_json_context(json_t *object, const tool_arguments *arguments, const lutra_context *context)
{
    json_object_set_new(object, "mode", json_string(tool_mode_name(lutra_context_mode(context))));
    json_object_set_new(object, "mode_source",
                        json_string(arguments->mode == LUTRA_MODE_AUTO ? "auto" : "option"));
    tool_json_machine(object, lutra_context_threads(context), lutra_context_isa(context));
}

json_t *tool_json_parse(const char *text)
{
    atomic_store(&must_not_fail, true); /* there is one thread yet, and no file begun */
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    atomic_store(&must_not_fail, false);
    return json;
}

int tool_json_print(json_t *json, bool one_line)
{
    const size_t layout = one_line ? JSON_COMPACT : JSON_INDENT(2);
    char *text = json ? tool_json_dump(json, layout | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (!text)
        return tool_out_of_memory();
    /* Line by line: within strings, Jansson has escaped the ends of lines, and tool_print does so with what
     * else steers a terminal. */
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        tool_print(stdout, line);
        putchar('\n');
    }
    free(text);
    return tool_finish_output();
}
