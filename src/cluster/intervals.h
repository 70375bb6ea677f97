/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Squared errors of intervals of bins about their means, from sums over the bins up to each.
 *
 * A few values that lie far out must not take the digits of all others. So sums are counted from the middle
 * of the bins outwards, values as offsets from there, and each sum is held in two doubles.
 */
#ifndef LUTRA_CLUSTER_INTERVALS_H
#define LUTRA_CLUSTER_INTERVALS_H

#include "cluster/kmeans_1d.h"

typedef struct lutra_intervals {
    const lutra_bin *bins;            /* [n] the caller's */
    struct lutra_interval_sums *sums; /* [n + 1] */
    double rounding; /* that the errors of intervals which share no bin are off by in all, at most */
} lutra_intervals;

lutra_status lutra_intervals_create(const lutra_bin *bins, size_t n, lutra_intervals *intervals,
                                    lutra_error *error);
void lutra_intervals_free(lutra_intervals *intervals);

/* Sum of w (x - mean)^2 over the bins in [from, to), of `intervals_`: in double precision, off by `rounding`
 * at most, or off by a small part of itself, which takes some four times as long. */
double lutra_interval_error(const void *intervals, size_t from, size_t to);
double lutra_interval_error_precise(const void *intervals, size_t from, size_t to);

#endif
