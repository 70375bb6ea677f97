/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instead of a table of k x n partial solutions, every link is made to cost `price` more, and the price is
 * sought at which the lightest path with any number of links has k of them. Weights of lightest paths are
 * convex in the number of links, so such a price exists; where several numbers of links tie at it, a path
 * with fewer links and one with more are spliced. For any price, (lightest path at that price) - k * price is
 * a lower bound.
 *
 *   A. Aggarwal, B. Schieber, T. Tokuyama: Finding a minimum-weight k-link path in graphs with the concave
 * Monge property and applications. Discrete & Computational Geometry 12, 1994 (price, splicing). Z. Galil, K.
 * Park: A linear-time algorithm for concave one-dimensional dynamic programming. Information Processing
 * Letters 33, 1990, and the works cited there (the queue of candidates, used here with binary search). A.
 * Gronlund, K. G. Larsen, A. Mathiasen, J. S. Nielsen, S. Schneider, M. Song: Fast exact k-means, k-medians
 * and Bregman divergence clustering in 1D. arXiv 1701.07204, 2017 (that 1-D k-means is such a path).
 */
#include "cluster/k_link_path.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* The search ends far sooner, except where path lengths tie. */
#define MAX_PRICES 200
/* A spliced path this close to the bound is taken: nothing better is left to find but rounding. */
#define CLOSE_ENOUGH 1e-9

/* From `first` on (until the next candidate's), paths that end with a link from `node` are the lightest. */
typedef struct candidate {
    uint32_t node, first;
} candidate;

typedef struct search {
    const lutra_monge_graph *graph;
    size_t k;
    double price;
    double *lightest;           /* [n + 1] weight, without prices, of the lightest path to each node */
    uint32_t *previous;         /* [n + 1] the node before on that path */
    uint32_t *n_links;          /* [n + 1] of that path */
    candidate *candidates;      /* [n + 1] */
    uint32_t *shorter, *longer; /* [n + 1] nodes of paths with fewer and with more than k links */
    size_t n_shorter, n_longer; /* their links; 0: none yet */
    double shorter_price, longer_price;
    double bound;
} search;

static double path_weight(const search *s, size_t from, size_t to)
{
    return s->lightest[from] + s->graph->weight(s->graph->context, from, to);
}

/* Whether a path to `to` is lighter with its last link from `node` than from `rival`. A price may be larger
 * than all weights by far: it counts where the paths differ in their links, and takes no digits of others. */
static bool is_better(const search *s, size_t node, size_t rival, size_t to)
{
    const double more_links = (double)s->n_links[node] - (double)s->n_links[rival];
    return path_weight(s, node, to) - path_weight(s, rival, to) + more_links * s->price < 0;
}

/* The first node in (low, high] that is reached better from `node` than from `rival`, SIZE_MAX where none is;
 * it is not so at `low`. It tends to lie `hint` nodes on: from there the search goes in growing steps. */
