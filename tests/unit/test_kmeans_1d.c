/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/grid.h"
#include "cluster/histogram.h"
#include "cluster/k_link_path.h"

#define MAX_VALUES 300

static uint64_t state = 1;

static double uniform(void) /* in [0, 1) */
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

/* Kinds of data, each with its own trap: ties, clumps, long tails, equal values. */
enum { N_KINDS = 6 };
static double value_of_kind(int kind, size_t i)
{
    switch (kind) {
    case 0:
        return uniform();
    case 1:
        return normal();
    case 2:
        return (double)i; /* every spacing alike: paths of many lengths tie */
    case 3:
        return floor(8 * uniform());
    case 4:
        return pow(normal(), 5);
    default:
        return (uniform() < 0.5 ? -1000 : 1000) + 1e-3 * normal();
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorted x [n] and weights. */
static void make_values(int kind, size_t n, bool weighted, double *x, double *weights)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = value_of_kind(kind, i);
        weights[i] = weighted ? 0.1 + uniform() : 1;
    }
    qsort(x, n, sizeof *x, ascending);
}

/* The optimum by the plain recursion over all last clusters, each error summed about its own mean. */
static double best_error(const double *x, const double *weights, size_t n, size_t k)
{
    static double error[MAX_VALUES][MAX_VALUES + 1], best[257][MAX_VALUES + 1];
    for (size_t i = 0; i < n; i++) {
        double sum = 0, weight = 0;
        for (size_t j = i; j < n; j++) {
            sum += weights[j] * x[j];
            weight += weights[j];
            error[i][j + 1] = 0;
            for (size_t m = i; m <= j; m++)
                error[i][j + 1] += weights[m] * (x[m] - sum / weight) * (x[m] - sum / weight);
        }
    }
    for (size_t clusters = 0; clusters <= k; clusters++) {
        for (size_t j = 0; j <= n; j++) {
            best[clusters][j] = j == 0 ? 0 : INFINITY;
            for (size_t i = 0; i < j && clusters > 0; i++)
                best[clusters][j] = fmin(best[clusters][j], best[clusters - 1][i] + error[i][j]);
        }
    }
    return best[k][n];
}

/* One bin for each `per_bin` values in a row; equal values stay together. The number of bins. */
static size_t make_bins(const double *x, const double *weights, size_t n, size_t per_bin, lutra_bin *bins)
{
    size_t n_bins = 0;
    for (size_t i = 0; i < n;) {
        lutra_bin bin = {.edge = x[i]};
        for (size_t end = i + per_bin; i < n && (i < end || x[i] <= bin.edge + bin.width); i++) {
            bin.width = x[i] - bin.edge;
            bin.weight += weights[i];
            bin.first += weights[i] * (x[i] - bin.edge);
            bin.second += weights[i] * (x[i] - bin.edge) * (x[i] - bin.edge);
        }
        bins[n_bins++] = bin;
    }
    return n_bins;
}

static double total_of(const double *x, const double *weights, size_t n)
{
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += weights[i] * x[i] * x[i];
    return total;
}

static void test_exact_fit_is_optimal(void **unused)
{
    (void)unused;
    double x[MAX_VALUES], weights[MAX_VALUES];
    lutra_bin bins[MAX_VALUES];
    for (int kind = 0; kind < N_KINDS; kind++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            const size_t n = 40;
            make_values(kind, n, weighted, x, weights);
            const size_t n_bins = make_bins(x, weights, n, 1, bins);
            const double rounding = 1e-13 * total_of(x, weights, n);
            for (size_t k = 1; k <= n; k++) {
                lutra_kmeans_1d fit;
                assert_int_equal(lutra_kmeans_1d_fit(bins, n_bins, k, &fit, NULL), LUTRA_OK);
                const double best = best_error(x, weights, n, k);
                assert_int_equal(fit.n_centres, k < n_bins ? k : n_bins);
                if (!(fabs(fit.objective - best) <= 1e-9 * best + rounding))
                    fail_msg("kind %d, %zu clusters: %.17g, best %.17g", kind, k, fit.objective, best);
                /* The bound is as tight as the search says: 1e-9 where paths tie. */
                assert_true(fit.bound <= best + rounding && fit.bound >= best * (1 - 2e-9) - rounding);
                for (size_t i = 1; i < fit.n_centres; i++)
                    assert_true(fit.centres[i - 1] < fit.centres[i]);
            }
        }
    }
}

