/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on sums of two doubles: T. J. Dekker: A floating-point technique for extending the available
 * precision. Numerische Mathematik 18, 1971; the sum that does not ask which number is larger is Knuth's.
 *
 * How far the precise errors are off: floats that differ are at least 2^-25 of their distance d from the
 * middle apart, so an interval of two values of weight w costs at least w d^2 2^-51, while its sums have an
 * error of some 2^-104 d^2 times the weight of all values nearer to the middle.
 */
#include "cluster/intervals.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

/* high + low, |low| at most half a unit of high's last place. */
typedef struct pair {
    double high, low;
} pair;

struct lutra_interval_sums {
    pair weight, first, second;
};

static inline pair add(double a, double b)
{
    const double sum = a + b, of_b = sum - a;
    return (pair){sum, (a - (sum - of_b)) + (b - of_b)};
}

static inline pair multiply(double a, double b)
{
    const double split = 0x1p27 + 1;
    const double a_split = split * a, a_high = a_split - (a_split - a), a_low = a - a_high;
    const double b_split = split * b, b_high = b_split - (b_split - b), b_low = b - b_high;
    const double product = a * b;
    return (pair){product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
}

static inline pair add_pairs(pair a, pair b)
{
    const pair sum = add(a.high, b.high);
    return add(sum.high, sum.low + (a.low + b.low));
}

static inline pair negative(pair a)
{
    return (pair){-a.high, -a.low};
}

/* w, w x and w x^2 of a bin, x counted from `origin`. */
static struct lutra_interval_sums sums_of(const lutra_bin *bin, double origin)
{
    const double x = (bin->edge - origin) + bin->first / bin->weight;
    const pair first = multiply(bin->weight, x), second = multiply(first.high, x);
    return (struct lutra_interval_sums){
        .weight = {bin->weight, 0},
        .first = first,
        .second = add_pairs(second, add(lutra_bin_scatter(bin), first.low * x)),
    };
}

/* The bin in which half of the weight is reached. */
static size_t middle_of(const lutra_bin *bins, size_t n)
{
    double all = 0, sum = 0;
    size_t middle = 0;
    for (size_t i = 0; i < n; i++)
        all += bins[i].weight;
    while (middle + 1 < n && (sum += bins[middle].weight) < all / 2)
        middle++;
    return middle;
}

static void add_up(const lutra_bin *bins, size_t n, struct lutra_interval_sums *sums)
{
    const size_t middle = middle_of(bins, n);
    const double origin = bins[middle].edge;
    for (size_t i = middle; i < n; i++) {
        const struct lutra_interval_sums bin = sums_of(&bins[i], origin);
        sums[i + 1].weight = add_pairs(sums[i].weight, bin.weight);
        sums[i + 1].first = add_pairs(sums[i].first, bin.first);
        sums[i + 1].second = add_pairs(sums[i].second, bin.second);
    }
    for (size_t i = middle; i-- > 0;) {
        const struct lutra_interval_sums bin = sums_of(&bins[i], origin);
        sums[i].weight = add_pairs(sums[i + 1].weight, negative(bin.weight));
        sums[i].first = add_pairs(sums[i + 1].first, negative(bin.first));
        sums[i].second = add_pairs(sums[i + 1].second, negative(bin.second));
    }
}

lutra_status lutra_intervals_create(const lutra_bin *bins, size_t n, lutra_intervals *intervals,
                                    lutra_error *error)
{
    *intervals = (lutra_intervals){.bins = bins};
    const lutra_status status =
        lutra_allocate(n + 1, sizeof *intervals->sums, "clustering", &intervals->sums, error);
    if (status)
        return status;
    add_up(bins, n, intervals->sums);
    /* Of an interval's second and first^2 / weight, some eight roundings. */
    intervals->rounding = 4 * DBL_EPSILON * (intervals->sums[n].second.high - intervals->sums[0].second.high);
    return LUTRA_OK;
}

void lutra_intervals_free(lutra_intervals *intervals)
{
    free(intervals->sums);
    intervals->sums = NULL;
}

static inline double difference(pair to, pair from)
{
    return (to.high - from.high) + (to.low - from.low);
}

double lutra_interval_error(const void *intervals_, size_t from, size_t to)
{
    const lutra_intervals *intervals = intervals_;
    const struct lutra_interval_sums *a = &intervals->sums[from], *b = &intervals->sums[to];
    const double weight = difference(b->weight, a->weight), first = difference(b->first, a->first);
    const double error = difference(b->second, a->second) - first * first / weight;
    return error > 0 ? error : 0;
}

/* second - first^2 / weight = second - mean (first + rest) - rest^2 / weight with mean near first / weight
 * and rest = first - mean weight. */
double lutra_interval_error_precise(const void *intervals_, size_t from, size_t to)
{
    const lutra_intervals *intervals = intervals_;
    const struct lutra_interval_sums *a = &intervals->sums[from], *b = &intervals->sums[to];
    if (to - from == 1)
        return lutra_bin_scatter(&intervals->bins[from]);
    const pair weight = add_pairs(b->weight, negative(a->weight)),
               first = add_pairs(b->first, negative(a->first)),
               second = add_pairs(b->second, negative(a->second));
    const double mean = first.high / weight.high;
    const pair of_weight = multiply(mean, weight.high), of_first = multiply(mean, first.high);
    const double rest = (first.high - of_weight.high) + (first.low - of_weight.low - mean * weight.low);
    const pair high = add(second.high, -of_first.high);
    const double error =
        high.high +
        (high.low + (second.low - of_first.low - mean * (first.low + rest) - rest * rest / weight.high));
    return error > 0 ? error : 0;
}
