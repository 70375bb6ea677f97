/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For a given step the choice of integers is optimal: going from one chosen integer to the next is a link
 * whose weight is the squared error of the values between them (R. Hassin, A. Tamir: Improved complexity
 * bounds for location problems on the real line, Operations Research Letters 10, 1991), so k of them are a
 * path of k + 1 links. Steps are scanned: small ones place centres finely, large ones reach the outermost
 * values.
 */
#include "cluster/grid.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cluster/k_link_path.h"

#define MAX_ENTRY 127
#define N_POINTS 255
#define N_HALVES 511 /* the points and the places halfway between: -127, -126.5, ..., 127 */
#define END_NODE (N_POINTS + 1)
/* The error changes by some 0.2 % between steps this close (14 %, then 3 %), without order. */
#define N_STEPS 9 /* of each of the two scans */

/* Sums over the values up to a place. */
typedef struct moments {
    double weight, first, second;
} moments;

typedef struct prefix {
    double mean;
    moments before; /* sums over the bins before this one */
} prefix;

typedef struct grid_graph {
    double step;
    moments up_to[N_HALVES]; /* values at most step * (i / 2 - 127) */
    moments all;
} grid_graph;

/* Sum of w (x - place)^2 over the values between two places. */
static double error_about(const moments *from, const moments *to, double place)
{
    const double error = (to->second - from->second) - 2 * place * (to->first - from->first) +
                         place * place * (to->weight - from->weight);
    return error > 0 ? error : 0;
}

/* Nodes: 0 before all points, 1 + i the point i - 127, END_NODE after all points. */
static double link_error(const void *context, size_t from, size_t to)
{
    const grid_graph *graph = context;
    static const moments none = {0, 0, 0};
    const double low = graph->step * ((double)from - 1 - MAX_ENTRY);
    const double high = graph->step * ((double)to - 1 - MAX_ENTRY);
    if (from == 0 && to == END_NODE)
        return error_about(&none, &graph->all, 0) * 1e30; /* no point at all */
    if (from == 0)
        return error_about(&none, &graph->up_to[2 * (to - 1)], high);
    if (to == END_NODE)
        return error_about(&graph->up_to[2 * (from - 1)], &graph->all, low);
    const moments *middle = &graph->up_to[from + to - 2];
    return error_about(&graph->up_to[2 * (from - 1)], middle, low) +
           error_about(middle, &graph->up_to[2 * (to - 1)], high);
}

typedef struct scan {
    const prefix *prefixes; /* [n + 1] */
    size_t n, k;
    double price; /* an estimate for k_link_path.h */
    double steps[N_STEPS];
    lutra_grid results[N_STEPS];
    lutra_status status[N_STEPS];
} scan;

static const moments *values_up_to(const scan *s, double place)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->prefixes[middle].mean <= place)
            low = middle + 1;
        else
            high = middle;
    }
    return &s->prefixes[low].before;
}

static void try_step(void *scan_, size_t task, size_t worker)
{
    scan *s = scan_;
    lutra_grid *result = &s->results[task];
    grid_graph grid = {.step = s->steps[task], .all = s->prefixes[s->n].before};
    size_t nodes[N_POINTS + 2];
    double bound;
    (void)worker;
    for (size_t i = 0; i < N_HALVES; i++)
        grid.up_to[i] = *values_up_to(s, grid.step * ((double)i / 2 - MAX_ENTRY));
    const lutra_monge_graph graph = {.n = END_NODE, .weight = link_error, .context = &grid};
    double price = s->price;
    s->status[task] = lutra_k_link_path(&graph, s->k + 1, &price, nodes, &result->objective, &bound, NULL);
    result->step = grid.step;
    for (size_t i = 0; i < s->k; i++)
        result->entries[i] = (float)nodes[i + 1] - 1 - MAX_ENTRY;
}

/* Steps from `low` to `high`, evenly spread on a logarithmic scale; the best result so far in `best`. */
static lutra_status scan_steps(scan *s, double low, double high, lutra_thread_pool *pool, lutra_grid *best,
                               lutra_error *error)
{
    for (size_t i = 0; i < N_STEPS; i++)
        s->steps[i] = low * pow(high / low, (double)i / (N_STEPS - 1));
    lutra_thread_pool_run(pool, N_STEPS, try_step, s);
    for (size_t i = 0; i < N_STEPS; i++) {
        if (s->status[i])
            return lutra_fail_memory(error, sizeof *s, "the codebook's grid");
        if (s->results[i].objective < best->objective)
            *best = s->results[i];
    }
    return LUTRA_OK;
}

lutra_status lutra_grid_fit(const lutra_bin *bins, size_t n, size_t k, const lutra_kmeans_1d *fit,
                            double least_reach, lutra_thread_pool *pool, lutra_grid *result,
                            lutra_error *error)
{
    prefix *prefixes = NULL;
    scan *s = NULL;
    lutra_status status;
    if ((status = lutra_allocate(n + 1, sizeof *prefixes, "the codebook's grid", &prefixes, error)) ||
        (status = lutra_allocate(1, sizeof *s, "the codebook's grid", &s, error)))
        goto cleanup;
    for (size_t i = 0; i < n; i++) {
        const double mean = lutra_bin_mean(&bins[i]), weight = bins[i].weight;
        prefixes[i].mean = mean;
        prefixes[i + 1].before.weight = prefixes[i].before.weight + weight;
        prefixes[i + 1].before.first = prefixes[i].before.first + weight * mean;
        prefixes[i + 1].before.second =
            prefixes[i].before.second + weight * mean * mean + lutra_bin_scatter(&bins[i]);
    }
    s->prefixes = prefixes;
    s->n = n;
    s->k = k;
    s->price = fit->price;
    result->objective = INFINITY;
    const double farthest = fmax(fabs(fit->centres[0]), fabs(fit->centres[fit->n_centres - 1]));
    const double longest = farthest * 1.02 / MAX_ENTRY, ratio = pow(least_reach, 1.0 / (N_STEPS - 1));
    if ((status = scan_steps(s, longest * least_reach, longest, pool, result, error)))
        goto cleanup;
    const double inner = pow(ratio, 1 - 2.0 / (N_STEPS + 1));
    status = scan_steps(s, result->step * inner, result->step / inner, pool, result, error);
cleanup:
    free(prefixes);
    free(s);
    return status;
}