static void test_centres_are_means(void **unused)
{
    (void)unused;
    const double x[] = {0, 1, 2, 100, 101, 105}, weights[] = {1, 1, 2, 3, 1, 1};
    lutra_bin bins[6];
    lutra_kmeans_1d fit;
    const size_t n = make_bins(x, weights, 6, 1, bins);
    assert_int_equal(lutra_kmeans_1d_fit(bins, n, 2, &fit, NULL), LUTRA_OK);
    assert_true(fabs(fit.centres[0] - 5.0 / 4) < 1e-12 && fabs(fit.centres[1] - 506.0 / 5) < 1e-12);
    assert_true(fabs(fit.objective - (2.75 + 18.8)) < 1e-9);
}

/* Bins of several values: the optimum over the values lies between the bound and the objective. */
static void test_bound_over_values_holds(void **unused)
{
    (void)unused;
    double x[MAX_VALUES], weights[MAX_VALUES];
    lutra_bin bins[MAX_VALUES];
    double tightest = INFINITY;
    for (int kind = 0; kind < N_KINDS; kind++) {
        const size_t n = 240;
        make_values(kind, n, kind % 2, x, weights);
        const double rounding = 1e-13 * total_of(x, weights, n);
        for (size_t per_bin = 1; per_bin <= 12; per_bin++) {
            const size_t n_bins = make_bins(x, weights, n, per_bin, bins);
            for (size_t k = 2; k <= 9; k++) {
                lutra_kmeans_1d fit;
                assert_int_equal(lutra_kmeans_1d_fit(bins, n_bins, k, &fit, NULL), LUTRA_OK);
                const double best = best_error(x, weights, n, k);
                if (!(fit.bound <= best + rounding && best <= fit.objective + rounding))
                    fail_msg("kind %d, %zu values a bin, %zu clusters: %g <= %g <= %g is wrong", kind,
                             per_bin, k, fit.bound, best, fit.objective);
                if (per_bin == 2 && best > rounding)
                    tightest = fmin(tightest, best / fit.bound);
            }
        }
    }
    assert_true(tightest < 1.02); /* a bound of 0 would hold as well */
}

/* Values far out on either side have centres of their own; the others fare as if these were not there. */
static void test_values_far_out_do_not_spoil_the_others(void **unused)
{
    (void)unused;
    const size_t n = 150;
    double x[MAX_VALUES], weights[MAX_VALUES];
    lutra_bin bins[MAX_VALUES];
    for (int power = 2; power <= 38; power += 6) {
        for (size_t per_bin = 1; per_bin <= 3; per_bin += 2) {
            const double far = (double)(float)pow(10, power);
            for (size_t i = 0; i < n; i++) {
                x[i] = (double)(float)(0.02 * normal());
                weights[i] = 0.1 + uniform();
            }
            x[0] = -far;
            x[1] = far / 3;
            x[2] = far;
            qsort(x, n, sizeof *x, ascending);
            const size_t n_bins = 1 + make_bins(x + 1, weights + 1, n - 3, per_bin, bins + 1) + 2;
            make_bins(x, weights, 1, 1, bins);
            make_bins(x + n - 2, weights + n - 2, 2, 1, bins + n_bins - 2);
            for (size_t k = 4; k <= 64; k *= 2) {
                lutra_kmeans_1d fit;
                assert_int_equal(lutra_kmeans_1d_fit(bins, n_bins, k, &fit, NULL), LUTRA_OK);
                const double best = best_error(x + 1, weights + 1, n - 3, k - 3);
                /* Rounding is at most a millionth, and in the bound already. */
                if (!(fit.bound <= best * (1 + 1e-9) && best <= fit.objective * (1 + 1e-6)))
                    fail_msg("10^%d, %zu clusters: %.17g <= %.17g <= %.17g is wrong", power, k, fit.bound,
                             best, fit.objective);
                if (per_bin == 1)
                    assert_true(fit.objective <= best * (1 + 2e-6) && lutra_kmeans_1d_gap(&fit) <= 2e-6);
            }
        }
    }
}

static void test_gap(void **unused)
{
    (void)unused;
    const lutra_kmeans_1d fit = {.objective = 1.01, .bound = 1}, perfect = {.objective = 0, .bound = 0},
                          lost = {.objective = 1, .bound = 0};
    assert_true(fabs(lutra_kmeans_1d_gap(&fit) - 0.01) < 1e-12);
    assert_true(lutra_kmeans_1d_gap(&perfect) <= 0);
    assert_true(isinf(lutra_kmeans_1d_gap(&lost)));
}

/* ---- from matrices to bins --------------------------------------------------------------------- */

typedef struct table {
    size_t n, k;
    const float *x; /* [n][k] */
} table;

static void read_row(const void *matrix, size_t row, float *out)
{
    const table *t = matrix;
    memcpy(out, t->x + row * t->k, t->k * sizeof *out);
}

