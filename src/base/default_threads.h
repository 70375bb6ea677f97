/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads to use where nobody says. */
#ifndef LUTRA_BASE_DEFAULT_THREADS_H
#define LUTRA_BASE_DEFAULT_THREADS_H

#include <stddef.h>

/* Those of the CPUs in `allowed` [n_allowed] that belong to the fastest cluster, as many as the quota of the
 * process's control groups pays for; at least 1. `root` stands before the paths of /proc and /sys: "", or in
 * tests a folder with files such as they have. */
size_t lutra_useful_threads(const char *root, const size_t *allowed, size_t n_allowed);

#endif
