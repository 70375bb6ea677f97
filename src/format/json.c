/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"
#include "base/memory.h"
#include "base/path.h"

/*
 * Jansson 2.14 collects each token in a buffer and ignores that it cannot grow (lex_save): letters are lost
 * silently, or the quote that ends a string, and it reads on beyond the buffer. So the buffer is made large
 * enough before anything depends on it: Jansson gets "[0.000...0," TEXT "]", with as many zeros as the text's
 * longest token has letters. Where one of those is lost, the number is still one, and errno tells.
 */
typedef struct feed {
    const char *text; /* [size] */
    size_t size, n_zeros, at;
    enum { FEED_BEGIN, FEED_ZEROS, FEED_COMMA, FEED_TEXT, FEED_END, FEED_NOTHING } part;
    bool failed;
} feed;

#define FEED_START "[0."

/* What memory is taken for when a text is parsed. The values are those behind a comma and the first of each
 * list and object, as which an empty one counts too. */
typedef struct contents {
    size_t longest_token, n_values;
} contents;

static contents measure(const char *text, size_t size)
{
    size_t longest = 0, begin = 0, n_values = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        longest = i - begin > longest ? i - begin : longest;
        if (in_string && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            in_string = !in_string;
        else if (!in_string && strchr("{}[],: \t\r\n", text[i]))
            begin = i;
        n_values += !in_string && (text[i] == '{' || text[i] == '[' || text[i] == ',');
    }
    longest = size - begin > longest ? size - begin : longest;
    return (contents){.longest_token = longest + 2, .n_values = n_values};
}

static size_t take(feed *f, void *buffer, const char *bytes, size_t n, size_t room)
{
    const char digit = '0';
    n = n - f->at < room ? n - f->at : room;
    if (bytes)
        memcpy(buffer, bytes + f->at, n);
    else
        memset(buffer, digit, n);
    f->at += n;
    return n;
}

/* Jansson asks for more bytes when it has taken those before: 0, no more. */
static size_t next_bytes(void *buffer, size_t room, void *user)
{
    feed *f = user;
    static const char comma[] = ",", end[] = "]", start[] = FEED_START;
    const struct {
        const char *bytes;
        size_t n;
    } parts[] = {{start, strlen(start)}, {NULL, f->n_zeros}, {comma, 1}, {f->text, f->size}, {end, 1}};
    while (f->part < FEED_NOTHING && f->at == parts[f->part].n) {
        f->part++;
        f->at = 0;
    }
    f->failed = f->failed || (f->part == FEED_COMMA && errno == ENOMEM);
    if (f->failed || f->part == FEED_NOTHING)
        return 0;
    return take(f, buffer, parts[f->part].bytes, parts[f->part].n, room);
}

/* The one value of the text, or NULL; `problem` as of the text alone. */
static json_t *load(const char *text, size_t size, size_t longest_token, json_error_t *problem,
                    bool *out_of_memory)
{
    feed f = {.text = text, .size = size, .n_zeros = longest_token};
    const size_t before = strlen(FEED_START) + f.n_zeros + 1;
    errno = 0;
    json_t *array = json_load_callback(next_bytes, &f, JSON_REJECT_DUPLICATES, problem);
    /* Elsewhere it sees that it has no memory, and says nothing or that a token is invalid. */
    *out_of_memory = f.failed || (!array && (errno == ENOMEM || !problem->text[0]));
    const size_t at = problem->position > 0 ? (size_t)problem->position : 0;
    problem->position = at < before ? 0 : (int)(at - before < size ? at - before : size);
    json_t *json = json_array_size(array) == 2 ? json_array_get(array, 1) : NULL;
    json = json_is_object(json) || json_is_array(json) ? json_incref(json) : NULL;
    if (array ? !json : at > before + size)
        snprintf(problem->text, sizeof problem->text, "it is not one whole object or array");
    json_decref(array);
    return json;
}

static const char *what_is_left(const lutra_json_room *room)
{
    return room->bytes < LUTRA_MAX_JSON_BYTES ? ", what other shards leave of the limit" : "";
}

lutra_status lutra_json_parse(const void *text, size_t size, const char *path, uint64_t base, json_t **json,
                              lutra_error *error)
{
    return lutra_json_parse_in(&LUTRA_JSON_ROOM, text, size, path, base, json, error);
}