static size_t first_better(const search *s, size_t node, size_t rival, size_t low, size_t high, size_t hint)
{
    size_t step = 4, at = low + hint < high ? low + hint : high;
    if (is_better(s, node, rival, at)) {
        for (high = at; high - low > step; step *= 2) {
            at = high - step;
            if (is_better(s, node, rival, at)) {
                high = at;
            } else {
                low = at;
                break;
            }
        }
    } else {
        for (low = at; low < high; step *= 2) {
            at = high - low > step ? low + step : high;
            if (is_better(s, node, rival, at)) {
                high = at;
                break;
            }
            low = at;
        }
        if (low == high)
            return SIZE_MAX;
    }
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (is_better(s, node, rival, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* The lightest paths from node 0 to every node at the current price: O(n log n) weights. */
static void find_lightest(search *s)
{
    const uint32_t n = (uint32_t)s->graph->n;
    candidate *queue = s->candidates;
    size_t head = 0, tail = 1; /* queue[head..tail) */
    size_t hint = n / s->k;
    queue[0] = (candidate){0, 1};
    s->lightest[0] = 0;
    s->n_links[0] = 0;
    for (uint32_t node = 1; node <= n; node++) {
        while (head + 1 < tail && queue[head + 1].first <= node)
            head++;
        const uint32_t best = queue[head].node;
        s->lightest[node] = path_weight(s, best, node);
        s->previous[node] = best;
        s->n_links[node] = s->n_links[best] + 1;
        if (node == n)
            break;
        uint32_t first = node + 1; /* where the last candidate begins to matter */
        while (tail > head) {
            const candidate last = queue[tail - 1];
            first = last.first > node + 1 ? last.first : node + 1;
            if (!is_better(s, node, last.node, first))
                break;
            tail--;
        }
        if (tail == head) {
            queue[tail++] = (candidate){node, node + 1};
        } else if (first < n) {
            const size_t from = first_better(s, node, queue[tail - 1].node, first, n, hint);
            if (from <= n) {
                queue[tail++] = (candidate){node, (uint32_t)from};
                hint = from - first;
            }
        }
    }
}

/* Copies the nodes of the path just found. */
static void trace(const search *s, uint32_t *nodes)
{
    size_t i = s->n_links[s->graph->n];
    uint32_t node = (uint32_t)s->graph->n;
    for (nodes[i] = node; i > 0; nodes[--i] = node)
        node = s->previous[node];
}

static void remember(search *s, size_t links)
{
    if (links < s->k) {
        trace(s, s->shorter);
        s->n_shorter = links;
        s->shorter_price = s->price;
    } else {
        trace(s, s->longer);
        s->n_longer = links;
        s->longer_price = s->price;
    }
}

/* Weights of well-spread data fall as 1 / k^2, so prices as 1 / k^3. Where they do not, ever longer steps
 * find an interval, and then every third step halves it (its logarithm). */
static double next_price(const search *s, size_t links, int step)
{
    if (s->n_shorter > 0 && s->n_longer > 0) {
        const double low = log(s->longer_price), high = log(s->shorter_price);
        const double n_low = log((double)s->n_longer), n_high = log((double)s->n_shorter);
        const double part = step % 3 == 2 ? 0.5 : (n_low - log((double)s->k)) / (n_low - n_high);
        return exp(low + (high - low) * part);
    }
    const double power = 3 * log((double)links / (double)s->k) * ldexp(1, step > 3 ? step - 3 : 0);
    return s->price * exp(power < -20 ? -20 : power > 20 ? 20 : power);
}

/* `longer` up to a link that lies within one of `shorter`, then `shorter`, so that k links result; by the
 * Monge condition it is as light as both where they were found at the same price. */
static void splice(const search *s, size_t *nodes)
{
    const size_t more = s->k - s->n_shorter;
    size_t i = 0;
    while (s->shorter[i + 1] < s->longer[i + 1 + more])
        i++;
    for (size_t j = 0; j <= i + more; j++)
        nodes[j] = s->longer[j];
    for (size_t j = i + 1; j <= s->n_shorter; j++)
        nodes[j + more] = s->shorter[j];
}

/* No price is low enough for k links: further ones save nothing that can be measured. Any links are split. */
static void split(const search *s, size_t *nodes)
{
    size_t missing = s->k - s->n_shorter, at = 0;
    nodes[at++] = 0;
    for (size_t i = 1; i <= s->n_shorter; i++) {
        for (size_t node = (size_t)s->shorter[i - 1] + 1; node < s->shorter[i] && missing > 0;
             node++, missing--)
            nodes[at++] = node;
        nodes[at++] = s->shorter[i];
    }
}

static double weight_of(const lutra_monge_graph *graph, const size_t *nodes, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += graph->weight(graph->context, nodes[i], nodes[i + 1]);
    return sum;
}

static void find_path(search *s, double guess, size_t *nodes)
{
    const size_t n = s->graph->n;
    s->price = guess;
    for (int step = 0; step < MAX_PRICES; step++) {
        find_lightest(s);
        const size_t links = s->n_links[n];
        s->bound = fmax(s->bound, s->lightest[n] + s->price * ((double)links - (double)s->k));
        if (links == s->k) {
            trace(s, s->shorter);
            for (size_t i = 0; i <= s->k; i++)
                nodes[i] = s->shorter[i];
            return;
        }
        remember(s, links);
        if (s->n_shorter > 0 && s->n_longer > 0) {
            splice(s, nodes);
            const double weight = weight_of(s->graph, nodes, s->k);
            if (weight - s->bound <= CLOSE_ENOUGH * weight)
                return;
        }
        const double price = next_price(s, links, step);
        if (!isnormal(price) || price == s->price)
            break;
        s->price = price;
    }
    if (s->n_shorter > 0 && s->n_longer == 0)
        split(s, nodes);
    else if (s->n_shorter == 0) /* not reached with finite weights: a high price leaves one link */
        for (size_t i = 0; i <= s->k; i++)
            nodes[i] = i == s->k ? n : i;
}

lutra_status lutra_k_link_path(const lutra_monge_graph *graph, size_t k, double *price, size_t *nodes,
                               double *weight, double *bound, lutra_error *error)
{
    search s = {.graph = graph, .k = k};
    const size_t n = graph->n;
    lutra_status status = LUTRA_OK;
    if (k == n || k == 1) {
        for (size_t i = 0; i <= k; i++)
            nodes[i] = i == k ? n : i;
        *weight = *bound = weight_of(graph, nodes, k);
        return LUTRA_OK;
    }
    if ((status = lutra_allocate(n + 1, sizeof(double), "clustering", &s.lightest, error)) ||
        (status = lutra_allocate(n + 1, sizeof(uint32_t), "clustering", &s.previous, error)) ||
        (status = lutra_allocate(n + 1, sizeof(uint32_t), "clustering", &s.n_links, error)) ||
        (status = lutra_allocate(n + 1, sizeof(uint32_t), "clustering", &s.shorter, error)) ||
        (status = lutra_allocate(n + 1, sizeof(uint32_t), "clustering", &s.longer, error)) ||
        (status = lutra_allocate(n + 1, sizeof(candidate), "clustering", &s.candidates, error)))
        goto cleanup;
    find_path(&s, isnormal(*price) && *price > 0 ? *price : 1, nodes);
    *price = s.price;
    *weight = weight_of(graph, nodes, k);
    *bound = s.bound < *weight ? s.bound : *weight;
cleanup:
    free(s.lightest);
    free(s.previous);
    free(s.n_links);
    free(s.shorter);
    free(s.longer);
    free(s.candidates);
    return status;
}
