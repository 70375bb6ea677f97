/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cache that forgets what was used longest ago, fully associative: what a set-associative cache comes to on
 * average. It holds units of one size, numbered from 0.
 *
 *     lutra_lru_create(n_units, cache_bytes / unit_bytes, &lru, error);
 *     misses += !lutra_lru_touch(lru, unit);
 */
#ifndef LUTRA_PROFILE_LRU_H
#define LUTRA_PROFILE_LRU_H

#include "base/error.h"

typedef struct lutra_lru lutra_lru;

/* `n_units` < 2^32 - 1 there are, up to `capacity` of which the cache holds. */
lutra_status lutra_lru_create(size_t n_units, size_t capacity, lutra_lru **lru, lutra_error *error);
void lutra_lru_free(lutra_lru *lru); /* NULL is fine */

/* Whether the unit was there; it is now. */
bool lutra_lru_touch(lutra_lru *lru, size_t unit);

#endif
