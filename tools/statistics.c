/* SPDX-License-Identifier: Apache-2.0 */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double part)
{
    const double at = part * (double)(n - 1);
    const size_t below = (size_t)at;
    const double rest = at - (double)below;
    return below + 1 < n ? sorted[below] + rest * (sorted[below + 1] - sorted[below]) : sorted[n - 1];
}

tool_spread tool_spread_of(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return (tool_spread){quantile(values, n, 0.5), quantile(values, n, 0.1), quantile(values, n, 0.9)};
}

/* How many of the lowest values lie outside of the interval: the most for which P(Binomial(n, 1/2) < their
 * number) stays within 2.5 %. */
static size_t n_outside(size_t n)
{
    double below = 0;
    for (size_t k = 0; k < n; k++) {
        below += exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) -
                     (double)n * log(2));
        if (below > 0.025)
            return k;
    }
    return 0;
}

tool_interval tool_median_interval(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    tool_interval interval = {quantile(values, n, 0.5), NAN, NAN};
    const size_t outside = n_outside(n);
    /* The interval from the k-th lowest to the k-th highest misses with probability 2 P(Binomial < k). */
    if (outside > 0) {
        interval.low = values[outside - 1];
        interval.high = values[n - outside];
    }
    return interval;
}
