/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrated clustering, against the plain formulas in double precision. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cluster/calibrated.h"
#include "cluster/cholesky.h"
#include "cluster/search.h"

static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

static float *normals(size_t n)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)normal();
    return x;
}

/* Inputs that hang together, as those of a trained matrix do, of different spread and with a mean. */
static float *make_inputs(size_t n_rows, size_t k)
{
    enum { SOURCES = 5 };
    float *x = malloc(n_rows * k * sizeof *x), *mix = normals(SOURCES * k), *spread = normals(k);
    for (size_t row = 0; row < n_rows; row++) {
        double hidden[SOURCES];
        for (size_t i = 0; i < SOURCES; i++)
            hidden[i] = normal();
        for (size_t j = 0; j < k; j++) {
            double sum = 0.5 * normal() + 0.3;
            for (size_t i = 0; i < SOURCES; i++)
                sum += hidden[i] * (double)mix[i * k + j];
            x[row * k + j] = (float)(sum * exp(0.5 * (double)spread[j]));
        }
    }
    free(mix);
    free(spread);
    return x;
}

/* ---- one matrix and its inputs ------------------------------------------------------------------- */

typedef struct fixture {
    size_t n, k, n_rows;
    float *w; /* [n][k] */
    float *x; /* [n_rows][k] */
    bool has_bias;
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    lutra_moments moments;
    lutra_coupling coupling; /* n = 0: none */
    lutra_clustering result;
    float *shift;
} fixture;

static void read_row(const void *fixture_, size_t row, float *out)
{
    const fixture *f = fixture_;
    memcpy(out, f->w + row * f->k, f->k * sizeof *out);
}

static void gather(fixture *f)
{
    assert_int_equal(lutra_moments_create(&f->moments, f->k, lutra_thread_pool_size(f->pool), NULL),
                     LUTRA_OK);
    for (size_t i = 0; i < f->n_rows; i++)
        lutra_moments_add(&f->moments, f->x + i * f->k, 1, f->kernels, f->pool);
    lutra_moments_end(&f->moments, f->kernels, f->pool);
}

static fixture make(size_t n, size_t k, size_t n_rows, size_t n_threads)
{
    fixture f = {.n = n, .k = k, .n_rows = n_rows, .has_bias = true};
    assert_int_equal(lutra_kernels_select(&f.kernels, NULL), LUTRA_OK);
    assert_int_equal(lutra_thread_pool_create(n_threads, &f.pool, NULL), LUTRA_OK);
    f.w = normals(n * k);
    f.x = make_inputs(n_rows, k);
    f.result.indices = malloc(n * k);
    f.result.scale = malloc(n * sizeof *f.result.scale);
    f.shift = malloc(n * sizeof *f.shift);
    return f;
}

static void destroy(fixture *f)
{
    lutra_moments_free(&f->moments);
    lutra_coupling_free(&f->coupling);
    lutra_thread_pool_free(f->pool);
    free(f->w);
    free(f->x);
    free(f->result.indices);
    free(f->result.scale);
    free(f->shift);
}

static void calibrate(fixture *f, lutra_clustering_options options, const lutra_codebook *shared)
{
    const lutra_row_source source = {f->n, f->k, read_row, f};
    const lutra_calibration_job job = {.source = &source,
                                       .moments = &f->moments,
                                       .options = &options,
                                       .shared = shared,
                                       .coupling = f->coupling.n > 0 ? &f->coupling : NULL,
                                       .has_bias = f->has_bias,
                                       .kernels = f->kernels,
                                       .pool = f->pool};
    lutra_error error;
    assert_int_equal(lutra_cluster_calibrated(&job, &f->result, f->shift, &error), LUTRA_OK);
}

static double decoded(const fixture *f, size_t row, size_t i, bool per_row)
{
    return (double)(f->result.scale[per_row ? row : 0] *
                    f->result.codebook.entries[f->result.indices[row * f->k + i]]);
}

/* Mean square over rows and outputs of w x - (q x + shift). */
static double output_error(const fixture *f, bool per_row)
{
    double sum = 0;
    for (size_t r = 0; r < f->n_rows; r++)
        for (size_t row = 0; row < f->n; row++) {
            double off = f->has_bias ? -(double)f->shift[row] : 0;
            for (size_t i = 0; i < f->k; i++)
                off += (double)f->w[row * f->k + i] * (double)f->x[r * f->k + i] -
                       decoded(f, row, i, per_row) * (double)f->x[r * f->k + i];
            sum += off * off;
        }
    return sum / (double)(f->n_rows * f->n);
}