lutra_status lutra_json_parse_in(lutra_json_room *room, const void *text, size_t size, const char *path,
                                 uint64_t base, json_t **json, lutra_error *error)
{
    json_error_t problem;
    bool out_of_memory;
    *json = NULL;
    if (size > room->bytes)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, base, "%zu bytes of JSON are more than %zu%s",
                          size, room->bytes, what_is_left(room));
    const contents found = measure(text, size);
    if (found.n_values > room->values)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, base, "more than %zu values of JSON%s",
                          room->values, what_is_left(room));
    room->bytes -= size;
    room->values -= found.n_values;
    *json = load(text, size, found.longest_token, &problem, &out_of_memory);
    if (*json)
        return LUTRA_OK;
    if (out_of_memory)
        return lutra_fail_memory(error, size, "JSON");
    const uint64_t at = base == LUTRA_NO_OFFSET ? LUTRA_NO_OFFSET : base + (uint64_t)problem.position;
    return lutra_fail(error, LUTRA_ERROR_FORMAT, path, at, "invalid JSON: %s", problem.text);
}

void lutra_json_set(json_t **object, const char *key, json_t *value)
{
    if (json_object_set_new(*object, key, value) == 0)
        return;
    json_decref(*object);
    *object = NULL;
}

void lutra_json_append(json_t **array, json_t *value)
{
    if (json_array_append_new(*array, value) == 0)
        return;
    json_decref(*array);
    *array = NULL;
}

/* As few digits, from 9 on, as every number of the document is read back from as the same. */
static size_t digits_of(const json_t *json)
{
    enum { ENOUGH = 17 }; /* for any double */
    size_t digits = 9;
    const char *key;
    json_t *value;
    if (json_is_real(json)) {
        char text[32];
        for (; digits < ENOUGH; digits++) {
            snprintf(text, sizeof text, "%.*g", (int)digits, json_real_value(json));
            if (strtod(text, NULL) == json_real_value(json))
                break;
        }
    }
    for (size_t i = 0; i < json_array_size(json); i++) {
        const size_t of_element = digits_of(json_array_get(json, i));
        digits = of_element > digits ? of_element : digits;
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        const size_t of_member = digits_of(value);
        digits = of_member > digits ? of_member : digits;
    }
    return digits;
}

/* json_dumps leaves keys out for which its buffer cannot grow (Jansson 2.14, do_dump). */
lutra_status lutra_json_text(const json_t *json, size_t flags, const char *what, char **text,
                             lutra_error *error)
{
    flags |= JSON_REAL_PRECISION(digits_of(json));
    const size_t n = json_dumpb(json, NULL, 0, flags);
    *text = NULL;
    if (n == 0)
        return lutra_fail_memory(error, SIZE_MAX, what);
    lutra_status status = lutra_allocate(n + 1, 1, what, text, error);
    if (status || json_dumpb(json, *text, n, flags) == n)
        return status;
    free(*text);
    *text = NULL;
    return lutra_fail_memory(error, n, what);
}

lutra_status lutra_json_read_optional(const char *path, json_t **json, lutra_error *error)
{
    lutra_file_map map;
    *json = NULL;
    if (lutra_is_absent(path))
        return LUTRA_OK;
    lutra_status status = lutra_file_map_read(path, LUTRA_MAX_JSON_BYTES, &map, error);
    if (status)
        return status;
    status = lutra_json_parse(map.data ? (const char *)map.data : "", map.size, path, 0, json, error);
    lutra_file_map_close(&map);
    if (status == LUTRA_OK && !json_is_object(*json)) {
        json_decref(*json);
        *json = NULL;
        status = lutra_fail(error, LUTRA_ERROR_FORMAT, path, 0, "is not a JSON object");
    }
    return status;
}

lutra_status lutra_json_size(const json_t *object, const char *key, size_t limit, const char *path,
                             size_t *value, bool *found, lutra_error *error)
{
    const json_t *member = json_object_get(object, key);
    *found = member && !json_is_null(member);
    if (!*found)
        return LUTRA_OK;
    if (!json_is_integer(member) || json_integer_value(member) < 0 ||
        (uint64_t)json_integer_value(member) > limit)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET,
                          "\"%s\" must be an integer from 0 to %zu", key, limit);
    *value = (size_t)json_integer_value(member);
    return LUTRA_OK;
}
