/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/lru.h"

#include <stdlib.h>

#include "base/memory.h"

/* A ring of the units that the cache holds, the latest behind the end, which is link `n_units`. */
typedef struct link {
    uint32_t newer, older;
    bool held;
} link;

struct lutra_lru {
    size_t end, capacity, n_held;
    link links[];
};

lutra_status lutra_lru_create(size_t n_units, size_t capacity, lutra_lru **result, lutra_error *error)
{
    lutra_lru *lru = NULL;
    *result = NULL;
    if (n_units >= UINT32_MAX || n_units >= (SIZE_MAX - sizeof *lru) / sizeof *lru->links)
        return lutra_fail_memory(error, SIZE_MAX, "a model of a cache");
    lutra_status status = lutra_allocate(1, sizeof *lru + (n_units + 1) * sizeof *lru->links,
                                         "a model of a cache", &lru, error);
    if (status)
        return status;
    lru->end = n_units;
    lru->capacity = capacity ? capacity : 1;
    lru->links[n_units] = (link){.newer = (uint32_t)n_units, .older = (uint32_t)n_units};
    *result = lru;
    return LUTRA_OK;
}

void lutra_lru_free(lutra_lru *lru)
{
    free(lru);
}

static void take_out(lutra_lru *lru, size_t unit)
{
    const link at = lru->links[unit];
    lru->links[at.newer].older = at.older;
    lru->links[at.older].newer = at.newer;
}

static void put_in(lutra_lru *lru, size_t unit)
{
    const uint32_t latest = lru->links[lru->end].older;
    lru->links[unit] = (link){.newer = (uint32_t)lru->end, .older = latest, .held = true};
    lru->links[latest].newer = (uint32_t)unit;
    lru->links[lru->end].older = (uint32_t)unit;
}

bool lutra_lru_touch(lutra_lru *lru, size_t unit)
{
    const bool held = lru->links[unit].held;
    if (held) {
        take_out(lru, unit);
    } else if (lru->n_held == lru->capacity) {
        const size_t oldest = lru->links[lru->end].newer;
        take_out(lru, oldest);
        lru->links[oldest].held = false;
    } else {
        lru->n_held++;
    }
    put_in(lru, unit);
    return held;
}