static double plain_error(fixture *f, lutra_clustering_options options)
{
    const lutra_row_source source = {f->n, f->k, read_row, f};
    assert_int_equal(lutra_cluster_matrix(&source, &options, f->pool, &f->result, NULL), LUTRA_OK);
    memset(f->shift, 0, f->n * sizeof *f->shift);
    return output_error(f, options.per_row);
}

/* ---- parts --------------------------------------------------------------------------------------- */

static void test_factor_times_itself_is_the_matrix(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 7, 64, 65, 150};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const size_t n = sizes[s];
        lutra_thread_pool *pool;
        float *b = normals(n * n);
        double *a = calloc(n * n, sizeof *a), *l = malloc(n * n * sizeof *l);
        assert_int_equal(lutra_thread_pool_create(3, &pool, NULL), LUTRA_OK);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++)
                for (size_t m = 0; m < n; m++)
                    a[i * n + j] += (double)b[i * n + m] * (double)b[j * n + m] + (i == j ? 0.01 : 0);
        memcpy(l, a, n * n * sizeof *l);
        assert_int_equal(lutra_cholesky(l, n, pool, NULL), LUTRA_OK);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j <= i; j++) {
                double sum = 0;
                for (size_t m = 0; m <= j; m++)
                    sum += l[i * n + m] * l[j * n + m];
                assert_true(fabs(sum - a[i * n + j]) < 1e-11 * (double)n);
            }
        a[0] = -1;
        assert_int_equal(lutra_cholesky(a, n, pool, NULL), LUTRA_ERROR_ARGUMENT);
        lutra_thread_pool_free(pool);
        free(a);
        free(b);
        free(l);
    }
}

/* Weights that repeat: 0, 0.5, 1, 1.5. */
static float weight_of(size_t row)
{
    return 0.5f * (float)(row % 4);
}

static void test_moments_are_weighted_sums_over_all_rows(void **unused)
{
    (void)unused;
    const size_t k = 21, n_rows = 2 * LUTRA_MOMENT_ROWS + 77;
    fixture f = make(1, k, n_rows, 2);
    double weight = 0, square = 0;
    assert_int_equal(lutra_moments_create(&f.moments, k, 2, NULL), LUTRA_OK);
    for (size_t r = 0; r < n_rows; r++) {
        lutra_moments_add(&f.moments, f.x + r * k, weight_of(r), f.kernels, f.pool);
        weight += (double)weight_of(r);
        square += (double)weight_of(r) * (double)weight_of(r);
    }
    lutra_moments_end(&f.moments, f.kernels, f.pool);
    assert_true(f.moments.weight == weight && f.moments.square_weight == square);
    for (size_t i = 0; i < k; i++) {
        double first = 0;
        for (size_t r = 0; r < n_rows; r++)
            first += (double)(weight_of(r) * f.x[r * k + i]);
        /* The square roots of the weights are f32. */
        assert_true(fabs(f.moments.first[i] - first) < 1e-6 * (double)n_rows);
        for (size_t j = 0; j < k; j++) {
            double second = 0;
            for (size_t r = 0; r < n_rows; r++)
                second += (double)(weight_of(r) * f.x[r * k + i]) * (double)f.x[r * k + j];
            /* Sums of 1024 products in f32. */
            assert_true(fabs(f.moments.second[i * k + j] - second) < 1e-4 * (double)n_rows);
        }
    }
    destroy(&f);
}

/* ---- what rows have in common -------------------------------------------------------------------- */

static void add_gradients(fixture *f, const float *g /* [n_rows][n] */, size_t n_rows)
{
    lutra_coupling_scratch scratch;
    assert_int_equal(lutra_coupling_create(&f->coupling, f->n, NULL), LUTRA_OK);
    assert_int_equal(lutra_coupling_scratch_create(&scratch, n_rows, lutra_thread_pool_size(f->pool), NULL),
                     LUTRA_OK);
    lutra_coupling_add(&f->coupling, g, n_rows / 3, f->kernels, f->pool, &scratch);
    lutra_coupling_add(&f->coupling, g + n_rows / 3 * f->n, n_rows - n_rows / 3, f->kernels, f->pool,
                       &scratch);
    lutra_coupling_scratch_free(&scratch);
}

