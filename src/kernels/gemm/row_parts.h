/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the rows of a product are cut: into parts, of which a task takes one, and a part into chunks of at most
 * a tile's rows, both as even as whole units of rows allow.
 *
 * Where weights are few and rows enough, a thread has the same rows in product after product, with all of the
 * weights: what one step writes then lies in the caches of the processor that reads it in the next. Many
 * weights are cut instead, so that each thread brings but some of the panels; then rows are passed on.
 */
#ifndef LUTRA_KERNELS_GEMM_ROW_PARTS_H
#define LUTRA_KERNELS_GEMM_ROW_PARTS_H

#include "base/size.h"
#include "base/thread_pool.h"

/* A panel is brought in the time of 2 to 13 rows' multiply-adds (docs/kernels.md), for each part again. */
#define LUTRA_MIN_PART_ROWS ((size_t)96)
/* More do not stay in a second-level cache, nor does it gain anything to bring all on each thread: measured,
 * with two threads, for DeiT-Small's matrices (up to 590 K weights) and DeiT-Base's (up to 2.4 M). */
#define LUTRA_MAX_WEIGHTS_OF_ALL ((size_t)1 << 20)

typedef struct lutra_row_parts {
    size_t m, unit; /* rows, and how many stay together */
    size_t tile_rows, n_parts;
} lutra_row_parts;

/* Where share `i` of `n` equal ones of `count` begins. */
static inline size_t lutra_share(size_t count, size_t i, size_t n)
{
    return (size_t)((uint64_t)count * i / n);
}

/* The first unit of `part`; of part n_parts, the number of units. */
static inline size_t lutra_part_unit(const lutra_row_parts *parts, size_t part)
{
    return lutra_share(lutra_divide_up(parts->m, parts->unit), part, parts->n_parts);
}

static inline size_t lutra_unit_row(const lutra_row_parts *parts, size_t unit)
{
    return lutra_smaller(unit * parts->unit, parts->m);
}

static inline size_t lutra_part_chunks(const lutra_row_parts *parts, size_t part)
{
    const size_t begin = lutra_unit_row(parts, lutra_part_unit(parts, part));
    const size_t end = lutra_unit_row(parts, lutra_part_unit(parts, part + 1));
    return lutra_divide_up(end - begin, parts->tile_rows);
}

/* The first row of `chunk` of `n_chunks` in `part`; of chunk n_chunks, that of the next part. */
static inline size_t lutra_chunk_row(const lutra_row_parts *parts, size_t part, size_t chunk, size_t n_chunks)
{
    const size_t begin = lutra_part_unit(parts, part), end = lutra_part_unit(parts, part + 1);
    return lutra_unit_row(parts, begin + lutra_share(end - begin, chunk, n_chunks));
}

/* Chooses the number of parts for `n_weights` in `n_groups` groups of panels on `n_threads` threads. */
static inline void lutra_choose_parts(lutra_row_parts *parts, size_t n_groups, size_t n_weights,
                                      size_t n_threads)
{
    size_t each = 1;
    for (size_t n = 2; n_weights <= LUTRA_MAX_WEIGHTS_OF_ALL && n <= n_threads; n++)
        if (n_threads % n == 0 && parts->m / n >= LUTRA_MIN_PART_ROWS)
            each = n;
    parts->n_parts = each;
    while (n_threads > 1 && parts->n_parts * n_groups < n_threads * LUTRA_TASKS_PER_THREAD)
        parts->n_parts += each;
    parts->n_parts = lutra_smaller(parts->n_parts, lutra_divide_up(parts->m, parts->tile_rows));
}

#endif
