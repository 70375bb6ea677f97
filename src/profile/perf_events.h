/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of whole devices (packages, memory controllers) by perf_event_open, as /sys describes them. For
 * the files of this folder. */
#ifndef LUTRA_PROFILE_PERF_EVENTS_H
#define LUTRA_PROFILE_PERF_EVENTS_H

#include "profile/meter.h"

#define LUTRA_PERF_DEVICES "/sys/bus/event_source/devices/"
#define LUTRA_MAX_PERF_EVENTS 128

typedef struct lutra_perf_event {
    int descriptor;
    double scale; /* of one count, in the unit that the device has */
    uint64_t first;
} lutra_perf_event;

typedef struct lutra_perf_events {
    lutra_perf_event at[LUTRA_MAX_PERF_EVENTS];
    size_t n;
} lutra_perf_events;

/* Adds `event` of `device` on each CPU that the device names for it, one of each package: none where there is
 * no such device or event. Errors: IO (which file cannot be read, or how to grant it). */
lutra_status lutra_perf_add(const lutra_world *world, const char *device, const char *event,
                            lutra_perf_events *events, lutra_error *error);
/* The sum since they were added. Errors: IO. */
lutra_status lutra_perf_sum(const lutra_world *world, const lutra_perf_events *events, double *sum,
                            lutra_error *error);
void lutra_perf_close(const lutra_world *world, const lutra_perf_events *events);

#endif