static void test_couplings_are_sums_over_lengths(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 30, LUTRA_COUPLED_ROWS, LUTRA_COUPLED_ROWS + 45};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = sizes[i], n_rows = 40;
        fixture f = make(n, 3, 10, 2);
        float *g = make_inputs(n_rows, n);
        memset(g + 5 * n, 0, n * sizeof *g); /* a gradient that is none */
        g[6 * n] = NAN;                      /* and one that does not count */
        add_gradients(&f, g, n_rows);
        const size_t group = f.coupling.group;
        assert_true(group <= LUTRA_COUPLED_ROWS && group * ((n + group - 1) / group) >= n);
        for (size_t a = 0; a < n; a++)
            for (size_t b = a / group * group; b < n && b < (a / group + 1) * group; b++) {
                double sum = 0, size = 0;
                for (size_t r = 0; r < n_rows; r++) {
                    double square = 0;
                    for (size_t j = 0; j < n; j++)
                        square += (double)g[r * n + j] * (double)g[r * n + j];
                    if (!(square > 0))
                        continue;
                    sum += (double)g[r * n + a] * (double)g[r * n + b] / sqrt(square);
                    size += fabs((double)g[r * n + a] * (double)g[r * n + b]) / sqrt(square);
                }
                /* Sums of 40 products in f32. */
                assert_true(fabs((double)f.coupling.of[a * group + b % group] - sum) <= 1e-5 * size);
            }
        free(g);
        destroy(&f);
    }
}

/* Whatever was seen, blocks of it can be inverted. */
static void test_couplings_are_positive_definite(void **unused)
{
    (void)unused;
    /* One gradient for all rows, none, too large ones, two so small that their damping is none or no float,
     * and one that fills a float. */
    static const float sizes[] = {1, 0, 1e38f, 1e-40f, 4e-45f, 3.402e38f};
    for (int kind = 0; kind < 6; kind++) {
        const size_t n = 20;
        fixture f = make(n, 3, 10, 1);
        double a[20 * 20];
        float *g = normals(n);
        for (size_t i = 0; i < n; i++)
            g[i] = sizes[kind] * (kind == 0 ? 1 + 0.1f * g[i] : kind < 5 ? g[i] : i == 0);
        add_gradients(&f, g, 1);
        lutra_coupling_end(&f.coupling);
        for (size_t i = 0; i < n * n; i++) {
            a[i] = (double)f.coupling.of[i];
            assert_true(isfinite(a[i]) && a[i] == (double)f.coupling.of[i % n * n + i / n]);
        }
        assert_int_equal(lutra_cholesky(a, n, f.pool, NULL), LUTRA_OK);
        free(g);
        destroy(&f);
    }
}

/* ---- the search ---------------------------------------------------------------------------------- */

typedef struct searched {
    fixture f;
    lutra_quadratic norm;
    lutra_search search;
    float *target;
} searched;

static void begin_search(searched *s, size_t n, size_t k, size_t n_clusters)
{
    *s = (searched){.f = make(n, k, 3 * k, 2)};
    gather(&s->f);
    assert_int_equal(lutra_quadratic_create(&s->f.moments, true, s->f.pool, &s->norm, NULL), LUTRA_OK);
    s->target = malloc(n * k * sizeof *s->target);
    for (size_t row = 0; row < n; row++)
        for (size_t i = 0; i < k; i++)
            s->target[row * k + i] = s->f.w[row * k + s->norm.order[i]];
    s->search = (lutra_search){.kernels = s->f.kernels,
                               .pool = s->f.pool,
                               .norm = &s->norm,
                               .target = s->target,
                               .per_row = true,
                               .codebook = {.n_clusters = n_clusters}};
    assert_int_equal(lutra_search_create(&s->search, n, k, 2, NULL), LUTRA_OK);
    for (size_t i = 0; i < n_clusters; i++)
        s->search.codebook.entries[i] = 4 * (float)i / (float)(n_clusters - 1) - 2;
    for (size_t row = 0; row < n; row++)
        s->search.scale[row] = 0.8f + 0.4f * (float)uniform();
}

static void end_search(searched *s)
{
    lutra_search_free(&s->search);
    lutra_quadratic_free(&s->norm);
    free(s->target);
    destroy(&s->f);
}

