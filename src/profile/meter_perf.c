/* SPDX-License-Identifier: Apache-2.0 */
/* The same counters as powercap's, by perf_event_open; the kernel has already undone their wrap-around. */
#include <stdlib.h>

#include "base/memory.h"
#include "profile/perf_events.h"

#define DEVICE "power"

static lutra_status unsupported(const char *what, lutra_error *error)
{
    return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET, "no " LUTRA_PERF_DEVICES "%s",
                      what);
}

static lutra_status open_perf(const lutra_world *world, void **state, lutra_error *error)
{
    double type;
    lutra_perf_events *events = NULL;
    lutra_status status = lutra_allocate(1, sizeof *events, "a meter", &events, error);
    *state = events;
    if (status)
        return status;
    if (lutra_sys_number(world, LUTRA_PERF_DEVICES DEVICE "/type", &type))
        return unsupported(DEVICE "/type", error);
    status = lutra_perf_add(world, DEVICE, "energy-pkg", events, error);
    if (status == LUTRA_OK && events->n == 0)
        return unsupported(DEVICE "/events/energy-pkg", error);
    if (status == LUTRA_OK)
        status = lutra_perf_add(world, DEVICE, "energy-ram", events, error);
    return status;
}

static lutra_status read_perf(const lutra_world *world, void *state, lutra_reading *reading,
                              lutra_error *error)
{
    *reading = (lutra_reading){.is_new = true};
    return lutra_perf_sum(world, state, &reading->value, error);
}

static void close_perf(const lutra_world *world, void *state)
{
    if (state)
        lutra_perf_close(world, state);
    free(state);
}

const lutra_meter_kind lutra_meter_perf = {.open = open_perf, .read = read_perf, .close = close_perf};
