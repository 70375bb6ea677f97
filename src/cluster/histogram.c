/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upper 16 bits of a float (sign, exponent, 7 bits of the fraction) make 65,536 cells, which cover every
 * magnitude without a first look for the range. One pass counts the values in each. Then cells are cut into
 * equal parts, or joined with their neighbours, so that count x width^2 of the resulting bins is about equal:
 * k-means puts its centres as densely as that (Panter and Dite), and the bound of kmeans_1d.c becomes tight.
 * A second pass adds up the moments of each bin.
 */
#include "cluster/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cluster/float_key.h"

#define N_CELLS 65536
#define CELL_SHIFT 16
#define FRACTION_MASK 0xffffu

/* A value with key K lies in bin `base` + ((K mod 2^16) * parts >> 16) of its cell K >> 16. */
typedef struct cell {
    uint32_t base, parts;
} cell;

typedef struct job {
    const lutra_values *values;
    uint64_t *counts;       /* [threads][N_CELLS] */
    const cell *cells;      /* [N_CELLS] */
    const lutra_bin *empty; /* [n_bins] with edges and widths */
    lutra_bin *bins;        /* [n_chunks][n_bins] */
    size_t n_bins;
} job;

static void count_row(void *counts_, const float *x, size_t k, double weight)
{
    uint64_t *counts = counts_;
    (void)weight;
    for (size_t i = 0; i < k; i++)
        counts[lutra_float_to_key(x[i]) >> CELL_SHIFT]++;
}

static void count_chunk(void *job_, size_t chunk, size_t worker)
{
    const job *j = job_;
    lutra_values_for_chunk(j->values, chunk, worker, count_row, j->counts + worker * N_CELLS);
}

typedef struct row_target {
    const cell *cells;
    lutra_bin *bins;
} row_target;

static void add_row(void *target_, const float *x, size_t k, double weight)
{
    const row_target *target = target_;
    for (size_t i = 0; i < k; i++) {
        const uint32_t key = lutra_float_to_key(x[i]);
        const cell at = target->cells[key >> CELL_SHIFT];
        lutra_bin *bin = &target->bins[at.base + ((key & FRACTION_MASK) * at.parts >> CELL_SHIFT)];
        const double offset = x[i] - bin->edge, weighted = weight * offset;
        bin->weight += weight;
        bin->first += weighted;
        bin->second += weighted * offset;
    }
}

static void add_chunk(void *job_, size_t chunk, size_t worker)
{
    const job *j = job_;
    row_target target = {.cells = j->cells, .bins = j->bins + chunk * j->n_bins};
    memcpy(target.bins, j->empty, j->n_bins * sizeof *target.bins);
    lutra_values_for_chunk(j->values, chunk, worker, add_row, &target);
}

static double cell_start(uint32_t index)
{
    return (double)lutra_key_to_float(index << CELL_SHIFT);
}

static double cell_end(uint32_t index) /* the largest value in it */
{
    return (double)lutra_key_to_float(index << CELL_SHIFT | FRACTION_MASK);
}

static double measure_of(double count, double width)
{
    return count * width * width;
}

/* What each bin should measure for about `n_wanted` in all. */
static double target_measure(const uint64_t *counts, size_t n_wanted)
{
    double sum = 0;
    for (uint32_t i = 0; i < N_CELLS; i++)
        if (counts[i] > 0)
            sum += cbrt(measure_of((double)counts[i], cell_end(i) - cell_start(i)));
    const double root = sum / (double)n_wanted;
    return root * root * root;
}

/* Parts that a cell is cut into, at most one for each fraction; 1: it may be joined with others. */
static size_t parts_of(uint32_t index, uint64_t count, double measure)
{
    const double parts = cbrt(measure_of((double)count, cell_end(index) - cell_start(index)) / measure);
    return parts >= N_CELLS ? N_CELLS : parts > 1 ? (size_t)ceil(parts) : 1;
}