static size_t nearest(const lutra_codebook *codebook, double x)
{
    size_t best = 0;
    for (size_t i = 1; i < codebook->n_clusters; i++)
        if (fabs((double)codebook->entries[i] - x) < fabs((double)codebook->entries[best] - x))
            best = i;
    return best;
}

static void invert(double *a, size_t k)
{
    for (size_t p = 0; p < k; p++) {
        const double pivot = a[p * k + p];
        a[p * k + p] = 1;
        for (size_t j = 0; j < k; j++)
            a[p * k + j] /= pivot;
        for (size_t i = 0; i < k; i++) {
            const double factor = a[i * k + p];
            if (i == p)
                continue;
            a[i * k + p] = 0;
            for (size_t j = 0; j < k; j++)
                a[i * k + j] -= factor * a[p * k + j];
        }
    }
}

/* As published: each decision is followed by the best change of all weights still free, which the inverse of
 * the moments of these gives. */
static void feed_back_plainly(const searched *s, size_t row, uint8_t *indices)
{
    const size_t k = s->search.k;
    const double scale = (double)s->search.scale[row];
    double *inverse = malloc(k * k * sizeof *inverse), *w = malloc(k * sizeof *w);
    for (size_t i = 0; i < k; i++)
        w[i] = (double)s->target[row * k + i];
    for (size_t left = k; left-- > 0;) {
        const size_t m = left + 1;
        for (size_t i = 0; i < m; i++)
            for (size_t j = 0; j < m; j++)
                inverse[i * m + j] = (double)s->norm.moment[i * k + j];
        invert(inverse, m);
        indices[left] = (uint8_t)nearest(&s->search.codebook, w[left] / scale);
        const double q = scale * (double)s->search.codebook.entries[indices[left]];
        for (size_t i = 0; i < left; i++)
            w[i] -= (w[left] - q) / inverse[left * m + left] * inverse[i * m + left];
        w[left] = q;
    }
    free(inverse);
    free(w);
}

static double plain_cost(const searched *s, size_t row)
{
    const size_t k = s->search.k;
    double sum = 0;
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < k; j++)
            sum += (double)s->norm.moment[i * k + j] * (double)s->search.error[row * k + i] *
                   (double)s->search.error[row * k + j];
    return sum;
}

static void assert_costs(const searched *s, double tolerance)
{
    for (size_t row = 0; row < s->search.n; row++) {
        for (size_t i = 0; i < s->search.k; i++) {
            const size_t at = row * s->search.k + i;
            const float q = s->search.scale[row] * s->search.codebook.entries[s->search.indices[at]];
            assert_true(fabsf(s->target[at] - q - s->search.error[at]) < 1e-5f);
        }
        const double cost = plain_cost(s, row);
        assert_true(fabs(s->search.cost[row] - cost) < tolerance * cost);
    }
}

static void test_feedback_is_what_was_published(void **unused)
{
    (void)unused;
    static const size_t sizes[] = {1, 20, 64, 90, 131};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = 9, k = sizes[i];
        uint8_t *indices = malloc(k);
        searched s;
        begin_search(&s, n, k, 7);
        for (size_t place = 1; place < k; place++)
            assert_true(s.norm.moment[place * k + place] >= s.norm.moment[(place - 1) * k + place - 1]);
        lutra_feedback(&s.search, 1);
        for (size_t row = 0; row < n; row++) {
            feed_back_plainly(&s, row, indices);
            assert_memory_equal(indices, s.search.indices + row * k, k);
        }
        assert_costs(&s, 1e-3);
        end_search(&s);
        free(indices);
    }
}

static void test_descent_only_descends_and_keeps_its_gradient(void **unused)
{
    (void)unused;
    searched s;
    begin_search(&s, 11, 150, 5);
    lutra_feedback(&s.search, 1);
    lutra_search_measure(&s.search);
    double cost = lutra_search_cost(&s.search);
    size_t changed = 1;
    for (int sweep = 0; sweep < 50 && changed; sweep++) {
        changed = lutra_descend(&s.search);
        assert_true(lutra_search_cost(&s.search) <= cost * (1 + 1e-6));
        cost = lutra_search_cost(&s.search);
    }
    assert_int_equal(changed, 0);
    assert_costs(&s, 1e-4);
    /* No other entry at any one place costs less. */
    for (size_t row = 0; row < s.search.n; row++)
        for (size_t j = 0; j < s.search.k; j++)
            for (size_t entry = 0; entry < 5; entry++) {
                const size_t at = row * s.search.k + j;
                const double move =
                    (double)s.search.scale[row] * ((double)s.search.codebook.entries[entry] -
                                                   (double)s.search.codebook.entries[s.search.indices[at]]);
                const double gain = 2 * move * (double)s.search.gradient[at] -
                                    move * move * (double)s.norm.moment[j * s.search.k + j];
                assert_true(gain < 1e-4);
            }
    end_search(&s);
}

