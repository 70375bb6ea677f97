/* SPDX-License-Identifier: Apache-2.0 */
/* Misses of the last cache as the processor counts them: what it takes for those lines that came from memory,
 * be it for the program or for its prefetcher, differs between processors. */
#include "profile/counter.h"

#include <stdlib.h>

#include "base/memory.h"

#define TYPE_HARDWARE 0 /* PERF_TYPE_HARDWARE of linux/perf_event.h */
#define CACHE_MISSES 3  /* PERF_COUNT_HW_CACHE_MISSES */
#define LINE 64
#define GRANT "sudo sysctl kernel.perf_event_paranoid=1"

struct lutra_counter {
    lutra_world world;
    int descriptor;
};

lutra_status lutra_counter_open_in(const lutra_world *world, lutra_counter **result, lutra_error *error)
{
    lutra_counter *counter = NULL;
    uint64_t bytes;
    *result = NULL;
    lutra_status status = lutra_allocate(1, sizeof *counter, "a counter", &counter, error);
    if (status)
        return status;
    counter->world = *world;
    counter->descriptor = world->perf_open(world->user, TYPE_HARDWARE, CACHE_MISSES, LUTRA_THIS_PROCESS);
    if (counter->descriptor < 0)
        status = lutra_sys_fail(-counter->descriptor, "perf_event_open", GRANT, error);
    else
        status = lutra_counter_read(counter, &bytes, error);
    if (status)
        lutra_counter_close(counter);
    else
        *result = counter;
    return status;
}

lutra_status lutra_counter_open(lutra_counter **counter, lutra_error *error)
{
    return lutra_counter_open_in(&lutra_real_world, counter, error);
}

lutra_status lutra_counter_read(lutra_counter *counter, uint64_t *bytes, lutra_error *error)
{
    uint64_t misses = 0;
    const int failed = -counter->world.perf_read(counter->world.user, counter->descriptor, &misses);
    *bytes = misses * LINE;
    return failed ? lutra_sys_fail(failed, "perf_event_open", GRANT, error) : LUTRA_OK;
}

void lutra_counter_close(lutra_counter *counter)
{
    if (counter && counter->descriptor >= 0)
        counter->world.perf_close(counter->world.user, counter->descriptor);
    free(counter);
}
