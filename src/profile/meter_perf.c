/* SPDX-License-Identifier: Apache-2.0 */
/* The same counters as powercap's, by perf_event_open; the kernel has already undone their wrap-around. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "profile/meter.h"

#define FOLDER "/sys/bus/event_source/devices/power/"
#define MAX_COUNTERS 32
#define GRANT "sudo sysctl kernel.perf_event_paranoid=0, or CAP_PERFMON"

typedef struct counter {
    int descriptor;
    double joules; /* of one count */
    uint64_t first;
} counter;

typedef struct perf {
    counter counters[MAX_COUNTERS];
    size_t n;
} perf;

/* "0,8" or "0-1": the CPUs, one of each package, that an event is to be opened on. */
static size_t parse_cpus(const char *text, int *cpus, size_t most)
{
    size_t n = 0;
    while (*text >= '0' && *text <= '9' && n < most) {
        char *end;
        const long first = strtol(text, &end, 10);
        const long last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        for (long cpu = first; cpu <= last && n < most; cpu++)
            cpus[n++] = (int)cpu;
        text = *end == ',' ? end + 1 : end;
    }
    return n;
}

static lutra_status open_counters(const lutra_world *world, perf *p, const char *event, double type,
                                  lutra_error *error)
{
    char path[128], text[64];
    int cpus[MAX_COUNTERS];
    unsigned config;
    double joules;
    snprintf(path, sizeof path, FOLDER "events/%s", event);
    if (lutra_sys_text(world, path, text, sizeof text) || sscanf(text, "event=%x", &config) != 1)
        return LUTRA_OK; /* no such event */
    snprintf(path, sizeof path, FOLDER "events/%s.scale", event);
    int failed = lutra_sys_number(world, path, &joules);
    if (failed)
        return lutra_sys_fail(failed, path, NULL, error);
    if ((failed = lutra_sys_text(world, FOLDER "cpumask", text, sizeof text)))
        return lutra_sys_fail(failed, FOLDER "cpumask", NULL, error);
    const size_t n = parse_cpus(text, cpus, MAX_COUNTERS - p->n);
    for (size_t i = 0; i < n; i++) {
        counter *c = &p->counters[p->n];
        c->joules = joules;
        c->descriptor = world->perf_open(world->user, (uint32_t)type, config, cpus[i]);
        if (c->descriptor < 0)
            return lutra_sys_fail(-c->descriptor, "perf_event_open", GRANT, error);
        p->n++;
        if ((failed = -world->perf_read(world->user, c->descriptor, &c->first)))
            return lutra_sys_fail(failed, "perf_event_open", GRANT, error);
    }
    return LUTRA_OK;
}

static lutra_status open_perf(const lutra_world *world, void **state, lutra_error *error)
{
    double type;
    perf *p = NULL;
    lutra_status status = lutra_allocate(1, sizeof *p, "a meter", &p, error);
    *state = p;
    if (status)
        return status;
    if (lutra_sys_number(world, FOLDER "type", &type))
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET, "no " FOLDER "type");
    status = open_counters(world, p, "energy-pkg", type, error);
    if (status == LUTRA_OK && p->n == 0)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                          "no " FOLDER "events/energy-pkg");
    if (status == LUTRA_OK)
        status = open_counters(world, p, "energy-ram", type, error);
    return status;
}

static lutra_status read_perf(const lutra_world *world, void *state, lutra_reading *reading,
                              lutra_error *error)
{
    const perf *p = state;
    *reading = (lutra_reading){.is_new = true};
    for (size_t i = 0; i < p->n; i++) {
        uint64_t value;
        const int failed = -world->perf_read(world->user, p->counters[i].descriptor, &value);
        if (failed)
            return lutra_sys_fail(failed, "perf_event_open", GRANT, error);
        reading->value += p->counters[i].joules * (double)(value - p->counters[i].first);
    }
    return LUTRA_OK;
}

static void close_perf(const lutra_world *world, void *state)
{
    const perf *p = state;
    for (size_t i = 0; p && i < p->n; i++)
        world->perf_close(world->user, p->counters[i].descriptor);
    free(state);
}

const lutra_meter_kind lutra_meter_perf = {.open = open_perf, .read = read_perf, .close = close_perf};