static void test_refit_is_the_least_squares(void **unused)
{
    (void)unused;
    searched s;
    begin_search(&s, 40, 50, 6);
    lutra_feedback(&s.search, 1);
    lutra_search_measure(&s.search);
    double cost = lutra_search_cost(&s.search);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(lutra_refit(&s.search, NULL), LUTRA_OK);
        assert_true(lutra_search_cost(&s.search) <= cost * (1 + 1e-6));
        cost = lutra_search_cost(&s.search);
    }
    assert_costs(&s, 1e-4);
    /* Neither another entry nor another scale costs less with these indices. */
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t entry = 0; entry < 6; entry++) {
            const float old = s.search.codebook.entries[entry];
            s.search.codebook.entries[entry] += (float)sign * 0.02f;
            lutra_search_measure(&s.search);
            assert_true(lutra_search_cost(&s.search) > cost);
            s.search.codebook.entries[entry] = old;
        }
        for (size_t row = 0; row < s.search.n; row++) {
            const float old = s.search.scale[row];
            s.search.scale[row] *= 1 + (float)sign * 0.02f;
            lutra_search_measure(&s.search);
            assert_true(lutra_search_cost(&s.search) > cost);
            s.search.scale[row] = old;
        }
    }
    end_search(&s);
}

static void test_refit_to_integers(void **unused)
{
    (void)unused;
    searched s;
    begin_search(&s, 40, 50, 16);
    s.search.codebook.is_i8 = true;
    for (size_t i = 0; i < 16; i++)
        s.search.codebook.entries[i] = roundf(s.search.codebook.entries[i] * 40);
    for (size_t row = 0; row < s.search.n; row++)
        s.search.scale[row] /= 40;
    lutra_feedback(&s.search, 1);
    lutra_search_measure(&s.search);
    const double cost = lutra_search_cost(&s.search);
    assert_int_equal(lutra_refit(&s.search, NULL), LUTRA_OK);
    assert_true(lutra_search_cost(&s.search) < cost);
    assert_costs(&s, 1e-4);
    for (size_t i = 0; i < 16; i++) {
        const float entry = s.search.codebook.entries[i];
        assert_true(entry == roundf(entry) && fabsf(entry) <= 127);
        assert_true(i == 0 || entry >= s.search.codebook.entries[i - 1]);
    }
    end_search(&s);
}

static void test_refit_to_sums_that_are_not_finite(void **unused)
{
    (void)unused;
    static const float gradients[] = {INFINITY, -INFINITY, NAN, 3e38f};
    for (int i8 = 0; i8 < 2; i8++)
        for (size_t i = 0; i < sizeof gradients / sizeof *gradients; i++) {
            searched s;
            begin_search(&s, 5, 30, 4);
            s.search.codebook.is_i8 = i8;
            lutra_feedback(&s.search, 1);
            lutra_search_measure(&s.search);
            for (size_t j = 0; j < 5 * 30; j += i < 3 ? 7 : 1)
                s.search.gradient[j] = gradients[i];
            assert_int_equal(lutra_refit(&s.search, NULL), LUTRA_OK);
            for (size_t entry = 0; entry < 4; entry++)
                assert_true(isfinite(s.search.codebook.entries[entry]));
            for (size_t row = 0; row < 5; row++)
                assert_true(isfinite(s.search.scale[row]) && s.search.scale[row] > 0);
            end_search(&s);
        }
}

