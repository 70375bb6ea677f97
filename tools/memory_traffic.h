/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of reads through memory: to empty the caches, and to keep the memory busy beside a benchmark. */
#ifndef LUTRA_TOOLS_MEMORY_TRAFFIC_H
#define LUTRA_TOOLS_MEMORY_TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the largest cache, as sysfs tells; 8 MiB where it does not. */
size_t tool_cache_bytes(void);

typedef struct tool_evictor tool_evictor;

/* What tool_evict needs: twice the largest cache in memory, and for each CPU this process may use a share of
 * it that is larger than the caches that the CPU has alone. NULL when out of memory. */
tool_evictor *tool_evictor_create(void);
void tool_evictor_free(tool_evictor *evictor); /* NULL is fine */

/* Reads all of it, a thread pinned to each CPU, so that next to nothing else is left in any cache. False
 * where a thread could not be started. */
bool tool_evict(tool_evictor *evictor);

typedef struct tool_contention tool_contention;

/* Starts `n_threads` that read through memory of their own, larger together than the largest cache, until
 * they are stopped. NULL where memory or threads run out. */
tool_contention *tool_contention_start(size_t n_threads);
/* Ends them and returns the bytes per second that they read together. NULL is fine: 0. */
double tool_contention_stop(tool_contention *contention);

#endif