static void assert_same_moments(const lutra_bins *bins, const table *t, const float *scale)
{
    double weight = 0, sum = 0, square = 0, bin_weight = 0, bin_sum = 0, bin_square = 0;
    for (size_t i = 0; i < t->n * t->k; i++) {
        const double s = scale ? (double)scale[i / t->k] : 1, x = s > 0 ? (double)(float)(t->x[i] / s) : 0;
        weight += s * s;
        sum += s * s * x;
        square += s * s * x * x;
    }
    for (size_t i = 0; i < bins->n; i++) {
        const lutra_bin *b = &bins->bins[i];
        bin_weight += b->weight;
        bin_sum += b->weight * lutra_bin_mean(b);
        bin_square += b->weight * lutra_bin_mean(b) * lutra_bin_mean(b) + lutra_bin_scatter(b);
        assert_true(b->weight > 0 && b->first >= 0 && b->first <= b->weight * b->width * (1 + 1e-12));
        if (i > 0)
            assert_true(bins->bins[i - 1].edge + bins->bins[i - 1].width < b->edge);
    }
    assert_true(fabs(bin_weight - weight) <= 1e-12 * weight);
    assert_true(fabs(bin_sum - sum) <= 1e-12 * square);
    assert_true(fabs(bin_square - square) <= 1e-12 * square);
}

static void test_histogram_keeps_moments_and_bounds(void **unused)
{
    (void)unused;
    enum { N = 2800, K = 101 }; /* three chunks */
    static float x[N * K], scale[N];
    const table t = {N, K, x};
    const lutra_row_source source = {N, K, read_row, &t};
    lutra_thread_pool *pool;
    assert_int_equal(lutra_thread_pool_create(2, &pool, NULL), LUTRA_OK);
    for (size_t i = 0; i < N; i++)
        scale[i] = i == 7 ? 0 : (float)exp(normal());
    for (size_t i = 0; i < N * K; i++)
        x[i] = (float)(normal() * (i % 50 ? 1 : 9)) * scale[i / K];
    for (int weighted = 0; weighted < 2; weighted++) {
        lutra_values values;
        lutra_bins bins, sorted;
        lutra_kmeans_1d fit, exact;
        assert_int_equal(lutra_values_create(&source, 1, weighted ? scale : NULL, pool, &values, NULL),
                         LUTRA_OK);
        assert_int_equal(lutra_histogram(&values, 2048, pool, &bins, NULL), LUTRA_OK);
        assert_int_equal(lutra_sort_values(&values, &sorted, NULL), LUTRA_OK);
        assert_same_moments(&bins, &t, weighted ? scale : NULL);
        assert_same_moments(&sorted, &t, weighted ? scale : NULL);
        assert_true(bins.n > 1500 && bins.n < 3000 && sorted.n > 200000 && values.n_chunks == 3);
        assert_int_equal(lutra_kmeans_1d_fit(bins.bins, bins.n, 16, &fit, NULL), LUTRA_OK);
        assert_int_equal(lutra_kmeans_1d_fit(sorted.bins, sorted.n, 16, &exact, NULL), LUTRA_OK);
        assert_true(fit.bound <= exact.objective && exact.objective <= fit.objective);
        assert_true(lutra_kmeans_1d_gap(&fit) < 0.001);
        assert_true(lutra_kmeans_1d_gap(&exact) < 2e-9);
        free(bins.bins);
        free(sorted.bins);
        lutra_values_free(&values);
    }
    lutra_thread_pool_free(pool);
}

/* Values that share all but the last 16 bits, in as many bins: none holds two of them. */
static void test_histogram_tells_all_fractions_apart(void **unused)
{
    (void)unused;
    enum { N = 256, K = 256 };
    static float x[N * K];
    const table t = {N, K, x};
    const lutra_row_source source = {N, K, read_row, &t};
    lutra_thread_pool *pool;
    lutra_values values;
    lutra_bins bins;
    for (size_t i = 0; i < N * K; i++)
        x[i] = 1 + 0x1p-23f * (float)(i * 4099 % (N * K));
    assert_int_equal(lutra_thread_pool_create(1, &pool, NULL), LUTRA_OK);
    assert_int_equal(lutra_values_create(&source, 1, NULL, pool, &values, NULL), LUTRA_OK);
    assert_int_equal(lutra_histogram(&values, 2 * N * K, pool, &bins, NULL), LUTRA_OK);
    assert_int_equal(bins.n, N * K);
    assert_same_moments(&bins, &t, NULL);
    for (size_t i = 0; i < bins.n; i++)
        assert_true(bins.bins[i].edge == 1 + 0x1p-23 * (double)i && bins.bins[i].width == 0);
    free(bins.bins);
    lutra_values_free(&values);
    lutra_thread_pool_free(pool);
}