/* A row of zeros may have any scale. */
static void test_refit_to_a_scale_that_would_be_too_large(void **unused)
{
    (void)unused;
    searched s;
    begin_search(&s, 5, 30, 5);
    s.search.codebook.is_i8 = true;
    s.search.per_row = false;
    for (size_t i = 0; i < 5 * 30; i++) {
        s.search.indices[i] = i < 30 ? 2 : (uint8_t)(i % 5);
        s.target[i] = 1.3f * s.search.scale[i / 30] * s.search.codebook.entries[s.search.indices[i]];
    }
    s.search.scale[0] = 3e38f;
    lutra_search_measure(&s.search);
    assert_int_equal(lutra_refit(&s.search, NULL), LUTRA_OK);
    for (size_t row = 0; row < 5; row++)
        assert_true(isfinite(s.search.scale[row]));
    assert_true(lutra_search_cost(&s.search) < 1e-6);
    end_search(&s);
}

/* ---- all of it ------------------------------------------------------------------------------------ */

static void test_outputs_are_off_by_far_less(void **unused)
{
    (void)unused;
    const lutra_clustering_options kinds[] = {{.n_clusters = 16, .per_row = true, .i8_grid = true},
                                              {.n_clusters = 16, .per_row = true},
                                              {.n_clusters = 13, .i8_grid = true},
                                              {.n_clusters = 16}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int bias = 0; bias < 2; bias++) {
            fixture f = make(48, 70, 500, 2);
            f.has_bias = bias;
            gather(&f);
            const double plain = plain_error(&f, kinds[i]);
            calibrate(&f, kinds[i], NULL);
            assert_true(f.result.codebook.n_clusters <= kinds[i].n_clusters);
            assert_int_equal(f.result.codebook.is_i8, kinds[i].i8_grid);
            assert_true(output_error(&f, kinds[i].per_row) < 0.25 * plain);
            for (size_t row = 0; row < f.n; row++)
                assert_true(bias || f.shift[row] == 0);
            destroy(&f);
        }
}

/* Mean square of g^T (w x - q x - shift) over all pairs of a gradient and an input. */
static double error_along(const fixture *f, const float *g /* [n_gradients][n] */, size_t n_gradients)
{
    double sum = 0, *off = malloc(f->n * sizeof *off);
    for (size_t r = 0; r < f->n_rows; r++) {
        for (size_t row = 0; row < f->n; row++) {
            off[row] = -(double)f->shift[row];
            for (size_t i = 0; i < f->k; i++)
                off[row] +=
                    ((double)f->w[row * f->k + i] - decoded(f, row, i, true)) * (double)f->x[r * f->k + i];
        }
        for (size_t j = 0; j < n_gradients; j++) {
            double along = 0;
            for (size_t row = 0; row < f->n; row++)
                along += (double)g[j * f->n + row] * off[row];
            sum += along * along;
        }
    }
    free(off);
    return sum / (double)(f->n_rows * n_gradients);
}

static void test_rows_make_up_for_each_other(void **unused)
{
    (void)unused;
    const lutra_clustering_options options = {.n_clusters = 8, .per_row = true, .i8_grid = true};
    const size_t n = 90, n_gradients = 600;
    fixture f = make(n, 60, 400, 2);
    float *g = make_inputs(n_gradients, n);
    gather(&f);
    calibrate(&f, options, NULL);
    const double alone = error_along(&f, g, n_gradients), own = output_error(&f, true);
    const lutra_codebook codebook = f.result.codebook;
    add_gradients(&f, g, n_gradients);
    lutra_coupling_end(&f.coupling);
    calibrate(&f, options, NULL);
    assert_true(error_along(&f, g, n_gradients) < 0.8 * alone);
    /* Each for itself they were as good as they could be; codebooks stay. */
    assert_true(output_error(&f, true) > own);
    assert_memory_equal(&codebook, &f.result.codebook, sizeof codebook);
    free(g);
    destroy(&f);
}

/* As behind the last attention, where each picture has but one token. */
static void test_few_inputs_serve_unseen_ones(void **unused)
{
    (void)unused;
    const lutra_clustering_options options = {.n_clusters = 8, .per_row = true};
    const size_t seen = 60, all = 1000;
    fixture f = make(64, 100, all, 2);
    float *const x = f.x;
    f.n_rows = seen;
    gather(&f);
    f.x = x + seen * f.k;
    f.n_rows = all - seen;
    const double plain = plain_error(&f, options);
    calibrate(&f, options, NULL);
    /* 0.22 here: these inputs hang together more than a model's, for which the shrinkage is chosen. */
    assert_true(output_error(&f, true) < 0.3 * plain);
    f.x = x;
    destroy(&f);
}

