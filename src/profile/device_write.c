/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the description of a measured device (docs/devices.md). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "profile/device.h"

#define MEASURED "measured: lutra device measure"
#define TOLD "measured: /sys/devices/system/cpu"
#define HOROWITZ                                                                                             \
    "derived: 1.3 nJ for 64 bits of DDR3 or DDR4 at the least, Horowitz, Computing's Energy Problem, ISSCC " \
    "2014, "                                                                                                 \
    "doi:10.1109/ISSCC.2014.6757323"
#define JOUPPI                                                                                               \
    "derived: multiply + add at 7 nm, table 2 of Jouppi et al., Ten Lessons From Three Generations Shaped "  \
    "Google's "                                                                                              \
    "TPUv4i, ISCA 2021, doi:10.1109/ISCA52012.2021.00010; the bare operation alone"

/* What JSON has no form for becomes null, which is refused when it is read: a null pointer is want of memory.
 */
static json_t *text_or_null(const char *value)
{
    return lutra_is_utf8(value, strlen(value)) ? json_string(value) : json_null();
}

static json_t *number(double value, const char *source)
{
    json_t *json = json_object();
    lutra_json_set(&json, "value", isfinite(value) ? json_real(value) : json_null());
    lutra_json_set(&json, "source", json_string(source));
    return json;
}

static json_t *caches_json(const lutra_device *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n_caches; i++) {
        const lutra_cache *cache = &d->caches[i];
        json_t *json = json_object();
        lutra_json_set(&json, "level", json_integer((json_int_t)i + 1));
        lutra_json_set(&json, "bytes", number((double)cache->bytes, TOLD));
        lutra_json_set(&json, "shared_by", json_integer((json_int_t)cache->shared_by));
        if (cache->bytes_per_second > 0)
            lutra_json_set(&json, "gb_per_s", number(1e-9 * cache->bytes_per_second, MEASURED));
        lutra_json_append(&list, json);
    }
    return list;
}

static json_t *efficiency_json(const lutra_efficiency *e)
{
    json_t *json = json_object();
#define EFFICIENCY(name, value, help) lutra_json_set(&json, #name, number(e->name, MEASURED));
#include "profile/efficiency.inc"
#undef EFFICIENCY
    return json;
}

static json_t *device_json(const lutra_device *d)
{
    json_t *json = json_object(), *macs = json_object(), *dram = json_object(), *pj = json_object();
    lutra_json_set(&json, "name", text_or_null(d->name));
    lutra_json_set(&json, "title", text_or_null(d->title));
    lutra_json_set(&json, "core", text_or_null(d->core));
    lutra_json_set(&json, "isa", text_or_null(d->isa));
    lutra_json_set(&json, "cores", number((double)d->n_cores, TOLD));
    lutra_json_set(&json, "clock_ghz", number(1e-9 * d->clock, MEASURED));
    lutra_json_set(&json, "clock_all_ghz", number(1e-9 * d->clock_all, MEASURED));
    lutra_json_set(&macs, "f32", number(d->macs_per_cycle_f32, MEASURED));
    lutra_json_set(&macs, "bf16", number(d->macs_per_cycle_bf16, MEASURED));
    lutra_json_set(&macs, "int8", number(d->macs_per_cycle_i8, MEASURED));
    lutra_json_set(&json, "macs_per_cycle", macs);
    lutra_json_set(&json, "caches", caches_json(d));
    lutra_json_set(&dram, "one_core", number(1e-9 * d->dram_one_core, MEASURED));
    lutra_json_set(&dram, "all_cores", number(1e-9 * d->dram_all_cores, MEASURED));
    lutra_json_set(&json, "dram_gb_per_s", dram);
    lutra_json_set(&pj, "dram_byte", number(d->pj_dram_byte, HOROWITZ));
    lutra_json_set(&pj, "mac_f32", number(d->pj_mac_f32, JOUPPI));
    lutra_json_set(&pj, "mac_bf16", number(d->pj_mac_bf16, JOUPPI));
    lutra_json_set(&pj, "mac_int8", number(d->pj_mac_i8, JOUPPI));
    lutra_json_set(&json, "pj", pj);
    if (d->efficiency_is_own)
        lutra_json_set(&json, "efficiency", efficiency_json(&d->efficiency));
    lutra_json_set(&json, "published", json_array());
    return json;
}

lutra_status lutra_device_write(const char *path, const lutra_device *device, lutra_error *error)
{
    char *text = NULL;
    lutra_device read;
    if (device->n_caches > LUTRA_MAX_CACHES)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "a device of %zu caches: up to %d", device->n_caches, LUTRA_MAX_CACHES);
    json_t *json = device_json(device);
    lutra_status status = lutra_json_text(json, JSON_INDENT(2), "a device's description", &text, error);
    if (status == LUTRA_OK)
        status = lutra_device_of_json(json, path, LUTRA_ERROR_ARGUMENT, &read, error);
    if (status == LUTRA_OK)
        status = lutra_write_file(path, text, strlen(text), NULL, 0, error);
    free(text);
    json_decref(json);
    return status;
}
