/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/perf_events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CPUS 32
#define MOST_CPU 65535 /* beyond the numbers that Linux gives */
#define GRANT "sudo sysctl kernel.perf_event_paranoid=0, or CAP_PERFMON"

/* "0,8" or "0-1": the CPUs, one of each package, that an event is to be opened on. False where they are no
 * CPUs' numbers. */
static bool parse_cpus(const char *text, int *cpus, size_t most, size_t *n)
{
    for (*n = 0; *text >= '0' && *text <= '9' && *n < most;) {
        char *end;
        const long first = strtol(text, &end, 10);
        const long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        if (last < first || last > MOST_CPU)
            return false;
        for (long cpu = first; cpu <= last && *n < most; cpu++)
            cpus[(*n)++] = (int)cpu;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

/* "event=0x04,umask=0x03": bits 0 to 7 and 8 to 15 in all devices that are read here. */
static bool parse_config(const char *text, uint64_t *config)
{
    unsigned event = 0, umask = 0;
    const int n = sscanf(text, "event=%8x,umask=%8x", &event, &umask);
    *config = event | (uint64_t)umask << 8;
    return n >= 1;
}

static lutra_status open_on(const lutra_world *world, uint32_t type, uint64_t config, int cpu, double scale,
                            lutra_perf_events *events, lutra_error *error)
{
    lutra_perf_event *e = &events->at[events->n];
    int failed;
    e->scale = scale;
    e->descriptor = world->perf_open(world->user, type, config, cpu);
    if (e->descriptor < 0)
        return lutra_sys_fail(-e->descriptor, "perf_event_open", GRANT, error);
    events->n++;
    if ((failed = -world->perf_read(world->user, e->descriptor, &e->first)))
        return lutra_sys_fail(failed, "perf_event_open", GRANT, error);
    return LUTRA_OK;
}

lutra_status lutra_perf_add(const lutra_world *world, const char *device, const char *event,
                            lutra_perf_events *events, lutra_error *error)
{
    char path[192], text[64];
    int cpus[MAX_CPUS], failed;
    size_t n;
    uint64_t config;
    double type, scale;
    lutra_status status = LUTRA_OK;
    snprintf(path, sizeof path, LUTRA_PERF_DEVICES "%s/type", device);
    if (lutra_sys_number(world, path, &type))
        return LUTRA_OK;
    snprintf(path, sizeof path, LUTRA_PERF_DEVICES "%s/events/%s", device, event);
    if (lutra_sys_text(world, path, text, sizeof text) || !parse_config(text, &config))
        return LUTRA_OK;
    if (!(type >= 0 && type <= UINT32_MAX))
        return lutra_fail(error, LUTRA_ERROR_IO, device, LUTRA_NO_OFFSET, "has %g for its type", type);
    snprintf(path, sizeof path, LUTRA_PERF_DEVICES "%s/events/%s.scale", device, event);
    if ((failed = lutra_sys_number(world, path, &scale)))
        return lutra_sys_fail(failed, path, NULL, error);
    if (!(scale > 0))
        return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "holds %g, which is no scale", scale);
    snprintf(path, sizeof path, LUTRA_PERF_DEVICES "%s/cpumask", device);
    if ((failed = lutra_sys_text(world, path, text, sizeof text)))
        return lutra_sys_fail(failed, path, NULL, error);
    const size_t left = LUTRA_MAX_PERF_EVENTS - events->n;
    if (!parse_cpus(text, cpus, left < MAX_CPUS ? left : MAX_CPUS, &n))
        return lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "holds '%s', which are no CPUs",
                          text);
    for (size_t i = 0; i < n && status == LUTRA_OK; i++)
        status = open_on(world, (uint32_t)type, config, cpus[i], scale, events, error);
    return status;
}

lutra_status lutra_perf_sum(const lutra_world *world, const lutra_perf_events *events, double *sum,
                            lutra_error *error)
{
    *sum = 0;
    for (size_t i = 0; i < events->n; i++) {
        const lutra_perf_event *e = &events->at[i];
        uint64_t value;
        const int failed = -world->perf_read(world->user, e->descriptor, &value);
        if (failed)
            return lutra_sys_fail(failed, "perf_event_open", GRANT, error);
        *sum += e->scale * (double)(value - e->first);
    }
    return LUTRA_OK;
}

void lutra_perf_close(const lutra_world *world, const lutra_perf_events *events)
{
    for (size_t i = 0; i < events->n; i++)
        world->perf_close(world->user, events->at[i].descriptor);
}