static void test_a_shared_codebook_stays(void **unused)
{
    (void)unused;
    fixture f = make(30, 40, 300, 2);
    lutra_codebook shared = {.n_clusters = 9};
    for (size_t i = 0; i < 9; i++)
        shared.entries[i] = 0.5f * (float)i - 2;
    gather(&f);
    calibrate(&f, (lutra_clustering_options){.n_clusters = 9}, &shared);
    assert_memory_equal(f.result.codebook.entries, shared.entries, sizeof shared.entries);
    assert_true(f.result.scale[0] == 1);
    destroy(&f);
}

static void test_the_same_on_any_number_of_threads(void **unused)
{
    (void)unused;
    const lutra_clustering_options options = {.n_clusters = 16, .per_row = true, .i8_grid = true};
    uint8_t indices[33 * 140];
    float scale[33], shift[33];
    for (size_t n_threads = 1; n_threads <= 3; n_threads++) {
        state = 7;
        fixture f = make(33, 140, 400, n_threads);
        float *g = make_inputs(100, 33);
        gather(&f);
        add_gradients(&f, g, 100);
        lutra_coupling_end(&f.coupling);
        free(g);
        calibrate(&f, options, NULL);
        if (n_threads == 1) {
            memcpy(indices, f.result.indices, sizeof indices);
            memcpy(scale, f.result.scale, sizeof scale);
            memcpy(shift, f.shift, sizeof shift);
        }
        assert_memory_equal(indices, f.result.indices, sizeof indices);
        assert_memory_equal(scale, f.result.scale, sizeof scale);
        assert_memory_equal(shift, f.shift, sizeof shift);
        destroy(&f);
    }
}

/* Inputs that are always 0, fewer rows than inputs, a row of zeros, no inputs but zeros. */
static void test_degenerate_inputs(void **unused)
{
    (void)unused;
    for (int all = 0; all < 2; all++) {
        fixture f = make(17, 35, 10, 1);
        for (size_t r = 0; r < f.n_rows; r++)
            for (size_t i = 0; i < f.k; i++)
                if (all || i % 5 == 0)
                    f.x[r * f.k + i] = 0;
        memset(f.w + 3 * f.k, 0, f.k * sizeof *f.w);
        gather(&f);
        calibrate(&f, (lutra_clustering_options){.n_clusters = 8, .per_row = true, .i8_grid = true}, NULL);
        for (size_t row = 0; row < f.n; row++) {
            assert_true(isfinite(f.result.scale[row]) && f.result.scale[row] >= 0);
            assert_true(isfinite(f.shift[row]));
        }
        assert_true(f.result.scale[3] == 0);
        destroy(&f);
    }
}

/* Rows of one magnitude, which lets their scale go as far as the largest float and leaves out the entries
 * that rows beside them need: a file must not hold a scale that makes any entry infinite. */
static void test_every_entry_stays_finite_in_every_row(void **unused)
{
    (void)unused;
    for (int kind = 0; kind < 4; kind++) {
        const lutra_clustering_options options = {
            .n_clusters = kind & 1 ? 64 : 4, .per_row = true, .i8_grid = kind & 2};
        fixture f = make(64, 32, 200, 2);
        for (size_t i = 0; i < f.n * f.k; i++) {
            const size_t row = i / f.k;
            const double even = (f.w[i] < 0 ? -2e38 : 2e38) * (1 + 0.3 * (double)row / (double)f.n);
            f.w[i] = (float)(row % 2 ? even : fmax(-3.3e38, fmin(3.3e38, 1.1e38 * (double)f.w[i])));
        }
        for (size_t i = 0; i < f.n_rows * f.k; i++)
            f.x[i] *= 1e-37f;
        gather(&f);
        calibrate(&f, options, NULL);
        assert_true(f.result.squared_output > 0); /* it was the outputs that were fitted */
        for (size_t row = 0; row < f.n; row++)
            for (size_t i = 0; i < f.result.codebook.n_clusters; i++)
                assert_true(isfinite(f.result.scale[row] * f.result.codebook.entries[i]));
        destroy(&f);
    }
}

/* As with pictures of one colour, or the same one again and again: where there is nothing to learn, weights
 * are as good as without. Inputs may be too small for their squares, too. */
