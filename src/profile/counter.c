/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Traffic as the hardware counts it. Reads that the last cache misses: perf's own event of that name, not its
 * "cache misses", which are refills of the first cache on Arm and misses of the second on AMD's Zen. Whether
 * they are the program's alone or its prefetcher's too differs between processors. Bytes of the
 * memory controllers (Intel's uncore_imc, of servers and of clients): nothing is missing in them, and nothing
 * tells whose they are.
 */
#include "profile/counter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "profile/perf_events.h"

/* Of linux/perf_event.h. */
#define TYPE_CACHE 3                        /* PERF_TYPE_HW_CACHE */
#define LAST_CACHE_MISSES UINT64_C(0x10002) /* PERF_COUNT_HW_CACHE_LL, OP_READ << 8, RESULT_MISS << 16 */
#define LINE 64
#define GRANT "sudo sysctl kernel.perf_event_paranoid=1"
#define MOST_CONTROLLERS 32 /* of one name, numbered from 0 */
#define MIB 1048576.0       /* the unit of all of these events */

/* Servers' controllers, and what clients had before and have since. */
static const struct controllers {
    const char *name;
    bool is_numbered;
    const char *events[2];
} kinds[] = {{"uncore_imc", true, {"cas_count_read", "cas_count_write"}},
             {"uncore_imc", false, {"data_reads", "data_writes"}},
             {"uncore_imc_free_running", true, {"data_read", "data_write"}}};

struct lutra_counter {
    lutra_world world;
    int descriptor; /* of the misses; else -1 */
    lutra_perf_events memory;
};

static lutra_status create(const lutra_world *world, lutra_counter **counter, lutra_error *error)
{
    *counter = NULL;
    const lutra_status status = lutra_allocate(1, sizeof **counter, "a counter", counter, error);
    if (status == LUTRA_OK) {
        (*counter)->world = *world;
        (*counter)->descriptor = -1;
    }
    return status;
}

static lutra_status fail_misses(int error_number, lutra_error *error)
{
    switch (error_number) {
    case ENOENT:
    case EINVAL:
    case EOPNOTSUPP:
    case ENODEV:
    case ENOSYS:
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                          "the processor, or the kernel, counts no misses of the last cache");
    case EBUSY:
        return lutra_fail(
            error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
            "misses of the last cache were counted a part of the time alone: other programs have "
            "the counters, or some CPUs none");
    default:
        return lutra_sys_fail(error_number, "perf_event_open", GRANT, error);
    }
}

/* A counter that cannot be read is none. */
static lutra_status finish(lutra_status status, lutra_counter **counter, lutra_error *error)
{
    uint64_t bytes;
    if (status == LUTRA_OK)
        status = lutra_counter_read(*counter, &bytes, error);
    if (status) {
        lutra_counter_close(*counter);
        *counter = NULL;
    }
    return status;
}

lutra_status lutra_counter_open_in(const lutra_world *world, lutra_counter **counter, lutra_error *error)
{
    lutra_status status = create(world, counter, error);
    if (status)
        return status;
    (*counter)->descriptor = world->perf_open(world->user, TYPE_CACHE, LAST_CACHE_MISSES, LUTRA_THIS_PROCESS);
    if ((*counter)->descriptor < 0)
        status = fail_misses(-(*counter)->descriptor, error);
    return finish(status, counter, error);
}

/* Adds the events of the controllers of one kind. Their numbers may have holes. */
static lutra_status add_controllers(const lutra_world *world, const struct controllers *kind,
                                    lutra_perf_events *events, lutra_error *error)
{
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < (kind->is_numbered ? MOST_CONTROLLERS : 1); i++)
        for (size_t j = 0; j < sizeof kind->events / sizeof *kind->events && status == LUTRA_OK; j++) {
            char device[48];
            if (kind->is_numbered)
                snprintf(device, sizeof device, "%s_%zu", kind->name, i);
            else
                snprintf(device, sizeof device, "%s", kind->name);
            status = lutra_perf_add(world, device, kind->events[j], events, error);
        }
    return status;
}

lutra_status lutra_counter_open_memory_in(const lutra_world *world, lutra_counter **counter,
                                          lutra_error *error)
{
    lutra_status status = create(world, counter, error);
    if (status)
        return status;
    lutra_perf_events *memory = &(*counter)->memory;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && memory->n == 0 && status == LUTRA_OK; i++)
        status = add_controllers(world, &kinds[i], memory, error);
    if (status == LUTRA_OK && memory->n == 0)
        status = lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                            "no memory controller in " LUTRA_PERF_DEVICES "uncore_imc*");
    return finish(status, counter, error);
}

lutra_status lutra_counter_open(lutra_counter **counter, lutra_error *error)
{
    return lutra_counter_open_in(&lutra_real_world, counter, error);
}

lutra_status lutra_counter_open_memory(lutra_counter **counter, lutra_error *error)
{
    return lutra_counter_open_memory_in(&lutra_real_world, counter, error);
}

static lutra_status read_misses(const lutra_counter *counter, uint64_t *bytes, lutra_error *error)
{
    uint64_t misses = 0;
    const int failed = -counter->world.perf_read(counter->world.user, counter->descriptor, &misses);
    *bytes = misses * LINE;
    return failed ? fail_misses(failed, error) : LUTRA_OK;
}

lutra_status lutra_counter_read(lutra_counter *counter, uint64_t *bytes, lutra_error *error)
{
    double mib = 0;
    if (counter->descriptor >= 0)
        return read_misses(counter, bytes, error);
    const lutra_status status = lutra_perf_sum(&counter->world, &counter->memory, &mib, error);
    *bytes = 0;
    if (status)
        return status;
    if (MIB * mib >= (double)UINT64_MAX)
        return lutra_fail(error, LUTRA_ERROR_IO, NULL, LUTRA_NO_OFFSET,
                          "the memory controllers gave %g MiB, which is no traffic", mib);
    *bytes = (uint64_t)(MIB * mib);
    return LUTRA_OK;
}

void lutra_counter_close(lutra_counter *counter)
{
    if (!counter)
        return;
    if (counter->descriptor >= 0)
        counter->world.perf_close(counter->world.user, counter->descriptor);
    lutra_perf_close(&counter->world, &counter->memory);
    free(counter);
}
