/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the description of a measured device (docs/devices.md). */
#include <stdlib.h>
#include <string.h>

#include "format/atomic_file.h"
#include "format/json.h"

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

static json_t *number(double value, const char *source)
{
    json_t *json = json_object();
    json_object_set_new(json, "value", json_real(value));
    json_object_set_new(json, "source", json_string(source));
    return json;
}

static json_t *caches_json(const lutra_device *d)
{
    json_t *list = json_array();
    for (size_t i = 0; i < d->n_caches; i++) {
        const lutra_cache *cache = &d->caches[i];
        json_t *json = json_object();
        json_object_set_new(json, "level", json_integer((json_int_t)i + 1));
        json_object_set_new(json, "bytes", number((double)cache->bytes, TOLD));
        json_object_set_new(json, "shared_by", json_integer((json_int_t)cache->shared_by));
        if (cache->bytes_per_second > 0)
            json_object_set_new(json, "gb_per_s", number(1e-9 * cache->bytes_per_second, MEASURED));
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *efficiency_json(const lutra_efficiency *e)
{
    json_t *json = json_object();
#define EFFICIENCY(name, value, help) json_object_set_new(json, #name, number(e->name, MEASURED));
#include "profile/efficiency.inc"
#undef EFFICIENCY
    return json;
}

static json_t *device_json(const lutra_device *d)
{
    json_t *json = json_object(), *macs = json_object(), *dram = json_object(), *pj = json_object();
    json_object_set_new(json, "name", json_string(d->name));
    json_object_set_new(json, "title", json_string(d->title));
    json_object_set_new(json, "core", json_string(d->core));
    json_object_set_new(json, "isa", json_string(d->isa));
    json_object_set_new(json, "cores", number((double)d->n_cores, TOLD));
    json_object_set_new(json, "clock_ghz", number(1e-9 * d->clock, MEASURED));
    json_object_set_new(json, "clock_all_ghz", number(1e-9 * d->clock_all, MEASURED));
    json_object_set_new(macs, "f32", number(d->macs_per_cycle_f32, MEASURED));
    json_object_set_new(macs, "bf16", number(d->macs_per_cycle_bf16, MEASURED));
    json_object_set_new(macs, "int8", number(d->macs_per_cycle_i8, MEASURED));
    json_object_set_new(json, "macs_per_cycle", macs);
    json_object_set_new(json, "caches", caches_json(d));
    json_object_set_new(dram, "one_core", number(1e-9 * d->dram_one_core, MEASURED));
    json_object_set_new(dram, "all_cores", number(1e-9 * d->dram_all_cores, MEASURED));
    json_object_set_new(json, "dram_gb_per_s", dram);
    json_object_set_new(pj, "dram_byte", number(d->pj_dram_byte, HOROWITZ));
    json_object_set_new(pj, "mac_f32", number(d->pj_mac_f32, JOUPPI));
    json_object_set_new(pj, "mac_bf16", number(d->pj_mac_bf16, JOUPPI));
    json_object_set_new(pj, "mac_int8", number(d->pj_mac_i8, JOUPPI));
    json_object_set_new(json, "pj", pj);
    if (d->efficiency_is_own)
        json_object_set_new(json, "efficiency", efficiency_json(&d->efficiency));
    json_object_set_new(json, "published", json_array());
    return json;
}

lutra_status lutra_device_write(const char *path, const lutra_device *device, lutra_error *error)
{
    json_t *json = device_json(device);
    char *text = json_dumps(json, JSON_INDENT(2));
    lutra_atomic_file *file = NULL;
    lutra_status status = text ? lutra_atomic_file_open(path, &file, error)
                               : lutra_fail_memory(error, SIZE_MAX, "a device's description");
    if (text && status == LUTRA_OK)
        status = lutra_atomic_file_write(file, 0, text, strlen(text), error);
    if (status == LUTRA_OK)
        status = lutra_atomic_file_commit(file, error);
    lutra_atomic_file_close(file);
    free(text);
    json_decref(json);
    return status;
}
