/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json.h"

#include <unistd.h>

#include "base/file_map.h"

lutra_status lutra_json_parse(const void *text, size_t size, const char *path, uint64_t base, json_t **json,
                              lutra_error *error)
{
    json_error_t problem;
    *json = NULL;
    if (size > LUTRA_MAX_JSON_BYTES)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, base, "%zu bytes of JSON are more than %d", size,
                          LUTRA_MAX_JSON_BYTES);
    *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (*json)
        return LUTRA_OK;
    if (json_error_code(&problem) == json_error_out_of_memory)
        return lutra_fail_memory(error, size, "JSON");
    return lutra_fail(error, LUTRA_ERROR_FORMAT, path, base + (uint64_t)problem.position, "invalid JSON: %s",
                      problem.text);
}

lutra_status lutra_json_read_optional(const char *path, json_t **json, lutra_error *error)
{
    lutra_file_map map;
    *json = NULL;
    if (access(path, F_OK) != 0)
        return LUTRA_OK;
    lutra_status status = lutra_file_map_open(path, &map, error);
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
