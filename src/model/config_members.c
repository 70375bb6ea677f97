/* SPDX-License-Identifier: Apache-2.0 */
/* Members of configuration files, each with its type and range checked. */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "model/vit_settings.h"

/* The least double that rounds to an infinite float. */
#define INFINITE_FLOAT 0x1.ffffffp127

static lutra_status fail(lutra_error *error, const char *path, const char *key, const char *must)
{
    return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET, "\"%s\" must be %s", key, must);
}

const json_t *lutra_config_present(const json_t *object, const char *key)
{
    const json_t *member = json_object_get(object, key);
    return json_is_null(member) ? NULL : member;
}

static bool to_size(const json_t *json, size_t *value)
{
    if (!json_is_integer(json) || json_integer_value(json) < 1 || json_integer_value(json) > LUTRA_MAX_EXTENT)
        return false;
    *value = (size_t)json_integer_value(json);
    return true;
}

const json_t *lutra_config_element(const json_t *list, size_t index)
{
    char key[24];
    snprintf(key, sizeof key, "%zu", index);
    return json_is_object(list) ? json_object_get(list, key) : json_array_get(list, index);
}

lutra_status lutra_config_size(const json_t *object, const char *key, const char *path, size_t *value,
                               lutra_error *error)
{
    const json_t *member = lutra_config_present(object, key);
    if (member && !to_size(member, value))
        return fail(error, path, key, "an integer from 1 to 65536");
    return LUTRA_OK;
}

lutra_status lutra_config_number(const json_t *object, const char *key, const char *path, double *value,
                                 lutra_error *error)
{
    const json_t *member = lutra_config_present(object, key);
    if (!member)
        return LUTRA_OK;
    /* Floats are what it will be used as. */
    if (!json_is_number(member) || !(json_number_value(member) >= (double)FLT_MIN) ||
        json_number_value(member) > (double)FLT_MAX)
        return fail(error, path, key, "a number above 0, of a float's range");
    *value = json_number_value(member);
    return LUTRA_OK;
}

lutra_status lutra_config_flag(const json_t *object, const char *key, const char *path, bool *value,
                               lutra_error *error)
{
    const json_t *member = lutra_config_present(object, key);
    if (!member)
        return LUTRA_OK;
    if (!json_is_boolean(member))
        return fail(error, path, key, "true or false");
    *value = json_is_true(member);
    return LUTRA_OK;
}

lutra_status lutra_config_rgb(const json_t *object, const char *key, const char *path, float *value,
                              lutra_error *error)
{
    const json_t *member = lutra_config_present(object, key);
    if (!member)
        return LUTRA_OK;
    if (json_array_size(member) != 3)
        return fail(error, path, key, "three numbers");
    for (size_t i = 0; i < 3; i++) {
        const json_t *number = json_array_get(member, i);
        if (!json_is_number(number) || !(fabs(json_number_value(number)) < INFINITE_FLOAT))
            return fail(error, path, key, "three numbers");
        value[i] = (float)json_number_value(number);
    }
    return LUTRA_OK;
}

lutra_status lutra_config_rgb_divisor(const json_t *object, const char *key, const char *path, float *value,
                                      lutra_error *error)
{
    lutra_status status = lutra_config_rgb(object, key, path, value, error);
    for (size_t i = 0; i < 3 && status == LUTRA_OK; i++)
        if (value[i] < 1e-6f)
            status = fail(error, path, key, "three numbers above 0");
    return status;
}

lutra_status lutra_config_part(const json_t *object, const char *key, const char *path, double *value,
                               lutra_error *error)
{
    double part = *value;
    lutra_status status = lutra_config_number(object, key, path, &part, error);
    if (status)
        return status;
    if (lutra_config_present(object, key) && part > 1)
        return fail(error, path, key, "a number above 0 and not above 1");
    *value = part;
    return LUTRA_OK;
}

lutra_status lutra_config_extent(const json_t *object, const char *key, const char *path, size_t *height,
                                 size_t *width, lutra_error *error)
{
    const json_t *member = lutra_config_present(object, key);
    if (!member)
        return LUTRA_OK;
    if (to_size(member, height)) {
        *width = *height;
        return LUTRA_OK;
    }
    if (json_array_size(member) != 2 || !to_size(json_array_get(member, 0), height) ||
        !to_size(json_array_get(member, 1), width))
        return fail(error, path, key, "one or two integers from 1 to 65536");
    return LUTRA_OK;
}
