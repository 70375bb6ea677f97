/* SPDX-License-Identifier: Apache-2.0 */
/* Medians, quantiles and how sure a median is. */
#ifndef LUTRA_TOOLS_STATISTICS_H
#define LUTRA_TOOLS_STATISTICS_H

#include <stddef.h>

typedef struct tool_spread {
    double median, p10, p90;
} tool_spread;

/* Of `values` [n], n > 0, which are sorted on the way. Between two values a quantile is interpolated, as
 * numpy.quantile does by default. */
tool_spread tool_spread_of(double *values, size_t n);

typedef struct tool_interval {
    double median, low, high; /* low and high are NaN with fewer than 6 values: no interval reaches 95 % */
} tool_interval;

/* The median of `values` [n], n > 0, which are sorted on the way, and its 95 % interval: two of the values,
 * by the binomial distribution of how many fall below the true median, whatever theirs is. */
tool_interval tool_median_interval(double *values, size_t n);

#endif
