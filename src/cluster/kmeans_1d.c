/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An optimal clustering on a line cuts the sorted values into intervals, and the squared errors of intervals
 * are Monge weights (X. Wu: Optimal quantization by matrix searching, J. Algorithms 12, 1991; H. Wang, M.
 * Song: Ckmeans.1d.dp, The R Journal 3, 2011): see k_link_path.h.
 *
 * The bound. Clusters are cut between bins, so the fit is optimal among those that cut no bin: its objective
 * H is at most that of any centres c_1 < ... < c_k with each bin going as a whole to the centre nearest to
 * its mean. Let c be the optimal centres over the values themselves, their objective OPT, and t = (c_j +
 * c_j+1) / 2 a border between two of them that lies in bin b, with D = c_j+1 - c_j. Moving the values of b
 * beyond t to the other side costs sum w 2 D |x - t| over them, at most D a_b with a_b = sum w |x - mean_b|,
 * wherever t lies, also where several borders lie in b. So
 *
 *     OPT >= H - sum over borders of D a_b.
 *
 * A large D is its own penalty: the values between c_j and c_j+1 cost G = sum w (D / 2 - |x - t|)^2, and the
 * sum of G over all borders is at most OPT. So for any e > 0, with r_b the maximum over D of (D a_b - e G),
 *
 *     OPT >= H - e OPT - sum over bins of the loss there,
 *
 * which is at most r_b with one border in b. With several, the first and the last of their distances are D
 * and D', and all of them sum to (D + D') / 2 plus at most the bin's width h; h a_b is at most r_b / 2,
 * because D = 2 h costs nothing that is counted; so the loss is at most 3/2 r_b. With k - 1 borders in all,
 * the losses are at most R = the sum of the k - 1 greatest among all r_b and r_b / 2, and OPT >= (H - R) / (1
 * + e).
 *
 * Below, a_b is bounded by the Cauchy-Schwarz inequality and by the bin's width, and G from below by taking
 * each bin at its farthest possible distance from t; H is at least the bound by the price in
 * k_link_path.c.
 */
#include "cluster/kmeans_1d.h"

#include <math.h>

#include "cluster/intervals.h"
#include "cluster/k_link_path.h"

/* e above. Any number gives a valid bound; this one suits bins that are fine enough for a gap of 0.1 %. */
#define BORDER_PRICE 2.5e-4
/* Errors of intervals are computed more precisely where rounding is a larger part of the objective. */
#define MOST_ROUNDING 1e-6

double lutra_bin_mean(const lutra_bin *bin)
{
    return bin->edge + bin->first / bin->weight;
}

double lutra_bin_scatter(const lutra_bin *bin)
{
    const double scatter = bin->second - bin->first * (bin->first / bin->weight);
    return scatter > 0 ? scatter : 0;
}

/* How far the mean of the bins in [from, to) lies above `origin`. */
static double mean_above(const lutra_bin *bins, size_t from, size_t to, double origin)
{
    double weight = 0, sum = 0;
    for (size_t i = from; i < to; i++) {
        weight += bins[i].weight;
        sum += bins[i].weight * (lutra_bin_mean(&bins[i]) - origin);
    }
    return sum / weight;
}

/* Of the bins in [from, to). Counted from the first, so that a small value is not lost among large ones;
 * where the mean then lies so far from that one, whose weight may be next to nothing, that its digits were
 * lost, counted once more from what was found. Within the bins whatever is rounded, so that centres ascend.
 */
static double mean_of(const lutra_bin *bins, size_t from, size_t to)
{
    enum { MOST_TIMES = 4 };
    const double first = lutra_bin_mean(&bins[from]), last = lutra_bin_mean(&bins[to - 1]);
    double mean = first + mean_above(bins, from, to, first);
    for (int i = 0; i < MOST_TIMES; i++) {
        const double error = mean_above(bins, from, to, mean);
        if (fabs(error) <= 1e-9 * fabs(mean))
            break;
        mean += error;
    }
    return fmin(fmax(mean, first), last);
}

/* What a further cluster saves, from the error that fine quantisation leaves at best:
 * (integral of density^(1/3))^3 / (12 k^2) (Panter and Dite, 1951). */
static double estimate_price(const lutra_bin *bins, size_t n, size_t k)
{
    double integral = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const double step = lutra_bin_mean(&bins[i + 1]) - lutra_bin_mean(&bins[i]);
        integral += cbrt((bins[i].weight + bins[i + 1].weight) / 2 * step * step);
    }
    return integral * integral * integral / (6.0 * (double)k * (double)k * (double)k);
}

