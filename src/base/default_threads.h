/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads to use where nobody says, and which CPUs they will run on. */
#ifndef LUTRA_BASE_DEFAULT_THREADS_H
#define LUTRA_BASE_DEFAULT_THREADS_H

#include <stddef.h>

#define LUTRA_MAX_CPUS 1024 /* as many as a cpu_set_t has room for */

/* Those of the CPUs in `allowed` [n_allowed] that belong to the fastest cluster, as many as the quota of the
 * process's control groups pays for; at least 1. `root` stands before the paths of /proc and /sys: "", or in
 * tests a folder with files such as they have. */
size_t lutra_useful_threads(const char *root, const size_t *allowed, size_t n_allowed);

/* Those of `allowed` [n_allowed] that belong to the fastest cluster -> `fastest` [n_allowed], which may be
 * the same memory; how many there are. */
size_t lutra_fastest_cpus(const char *root, const size_t *allowed, size_t n_allowed, size_t *fastest);

/* The same of the CPUs that this process may use; at least 1. */
size_t lutra_working_cpus(const char *root, size_t *cpus /* [LUTRA_MAX_CPUS] */);

#endif