/* ---- the integer grid -------------------------------------------------------------------------- */

/* The best k integers for a step, by the plain recursion, bins going whole to the nearer place by their mean.
 */
static double best_grid_error(const lutra_bin *bins, size_t n, size_t k, double step)
{
    static double best[65][257], link[257][257];
    for (int from = 0; from <= 256; from++) {
        for (int to = from + 1; to <= 256; to++) {
            link[from][to] = 0;
            const double low = from == 0 ? -INFINITY : step * (from - 128);
            const double high = to == 256 ? INFINITY : step * (to - 128);
            for (size_t i = 0; i < n; i++) {
                const double mean = lutra_bin_mean(&bins[i]);
                const double place = mean - low <= high - mean ? low : high;
                if (mean > low && mean <= high)
                    link[from][to] +=
                        bins[i].weight * (mean - place) * (mean - place) + lutra_bin_scatter(&bins[i]);
            }
        }
    }
    for (size_t points = 0; points <= k + 1; points++)
        for (int to = 0; to <= 256; to++) {
            best[points][to] = to == 0 && points == 0 ? 0 : INFINITY;
            for (int from = 0; from < to && points > 0; from++)
                best[points][to] = fmin(best[points][to], best[points - 1][from] + link[from][to]);
        }
    return best[k + 1][256];
}

static void test_grid_is_optimal_for_its_step(void **unused)
{
    (void)unused;
    double x[MAX_VALUES], weights[MAX_VALUES];
    lutra_bin bins[MAX_VALUES];
    lutra_thread_pool *pool;
    assert_int_equal(lutra_thread_pool_create(2, &pool, NULL), LUTRA_OK);
    const size_t sizes[] = {2, 5, 16, 40};
    for (size_t i = 0; i < 4; i++) {
        lutra_kmeans_1d fit;
        lutra_grid grid;
        const size_t n = 250, k = sizes[i];
        make_values(1, n, true, x, weights);
        const size_t n_bins = make_bins(x, weights, n, 1, bins);
        assert_int_equal(lutra_kmeans_1d_fit(bins, n_bins, k, &fit, NULL), LUTRA_OK);
        assert_int_equal(lutra_grid_fit(bins, n_bins, k, &fit, 0.35, pool, &grid, NULL), LUTRA_OK);
        for (size_t j = 0; j < k; j++) {
            assert_true(fabsf(grid.entries[j]) <= 127 && rintf(grid.entries[j]) >= grid.entries[j] &&
                        rintf(grid.entries[j]) <= grid.entries[j]);
            assert_true(j == 0 || grid.entries[j] > grid.entries[j - 1]);
        }
        const double best = best_grid_error(bins, n_bins, k, grid.step);
        assert_true(fabs(grid.objective - best) <= 2e-9 * best);
        assert_true(grid.objective >= fit.objective * (1 - 1e-12));
        if (k <= 16)
            assert_true(grid.objective < 1.05 * fit.objective);
    }
    lutra_thread_pool_free(pool);
}

/* Rows of very different size: -1 in one of which the weights count for nothing, and in another what is next
 * to nothing beside its greatest. */
static void test_a_mean_far_from_its_first_value(void **unused)
{
    (void)unused;
    static const double x[] = {-4, -1, -7e-23, -1.6e-26, 1e-27, 2e-11},
                        w[] = {1e75, 3e24, 1e75, 5e75, 1e75, 1e75};
    enum { N = sizeof x / sizeof *x };
    lutra_bin bins[N];
    lutra_kmeans_1d fit;
    for (size_t i = 0; i < N; i++)
        bins[i] = (lutra_bin){.edge = x[i], .weight = w[i]};
    for (size_t k = 1; k <= N; k++) {
        assert_int_equal(lutra_kmeans_1d_fit(bins, N, k, &fit, NULL), LUTRA_OK);
        assert_int_equal(fit.n_centres, k);
        for (size_t i = 1; i < k; i++)
            assert_true(fit.centres[i - 1] < fit.centres[i]);
        if (k == 4) {
            assert_true(fit.centres[0] == -4 && fit.centres[3] == 2e-11);
            assert_true(fabs(fit.centres[1] / (-7e-23 - 3e-51) - 1) < 1e-12);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_fit_is_optimal),
        cmocka_unit_test(test_centres_are_means),
        cmocka_unit_test(test_bound_over_values_holds),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_histogram_keeps_moments_and_bounds),
        cmocka_unit_test(test_histogram_tells_all_fractions_apart),
        cmocka_unit_test(test_grid_is_optimal_for_its_step),
        cmocka_unit_test(test_values_far_out_do_not_spoil_the_others),
        cmocka_unit_test(test_a_mean_far_from_its_first_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
