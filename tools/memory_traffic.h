/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of reads through memory: to empty the caches, and to keep the memory busy beside a benchmark. */
#ifndef LUTRA_TOOLS_MEMORY_TRAFFIC_H
#define LUTRA_TOOLS_MEMORY_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>

#include "lutra/lutra.h"

/* Bytes of the last caches that the cores of `n_threads` have; 8 MiB where the device tells of none. */
uint64_t tool_cache_bytes(const lutra_device *device, size_t n_threads);

typedef struct tool_evictor tool_evictor;

/* What tool_evict needs: memory of twice the last cache that a core has. NULL when out of memory. */
tool_evictor *tool_evictor_create(void);
void tool_evictor_free(tool_evictor *evictor); /* NULL is fine */

/* Reads all of it on each CPU that this process may use, so that next to nothing else is left in any cache:
 * the bytes that were read together; 0 where a thread could not be started. */
size_t tool_evict(tool_evictor *evictor);

typedef struct tool_contention tool_contention;

/* Starts `n_threads` that read through memory of their own, larger than a whole cache each, wherever they
 * run, until they are stopped. NULL where memory or threads run out. */
tool_contention *tool_contention_start(size_t n_threads);
/* Ends them and returns the bytes per second that they read together. NULL is fine: 0. */
double tool_contention_stop(tool_contention *contention);

#endif
