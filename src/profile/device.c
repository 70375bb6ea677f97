/* SPDX-License-Identifier: Apache-2.0 */
/* Reads device descriptions (docs/devices.md). */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "profile/device.h"

#define MAX_BYTES (1 << 20) /* of a file; those that come with Lutra have 5 KiB */
/* Beyond any device's numbers, in whatever unit; their products and quotients stay finite. */
#define MAX_NUMBER 1e15
#define MIN_NUMBER 1e-15

/* What is being read; the first failure stays, and what follows it does nothing. */
typedef struct reader {
    const char *path;
    lutra_error *error;
    lutra_status refusal, status;
} reader;

const lutra_efficiency lutra_default_efficiency = {
#define EFFICIENCY(name, value, help) .name = (value),
#include "efficiency.inc"
#undef EFFICIENCY
};

typedef enum presence { REQUIRED, OPTIONAL } presence;

static void refuse(reader *r, const char *where, const char *what)
{
    if (r->status == LUTRA_OK)
        r->status = lutra_fail(r->error, r->refusal, r->path, LUTRA_NO_OFFSET, "\"%s\" %s", where, what);
}

static void read_text(reader *r, const json_t *object, const char *key, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value || !*value)
        refuse(r, key, "must be a text that is not empty");
    else if (strlen(value) >= size)
        refuse(r, key, "is too long");
    else
        memcpy(text, value, strlen(value) + 1);
}

/* An object {"value": NUMBER, "source": TEXT} under `key` of `object`; `parent` is for messages. 0 where it
 * is optional and absent. */
static double read_number(reader *r, const json_t *object, const char *parent, const char *key,
                          presence presence_of)
{
    const json_t *number = json_object_get(object, key);
    const json_t *value = json_object_get(number, "value");
    char where[96];
    snprintf(where, sizeof where, "%s%s%s", parent, *parent ? "." : "", key);
    if (!number && presence_of == OPTIONAL)
        return 0;
    if (!number)
        refuse(r, where, "is missing");
    else if (!json_is_number(value) || !(json_number_value(value) > 0))
        refuse(r, where, "must have a \"value\" that is a number above 0");
    else if (json_number_value(value) < MIN_NUMBER || json_number_value(value) > MAX_NUMBER)
        refuse(r, where, "must have a \"value\" within reason");
    else if (!json_string_value(json_object_get(number, "source")))
        refuse(r, where, "must say its \"source\"");
    else
        return json_number_value(value);
    return 0;
}

/* The same for a whole number up to `limit`. */
static size_t read_count(reader *r, const json_t *object, const char *parent, const char *key, double limit)
{
    const double value = read_number(r, object, parent, key, REQUIRED);
    if (r->status == LUTRA_OK && (value != floor(value) || value > limit || value > (double)(SIZE_MAX / 2)))
        refuse(r, key, "must be a whole number within reason");
    return r->status ? 0 : (size_t)value;
}

static const json_t *read_object(reader *r, const json_t *json, const char *key)
{
    const json_t *object = json_object_get(json, key);
    if (!json_is_object(object))
        refuse(r, key, "must be an object");
    return object;
}

static void read_caches(reader *r, const json_t *json, lutra_device *device)
{
    const json_t *list = json_object_get(json, "caches");
    device->n_caches = json_array_size(list);
    if (!json_is_array(list) || device->n_caches > LUTRA_MAX_CACHES) {
        refuse(r, "caches", "must be a list of up to 4");
        return;
    }
    for (size_t i = 0; i < device->n_caches; i++) {
        const json_t *entry = json_array_get(list, i);
        const json_t *shared_by = json_object_get(entry, "shared_by");
        lutra_cache *cache = &device->caches[i];
        if (json_integer_value(json_object_get(entry, "level")) != (json_int_t)i + 1)
            refuse(r, "caches", "must have the levels 1, 2, ... in order");
        if (!json_is_integer(shared_by) || json_integer_value(shared_by) < 1 ||
            json_integer_value(shared_by) > LUTRA_MAX_CORES)
            refuse(r, "caches.shared_by", "must be the number of cores that share the cache");
        cache->bytes = read_count(r, entry, "caches", "bytes", 1e12);
        cache->shared_by = (size_t)json_integer_value(shared_by);
        cache->bytes_per_second = 1e9 * read_number(r, entry, "caches", "gb_per_s", OPTIONAL);
    }
}

