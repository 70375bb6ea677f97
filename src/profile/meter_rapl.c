/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel's and AMD's running average power limits, by Linux' powercap: counters of microjoules that wrap
 * around. Packages and their memory are summed. "psys" has the packages in it and a package has its cores in
 * it, so neither is added to them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "profile/meter.h"

#define MAX_ZONES 64
#define MAX_PACKAGES 16
#define MAX_PARTS 8 /* of a package: core, uncore, dram */
#define FOLDER "/sys/class/powercap/intel-rapl:"
#define GRANT "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"

typedef struct zone {
    char path[96];
    double range, last, sum; /* microjoules */
} zone;

typedef struct rapl {
    zone zones[MAX_ZONES];
    size_t n;
} rapl;

/* Whether the folder is one that counts; its zone is added to those that are read. */
static lutra_status add_zone(const lutra_world *world, const char *folder, const char *wanted, rapl *r,
                             bool *is_there, lutra_error *error)
{
    char path[128], name[64];
    snprintf(path, sizeof path, "%s/name", folder);
    *is_there = lutra_sys_text(world, path, name, sizeof name) == 0;
    if (!*is_there || strncmp(name, wanted, strlen(wanted)) != 0 || r->n == MAX_ZONES)
        return LUTRA_OK;
    zone *z = &r->zones[r->n];
    snprintf(path, sizeof path, "%s/max_energy_range_uj", folder);
    int failed = lutra_sys_number(world, path, &z->range);
    if (failed)
        return lutra_sys_fail(failed, path, GRANT, error);
    snprintf(z->path, sizeof z->path, "%s/energy_uj", folder);
    failed = lutra_sys_number(world, z->path, &z->last);
    if (failed)
        return lutra_sys_fail(failed, z->path, GRANT, error);
    r->n++;
    return LUTRA_OK;
}

static lutra_status open_rapl(const lutra_world *world, void **state, lutra_error *error)
{
    rapl *r = NULL;
    lutra_status status = lutra_allocate(1, sizeof *r, "a meter", &r, error);
    *state = r;
    for (size_t package = 0; status == LUTRA_OK && package < MAX_PACKAGES; package++) {
        char folder[80];
        bool is_there;
        snprintf(folder, sizeof folder, FOLDER "%zu", package);
        status = add_zone(world, folder, "package", r, &is_there, error);
        for (size_t part = 0; status == LUTRA_OK && is_there && part < MAX_PARTS; part++) {
            bool part_is_there;
            snprintf(folder, sizeof folder, FOLDER "%zu:%zu", package, part);
            status = add_zone(world, folder, "dram", r, &part_is_there, error);
        }
    }
    if (status == LUTRA_OK && r->n == 0)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET, "no package in " FOLDER "*");
    return status;
}

static lutra_status read_rapl(const lutra_world *world, void *state, lutra_reading *reading,
                              lutra_error *error)
{
    rapl *r = state;
    *reading = (lutra_reading){.is_new = true};
    for (size_t i = 0; i < r->n; i++) {
        zone *z = &r->zones[i];
        double value;
        const int failed = lutra_sys_number(world, z->path, &value);
        if (failed)
            return lutra_sys_fail(failed, z->path, GRANT, error);
        const double grown = value >= z->last ? value - z->last : value - z->last + z->range;
        if (grown < 0)
            return lutra_fail(error, LUTRA_ERROR_FORMAT, z->path, LUTRA_NO_OFFSET,
                              "fell from %.0f to %.0f, which is more than its range of %.0f", z->last, value,
                              z->range);
        z->sum += grown;
        z->last = value;
        reading->value += 1e-6 * z->sum;
    }
    return LUTRA_OK;
}

static void close_rapl(const lutra_world *world, void *state)
{
    (void)world;
    free(state);
}

const lutra_meter_kind lutra_meter_rapl = {.open = open_rapl, .read = read_rapl, .close = close_rapl};
