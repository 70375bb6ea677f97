/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globally optimal k-means of numbers on a line that were sorted into bins, and how far from the optimum over
 * the numbers themselves it can be. One number in each bin is the exact case.
 */
#ifndef LUTRA_CLUSTER_KMEANS_1D_H
#define LUTRA_CLUSTER_KMEANS_1D_H

#include "base/error.h"

/* The values x in [edge, edge + width], each with a weight w. Moments are about the edge, where they lose no
 * digits. */
typedef struct lutra_bin {
    double edge, width;
    double weight; /* sum of w; > 0 */
    double first;  /* sum of w (x - edge) */
    double second; /* sum of w (x - edge)^2 */
} lutra_bin;

double lutra_bin_mean(const lutra_bin *bin);
/* Sum of w (x - mean)^2. */
double lutra_bin_scatter(const lutra_bin *bin);

typedef struct lutra_kmeans_1d {
    double centres[256]; /* ascending */
    size_t n_centres;    /* min(k, n) */
    double objective;    /* sum of w (x - centre of its bin's cluster)^2 */
    double price;        /* roughly what one centre more would save */
    double bound;        /* no k centres at all reach less than this */
} lutra_kmeans_1d;

/* `bins` [n], n >= 1, ascending and disjoint, none empty; 1 <= k <= 256. */
lutra_status lutra_kmeans_1d_fit(const lutra_bin *bins, size_t n, size_t k, lutra_kmeans_1d *result,
                                 lutra_error *error);

/* objective / bound - 1 */
double lutra_kmeans_1d_gap(const lutra_kmeans_1d *result);

#endif