/* The efficiency calibrated on the device; the library's own where the description has none. */
static void read_efficiency(reader *r, const json_t *json, lutra_device *device)
{
    const json_t *object = json_object_get(json, "efficiency");
    device->efficiency = lutra_default_efficiency;
    device->efficiency_is_own = object != NULL;
    if (!object)
        return;
    if (!json_is_object(object))
        refuse(r, "efficiency", "must be an object");
#define EFFICIENCY(name, value, help)                                                                        \
    device->efficiency.name = read_number(r, object, "efficiency", #name, REQUIRED);
#include "efficiency.inc"
#undef EFFICIENCY
}

static void read_device(reader *r, const json_t *json, lutra_device *device)
{
    read_text(r, json, "name", device->name, sizeof device->name);
    read_text(r, json, "title", device->title, sizeof device->title);
    read_text(r, json, "core", device->core, sizeof device->core);
    read_text(r, json, "isa", device->isa, sizeof device->isa);
    device->n_cores = read_count(r, json, "", "cores", LUTRA_MAX_CORES);
    device->clock = 1e9 * read_number(r, json, "", "clock_ghz", REQUIRED);
    device->clock_all = 1e9 * read_number(r, json, "", "clock_all_ghz", OPTIONAL);
    if (device->clock_all == 0)
        device->clock_all = device->clock;

    const json_t *macs = read_object(r, json, "macs_per_cycle");
    device->macs_per_cycle_f32 = read_number(r, macs, "macs_per_cycle", "f32", REQUIRED);
    device->macs_per_cycle_bf16 = read_number(r, macs, "macs_per_cycle", "bf16", OPTIONAL);
    device->macs_per_cycle_i8 = read_number(r, macs, "macs_per_cycle", "int8", REQUIRED);
    /* Such a core widens bf16 to f32. */
    if (device->macs_per_cycle_bf16 == 0)
        device->macs_per_cycle_bf16 = device->macs_per_cycle_f32;
    read_caches(r, json, device);

    const json_t *dram = read_object(r, json, "dram_gb_per_s");
    device->dram_all_cores = 1e9 * read_number(r, dram, "dram_gb_per_s", "all_cores", REQUIRED);
    device->dram_one_core = 1e9 * read_number(r, dram, "dram_gb_per_s", "one_core", OPTIONAL);
    if (device->dram_one_core == 0)
        device->dram_one_core = device->dram_all_cores;

    const json_t *pj = read_object(r, json, "pj");
    device->pj_dram_byte = read_number(r, pj, "pj", "dram_byte", REQUIRED);
    device->pj_mac_f32 = read_number(r, pj, "pj", "mac_f32", REQUIRED);
    device->pj_mac_bf16 = read_number(r, pj, "pj", "mac_bf16", REQUIRED);
    device->pj_mac_i8 = read_number(r, pj, "pj", "mac_int8", REQUIRED);
    read_efficiency(r, json, device);
}

lutra_status lutra_device_of_json(const json_t *json, const char *path, lutra_status refusal,
                                  lutra_device *device, lutra_error *error)
{
    reader r = {.path = path, .error = error, .refusal = refusal};
    *device = (lutra_device){0};
    read_device(&r, json, device);
    return r.status;
}

lutra_status lutra_device_read(const char *path, lutra_device *device, lutra_error *error)
{
    struct stat info;
    json_t *json = NULL;
    *device = (lutra_device){0};
    if (stat(path, &info) == 0 && info.st_size > MAX_BYTES)
        return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET,
                          "is too large for the description of a device");
    lutra_status status = lutra_json_read_optional(path, &json, error);
    if (status == LUTRA_OK && !json)
        status = lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "there is no such file");
    if (status == LUTRA_OK)
        status = lutra_device_of_json(json, path, LUTRA_ERROR_FORMAT, device, error);
    json_decref(json);
    return status;
}
