/* SPDX-License-Identifier: Apache-2.0 */
/* What a device's description is measured with; for the files of this folder. */
#ifndef LUTRA_PROFILE_MEASURE_H
#define LUTRA_PROFILE_MEASURE_H

#include "profile/meter.h"

/* The caches for data of a CPU, level 1 first; how many there are. 0 where the system does not tell;
 * one of a size that cannot be is left out. */
size_t lutra_read_caches(const lutra_world *world, size_t cpu, lutra_cache *caches /* [LUTRA_MAX_CACHES] */);

/* Cycles a second: of additions that each wait for the one before. */
double lutra_measure_clock(void);

/* Bytes that `n_threads` are to read together so that they come from main memory: four times the last caches
 * that they have, within bounds that a machine with `memory` bytes can spare. */
size_t lutra_bytes_beyond_caches(const lutra_device *device, size_t n_threads, uint64_t memory);

/* Bytes a second that `n_threads` read together, each through `bytes` of its own (what the loop reads in a
 * turn, at least) again and again. */
lutra_status lutra_measure_reading(size_t n_threads, size_t bytes, double *bytes_per_second,
                                   lutra_error *error);

#endif