static void test_inputs_that_do_not_vary(void **unused)
{
    (void)unused;
    static const float sizes[] = {1, 1e-19f, 1e-23f, 1e-44f};
    static const size_t rows[] = {16, 20, 3 * LUTRA_MOMENT_ROWS + 5}, inputs[] = {3, 48, 400};
    const lutra_clustering_options options = {.n_clusters = 8, .per_row = true};
    for (size_t i = 0; i < 4 * 3 * 3; i++) {
        fixture f = make(12, inputs[i / 3 % 3], rows[i % 3], 2);
        for (size_t r = 0; r < f.n_rows; r++)
            for (size_t j = 0; j < f.k; j++)
                f.x[r * f.k + j] = sizes[i / 9] * f.x[j];
        gather(&f);
        plain_error(&f, options);
        const double plain = f.result.squared_error;
        calibrate(&f, options, NULL);
        assert_true(f.result.squared_output_error < f.result.squared_output);
        assert_true(f.result.squared_error < 1.1 * plain);
        for (size_t row = 0; row < f.n; row++)
            assert_true(isfinite(f.shift[row]));
        destroy(&f);
    }
}

/* The weights alone are clustered then, and no error of the outputs is told. */
static void test_numbers_too_large_for_calibration(void **unused)
{
    (void)unused;
    /* Errors times moments, weights times moments alone, squares of inputs, and what is no number. */
    static const float sizes[][2] = {{1e15f, 1e12f}, {1.5e13f, 1e12f}, {1e20f, 1}, {INFINITY, 1}, {NAN, 1}};
    lutra_codebook shared = {.n_clusters = 9};
    for (size_t i = 0; i < 9; i++)
        shared.entries[i] = 0.5f * (float)i - 2;
    for (size_t i = 0; i < 5 * 5; i++) {
        const size_t kind = i / 5;
        const lutra_clustering_options options = {
            .n_clusters = 64, .per_row = kind < 2, .i8_grid = kind % 2 == 0 && kind < 4};
        fixture f = make(20, 30, 100, 2);
        for (size_t j = 0; j < f.n_rows * f.k; j++)
            f.x[j] *= sizes[i % 5][0];
        for (size_t j = 0; j < f.n * f.k; j++)
            f.w[j] *= sizes[i % 5][1];
        gather(&f);
        uint8_t indices[20 * 30];
        if (kind == 4) {
            const lutra_row_source source = {f.n, f.k, read_row, &f};
            assert_int_equal(lutra_cluster_assign(&source, &shared, f.pool, &f.result, NULL), LUTRA_OK);
        } else {
            plain_error(&f, options);
        }
        const lutra_clustering plain = f.result;
        memcpy(indices, f.result.indices, sizeof indices);
        calibrate(&f, options, kind == 4 ? &shared : NULL);
        assert_memory_equal(indices, f.result.indices, sizeof indices);
        assert_memory_equal(plain.codebook.entries, f.result.codebook.entries, sizeof shared.entries);
        assert_true(f.result.squared_error == plain.squared_error);
        assert_true(f.result.squared_output == 0 && f.result.squared_output_error == 0);
        for (size_t row = 0; row < f.n; row++)
            assert_true(f.shift[row] == 0);
        destroy(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_factor_times_itself_is_the_matrix),
        cmocka_unit_test(test_moments_are_weighted_sums_over_all_rows),
        cmocka_unit_test(test_couplings_are_sums_over_lengths),
        cmocka_unit_test(test_couplings_are_positive_definite),
        cmocka_unit_test(test_feedback_is_what_was_published),
        cmocka_unit_test(test_descent_only_descends_and_keeps_its_gradient),
        cmocka_unit_test(test_refit_is_the_least_squares),
        cmocka_unit_test(test_refit_to_integers),
        cmocka_unit_test(test_refit_to_sums_that_are_not_finite),
        cmocka_unit_test(test_refit_to_a_scale_that_would_be_too_large),
        cmocka_unit_test(test_outputs_are_off_by_far_less),
        cmocka_unit_test(test_rows_make_up_for_each_other),
        cmocka_unit_test(test_few_inputs_serve_unseen_ones),
        cmocka_unit_test(test_a_shared_codebook_stays),
        cmocka_unit_test(test_the_same_on_any_number_of_threads),
        cmocka_unit_test(test_degenerate_inputs),
        cmocka_unit_test(test_every_entry_stays_finite_in_every_row),
        cmocka_unit_test(test_inputs_that_do_not_vary),
        cmocka_unit_test(test_numbers_too_large_for_calibration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