/* The farthest that a value of `other` can lie from one of `bin`. */
static double farthest(const lutra_bin *bin, const lutra_bin *other)
{
    return other->edge >= bin->edge ? other->edge + other->width - bin->edge
                                    : bin->edge + bin->width - other->edge;
}

static inline double least_of(double a, double b)
{
    return a < b ? a : b; /* fmin is a call: it minds NaN */
}

/* r_b of bins[at], or 0 where it is at most `enough`: the maximum over D of D a - e sum w (D / 2 -
 * distance)^2. The sum over the nearest bins only leaves a greater maximum; more are added until it falls to
 * `enough`, or lies short of the next bin. */
static double border_loss(const lutra_bin *bins, size_t n, size_t at, double e, double enough)
{
    const lutra_bin *bin = &bins[at];
    const double a = least_of(sqrt(bin->weight * lutra_bin_scatter(bin)), bin->weight * bin->width / 2);
    const double range = bins[n - 1].edge + bins[n - 1].width - bins[0].edge;
    double s0 = bin->weight, s1 = s0 * bin->width,
           s2 = s1 * bin->width; /* sums of w, w distance, w distance^2 */
    double below = at > 0 ? farthest(bin, &bins[at - 1]) : INFINITY;
    double above = at + 1 < n ? farthest(bin, &bins[at + 1]) : INFINITY;
    for (size_t low = at, high = at + 1;;) { /* bins in [low, high) take part */
        const double d = least_of(2 * (a / e + s1) / s0, range);
        const double loss = d * a - e * (s0 * d * d / 4 - s1 * d + s2);
        const double next = least_of(below, above);
        if (d / 2 <= next || loss <= enough)
            return loss > enough ? loss : 0;
        double weight;
        if (below <= above) {
            weight = bins[--low].weight;
            below = low > 0 ? farthest(bin, &bins[low - 1]) : INFINITY;
        } else {
            weight = bins[high++].weight;
            above = high < n ? farthest(bin, &bins[high]) : INFINITY;
        }
        s0 += weight;
        s1 += weight * next;
        s2 += weight * next * next;
    }
}

/* The greatest of all numbers seen, ascending. */
typedef struct greatest {
    double numbers[256];
    size_t n; /* that many are kept; the others were 0 at first */
} greatest;

static void keep_if_great(greatest *kept, double number)
{
    size_t i = 0;
    for (; i < kept->n && kept->numbers[i] < number; i++)
        if (i > 0)
            kept->numbers[i - 1] = kept->numbers[i];
    if (i > 0)
        kept->numbers[i - 1] = number;
}

static double bound_over_values(const lutra_bin *bins, size_t n, size_t k, double least)
{
    greatest losses = {.n = k - 1};
    double sum = 0;
    for (size_t i = 0; i < n && k > 1; i++) {
        const double loss = border_loss(bins, n, i, BORDER_PRICE, losses.numbers[0]);
        keep_if_great(&losses, loss);
        keep_if_great(&losses, loss / 2);
    }
    for (size_t i = 0; i < losses.n; i++)
        sum += losses.numbers[i];
    if (sum == 0)
        return least;
    const double bound = (least - sum) / (1 + BORDER_PRICE);
    return bound > 0 ? bound : 0;
}

lutra_status lutra_kmeans_1d_fit(const lutra_bin *bins, size_t n, size_t k, lutra_kmeans_1d *result,
                                 lutra_error *error)
{
    lutra_intervals intervals;
    size_t cuts[257];
    double least = 0;
    if (k > n)
        k = n;
    lutra_status status = lutra_intervals_create(bins, n, &intervals, error);
    if (status)
        return status;
    lutra_monge_graph graph = {.n = n, .weight = lutra_interval_error, .context = &intervals};
    result->price = estimate_price(bins, n, k);
    status = lutra_k_link_path(&graph, k, &result->price, cuts, &result->objective, &least, error);
    least = fmax(0, least - intervals.rounding);
    if (status == LUTRA_OK && result->objective * MOST_ROUNDING < intervals.rounding) {
        graph.weight = lutra_interval_error_precise;
        status = lutra_k_link_path(&graph, k, &result->price, cuts, &result->objective, &least, error);
    }
    if (status == LUTRA_OK) {
        result->n_centres = k;
        for (size_t i = 0; i < k; i++)
            result->centres[i] = mean_of(bins, cuts[i], cuts[i + 1]);
        result->bound = bound_over_values(bins, n, k, least);
    }
    lutra_intervals_free(&intervals);
    return status;
}

double lutra_kmeans_1d_gap(const lutra_kmeans_1d *result)
{
    if (result->objective <= 0)
        return 0;
    return result->bound > 0 ? fmax(0, result->objective / result->bound - 1) : INFINITY;
}
