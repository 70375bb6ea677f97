/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lightest path with exactly k links from node 0 to node n of a graph whose links i -> j (i < j) have
 * weights that satisfy the concave Monge condition
 *
 *     weight(a, c) + weight(b, d) <= weight(a, d) + weight(b, c)    for a <= b < c <= d
 *
 * and never grow when a link is split in two. Both choices of centres in this folder are such paths: cutting
 * sorted values into k intervals, and choosing k points of a grid.
 */
#ifndef LUTRA_CLUSTER_K_LINK_PATH_H
#define LUTRA_CLUSTER_K_LINK_PATH_H

#include "base/error.h"

typedef struct lutra_monge_graph {
    size_t n;                                                      /* nodes 0..n; at most UINT32_MAX - 1 */
    double (*weight)(const void *context, size_t from, size_t to); /* >= 0 */
    const void *context;
} lutra_monge_graph;

/* `nodes` [k + 1] becomes the path, 1 <= k <= n. `guess` is a first estimate of the weight that a further
 * link saves (any positive number will do); `bound` is a lower limit for the weight of every such path, which
 * equals `weight` up to rounding. */
lutra_status lutra_k_link_path(const lutra_monge_graph *graph, size_t k, double *price, size_t *nodes,
                               double *weight, double *bound, lutra_error *error);

#endif