static void cut_cell(uint32_t index, size_t parts, lutra_bin *bins) /* [parts] */
{
    for (size_t part = 0; part < parts; part++) {
        /* The fractions f with f * parts / 2^16 = part, rounded down. As many parts as there are fractions
         * make a product of 33 bits. */
        const uint32_t least = (uint32_t)(((uint64_t)part * N_CELLS + parts - 1) / parts);
        const uint32_t next = (uint32_t)(((uint64_t)(part + 1) * N_CELLS + parts - 1) / parts);
        const double start = (double)lutra_key_to_float(index << CELL_SHIFT | least);
        bins[part] = (lutra_bin){
            .edge = start, .width = (double)lutra_key_to_float(index << CELL_SHIFT | (next - 1)) - start};
    }
}

/* Fills `cells` [N_CELLS] and the edges and widths of `bins`, which have room for lay_out_limit; their
 * number. */
static size_t lay_out(const uint64_t *counts, double measure, cell *cells, lutra_bin *bins)
{
    size_t n = 0;
    uint64_t joined = 0; /* values in the last bin, if it may take in more cells; else 0 */
    for (uint32_t i = 0; i < N_CELLS; i++) {
        if (counts[i] == 0)
            continue;
        const size_t parts = parts_of(i, counts[i], measure);
        const double end = cell_end(i);
        if (parts > 1) {
            cut_cell(i, parts, &bins[n]);
            joined = 0;
        } else if (joined > 0 &&
                   measure_of((double)(joined + counts[i]), end - bins[n - 1].edge) <= measure) {
            bins[n - 1].width = end - bins[n - 1].edge;
            joined += counts[i];
            cells[i] = (cell){.base = (uint32_t)(n - 1), .parts = 1};
            continue;
        } else {
            bins[n] = (lutra_bin){.edge = cell_start(i), .width = end - cell_start(i)};
            joined = counts[i];
        }
        cells[i] = (cell){.base = (uint32_t)n, .parts = (uint32_t)parts};
        n += parts;
    }
    return n;
}

static size_t lay_out_limit(const uint64_t *counts, double measure)
{
    size_t n = 0;
    for (uint32_t i = 0; i < N_CELLS; i++)
        if (counts[i] > 0)
            n += parts_of(i, counts[i], measure);
    return n;
}

/* Sums the chunks' bins in their order and drops empty ones; the result lies in the first chunk's. */
static void reduce(lutra_bin *bins, size_t n_bins, size_t n_chunks, lutra_bins *result)
{
    size_t n = 0;
    for (size_t i = 0; i < n_bins; i++) {
        lutra_bin sum = bins[i];
        for (size_t chunk = 1; chunk < n_chunks; chunk++) {
            const lutra_bin *other = &bins[chunk * n_bins + i];
            sum.weight += other->weight;
            sum.first += other->first;
            sum.second += other->second;
        }
        if (sum.weight > 0)
            bins[n++] = sum;
    }
    result->n = n;
}

lutra_status lutra_histogram(const lutra_values *values, size_t n_wanted, lutra_thread_pool *pool,
                             lutra_bins *result, lutra_error *error)
{
    const size_t n_threads = lutra_thread_pool_size(pool);
    lutra_bin *empty = NULL;
    cell *cells = NULL;
    job j = {.values = values};
    lutra_status status;
    *result = (lutra_bins){0};
    if ((status = lutra_allocate(n_threads * N_CELLS, sizeof *j.counts, "a histogram", &j.counts, error)) ||
        (status = lutra_allocate(N_CELLS, sizeof *cells, "a histogram", &cells, error)))
        goto cleanup;
    lutra_thread_pool_run(pool, values->n_chunks, count_chunk, &j);
    for (size_t i = N_CELLS; i < n_threads * N_CELLS; i++)
        j.counts[i % N_CELLS] += j.counts[i];
    const double measure = target_measure(j.counts, n_wanted);
    const size_t limit = lay_out_limit(j.counts, measure);
    if ((status = lutra_allocate(limit, sizeof *empty, "a histogram", &empty, error)))
        goto cleanup;
    j.n_bins = lay_out(j.counts, measure, cells, empty);
    if ((status = lutra_allocate(values->n_chunks * j.n_bins, sizeof *j.bins, "a histogram", &j.bins, error)))
        goto cleanup;
    j.cells = cells;
    j.empty = empty;
    lutra_thread_pool_run(pool, values->n_chunks, add_chunk, &j);
    reduce(j.bins, j.n_bins, values->n_chunks, result);
    result->bins = j.bins;
cleanup:
    free(j.counts);
    free(cells);
    free(empty);
    return status;
}
