/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <malloc.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cluster/assign.h"
#include "cluster/cluster.h"

static uint64_t state = 7;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static double normal(void)
{
    return sqrt(-2 * log(1 - uniform())) * cos(6.283185307179586 * uniform());
}

/* A matrix, its clustering and everything to make it. */
typedef struct fixture {
    size_t n, k;
    float *x; /* [n][k] */
    lutra_clustering result;
    lutra_error error;
} fixture;

static void read_row(const void *matrix, size_t row, float *out)
{
    const fixture *f = matrix;
    memcpy(out, f->x + row * f->k, f->k * sizeof *out);
}

static fixture make(size_t n, size_t k)
{
    fixture f = {.n = n, .k = k};
    f.x = malloc(n * k * sizeof *f.x);
    f.result.indices = malloc(n * k);
    f.result.scale = malloc(n * sizeof *f.result.scale);
    return f;
}

/* Rows of different spread, with a few values far out: as trained matrices are. */
static fixture make_like_weights(size_t n, size_t k)
{
    fixture f = make(n, k);
    for (size_t row = 0; row < n; row++) {
        const double spread = 0.05 * exp(0.3 * normal());
        for (size_t i = 0; i < k; i++)
            f.x[row * k + i] = (float)(spread * normal() * (uniform() < 0.01 ? 2.5 : 1));
    }
    return f;
}

static void destroy(fixture *f)
{
    free(f->x);
    free(f->result.indices);
    free(f->result.scale);
}

static lutra_status cluster_on(fixture *f, lutra_clustering_options options, size_t n_threads)
{
    lutra_thread_pool *pool;
    const lutra_row_source source = {f->n, f->k, read_row, f};
    assert_int_equal(lutra_thread_pool_create(n_threads, &pool, NULL), LUTRA_OK);
    const lutra_status status = lutra_cluster_matrix(&source, &options, pool, &f->result, &f->error);
    lutra_thread_pool_free(pool);
    return status;
}

static void cluster(fixture *f, lutra_clustering_options options)
{
    assert_int_equal(cluster_on(f, options, 1), LUTRA_OK);
}

static float decoded(const fixture *f, size_t i, bool per_row)
{
    return f->result.scale[per_row ? i / f->k : 0] * f->result.codebook.entries[f->result.indices[i]];
}

/* What must hold of every clustering. */
static void assert_sound(const fixture *f, lutra_clustering_options options)
{
    const lutra_codebook *codebook = &f->result.codebook;
    double error = 0, weight = 0;
    assert_true(codebook->n_clusters >= 2 && codebook->n_clusters <= options.n_clusters);
    for (size_t i = 0; i < 256; i++) {
        const float entry = codebook->entries[i];
        assert_true(isfinite(entry) && (i < codebook->n_clusters || (entry >= 0 && entry <= 0)));
        if (i > 0 && i < codebook->n_clusters)
            assert_true(entry >= codebook->entries[i - 1]);
        if (options.i8_grid)
            assert_true(fabsf(entry) <= 127 && fabsf(rintf(entry) - entry) <= 0);
    }
    for (size_t i = 0; i < (options.per_row ? f->n : 1); i++)
        assert_true(isfinite(f->result.scale[i]) && f->result.scale[i] >= 0);
    for (size_t row = 0; row < f->n && options.per_row; row++) {
        double row_error = 0, row_weight = 0;
        for (size_t i = row * f->k; i < (row + 1) * f->k; i++) {
            row_error += pow((double)f->x[i] - (double)decoded(f, i, true), 2);
            row_weight += (double)f->x[i] * (double)f->x[i];
        }
        /* No more than zeros would, but for roundings: of the scale and of weights to floats, some of which
         * are 2^-149 apart. */
        assert_true(row_error <= row_weight * (1 + 1e-6) + (double)f->k * 0x1p-296);
    }
    for (size_t i = 0; i < f->n * f->k; i++) {
        const double difference = (double)f->x[i] - (double)decoded(f, i, options.per_row);
        assert_true(isfinite(decoded(f, i, options.per_row)) && f->result.indices[i] < codebook->n_clusters);
        error += difference * difference;
        weight += (double)f->x[i] * (double)f->x[i];
    }
    assert_true(fabs(f->result.squared_error - error) <= 1e-9 * error);
    assert_true(fabs(f->result.squared_weight - weight) <= 1e-12 * weight);
}

static void test_every_count_and_kind(void **unused)
{
    (void)unused;
    const size_t counts[] = {2, 3, 4, 5, 7, 16, 64, 127, 128, 200, 255, 256};
    double before[4] = {INFINITY, INFINITY, INFINITY, INFINITY};
    fixture f = make_like_weights(64, 96);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        for (int kind = 0; kind < 4; kind++) {
            const lutra_clustering_options options = {
                .n_clusters = counts[i], .per_row = kind & 1, .i8_grid = kind & 2};
            if (options.i8_grid && counts[i] > 255)
                continue;
            cluster(&f, options);
            assert_sound(&f, options);
            assert_int_equal(f.result.codebook.n_clusters, counts[i]);
            assert_true(f.result.codebook.optimality_gap <= 0.001);
            /* More clusters are better, but for integers once most of them are in use. */
            assert_true(f.result.squared_error < before[kind] || (options.i8_grid && counts[i] > 128));
            before[kind] = f.result.squared_error;
        }
    }
    destroy(&f);
}

static void test_values_have_the_nearest_entry_and_rows_the_best_scale(void **unused)
{
    (void)unused;
    fixture f = make_like_weights(40, 200);
    cluster(&f, (lutra_clustering_options){.n_clusters = 16, .per_row = true});
    const float *entries = f.result.codebook.entries;
    for (size_t row = 0; row < f.n; row++) {
        const double scale = (double)f.result.scale[row];
        double product = 0, square = 0, nearest = 0, chosen = 0;
        for (size_t i = row * f.k; i < (row + 1) * f.k; i++) {
            const double entry = (double)entries[f.result.indices[i]];
            double least = INFINITY;
            for (size_t j = 0; j < 16; j++)
                least = fmin(least, fabs((double)f.x[i] - scale * (double)entries[j]));
            nearest += least * least;
            chosen += pow((double)f.x[i] - scale * entry, 2);
            product += (double)f.x[i] * entry;
            square += entry * entry;
        }
        /* Scales were refitted after the last assignment, which moves a few values across a border. */
        assert_true(chosen <= nearest * 1.01);
        assert_true(fabs(scale - product / square) <= 1e-6 * scale);
    }
    destroy(&f);
}

static void test_row_scales_help_rows_of_different_spread(void **unused)
{
    (void)unused;
    fixture f = make_like_weights(200, 128);
    for (size_t i = 0; i < f.n * f.k; i++)
        f.x[i] *= (float)(1 + i / f.k % 8);
    cluster(&f, (lutra_clustering_options){.n_clusters = 16});
    const double tensor = f.result.squared_error;
    cluster(&f, (lutra_clustering_options){.n_clusters = 16, .per_row = true});
    assert_true(f.result.squared_error < 0.7 * tensor);
    destroy(&f);
}

/* With rows that are powers of two apart nothing changes but the scales. */
static void test_rows_count_by_their_size(void **unused)
{
    (void)unused;
    fixture one = make_like_weights(30, 100), other = make(30, 100);
    const lutra_clustering_options options = {.n_clusters = 8, .per_row = true};
    memcpy(other.x, one.x, one.n * one.k * sizeof *one.x);
    for (size_t i = 0; i < one.n * one.k; i++)
        other.x[i] *= 1024;
    cluster(&one, options);
    cluster(&other, options);
    assert_memory_equal(one.result.indices, other.result.indices, one.n * one.k);
    /* A row that is a million times larger than all others has the codebook to itself. */
    fixture alone = make(1, 100);
    memcpy(alone.x, one.x, one.k * sizeof *one.x);
    for (size_t i = 0; i < one.k; i++)
        one.x[i] *= 1048576;
    cluster(&one, options);
    cluster(&alone, options);
    for (size_t i = 0; i < 8; i++)
        assert_true(fabsf(one.result.codebook.entries[i] - alone.result.codebook.entries[i]) < 1e-3f);
    destroy(&one);
    destroy(&other);
    destroy(&alone);
}

static void test_integers_cost_little(void **unused)
{
    (void)unused;
    fixture f = make_like_weights(256, 256);
    const struct {
        size_t n_clusters;
        double most; /* times the error of free entries: a grid of 255 places holds 64 centres well, 128
                        barely */
    } cases[] = {{16, 1.01}, {64, 1.12}, {128, 2.8}};
    for (size_t i = 0; i < 3; i++) {
        for (int per_row = 0; per_row < 2; per_row++) {
            cluster(&f, (lutra_clustering_options){.n_clusters = cases[i].n_clusters, .per_row = per_row});
            const double free_entries = f.result.squared_error;
            cluster(&f, (lutra_clustering_options){
                            .n_clusters = cases[i].n_clusters, .per_row = per_row, .i8_grid = true});
            if (f.result.squared_error > cases[i].most * free_entries)
                fail_msg("%zu integers: %g times the error of free entries", cases[i].n_clusters,
                         f.result.squared_error / free_entries);
        }
    }
    destroy(&f);
}

static void test_exact_is_as_good_as_its_bound_says(void **unused)
{
    (void)unused;
    fixture f = make_like_weights(128, 300);
    cluster(&f, (lutra_clustering_options){.n_clusters = 32});
    const double fine = f.result.squared_error, gap = f.result.codebook.optimality_gap;
    cluster(&f, (lutra_clustering_options){.n_clusters = 32, .exact = true});
    assert_true(gap > 0 && gap <= 0.001 && f.result.codebook.optimality_gap < 2e-9);
    assert_true(fine <= f.result.squared_error * (1 + gap));
    assert_true(f.result.squared_error <= fine * (1 + 1e-7)); /* centres are rounded to float */
    destroy(&f);
}

static void test_the_same_on_any_number_of_threads(void **unused)
{
    (void)unused;
    fixture one = make_like_weights(700, 512); /* three chunks of the histogram */
    fixture other = make(one.n, one.k);
    memcpy(other.x, one.x, one.n * one.k * sizeof *one.x);
    for (int kind = 0; kind < 4; kind++) {
        const lutra_clustering_options options = {.n_clusters = 64, .per_row = kind & 1, .i8_grid = kind & 2};
        cluster(&one, options);
        for (size_t n_threads = 2; n_threads <= 7; n_threads += 5) {
            assert_int_equal(cluster_on(&other, options, n_threads), LUTRA_OK);
            assert_memory_equal(one.result.indices, other.result.indices, one.n * one.k);
            assert_memory_equal(one.result.scale, other.result.scale,
                                (options.per_row ? one.n : 1) * sizeof(float));
            assert_memory_equal(one.result.codebook.entries, other.result.codebook.entries,
                                256 * sizeof(float));
            assert_memory_equal(&one.result.squared_error, &other.result.squared_error, sizeof(double));
        }
    }
    destroy(&one);
    destroy(&other);
}

static void test_few_distinct_values_are_kept_exactly(void **unused)
{
    (void)unused;
    const float values[] = {-3.25f, -1e-30f, 0, 0.1f, nextafterf(0.1f, 1), 7e20f};
    fixture f = make(20, 33);
    for (size_t i = 0; i < f.n * f.k; i++)
        f.x[i] = values[i % 6];
    for (size_t k = 6; k <= 256; k += 125) {
        const lutra_clustering_options options = {.n_clusters = k};
        cluster(&f, options);
        assert_int_equal(f.result.codebook.n_clusters, 6);
        for (size_t i = 0; i < f.n * f.k; i++)
            assert_true(fabsf(decoded(&f, i, false) - f.x[i]) <= 0);
    }
    destroy(&f);
}

/* A row of which no weight has the sign of an entry is all zeros, rather than of the wrong sign. */
static void test_rows_that_no_entry_fits(void **unused)
{
    (void)unused;
    fixture f = make(3, 64);
    for (size_t i = 0; i < f.k; i++) {
        f.x[i] = 10 + (float)(i % 13);
        f.x[f.k + i] = -0.01f * (1 + (float)(i % 7));
        f.x[2 * f.k + i] = 1 + (float)(i % 3);
    }
    for (int kind = 0; kind < 4; kind++) {
        const lutra_clustering_options options = {
            .n_clusters = kind & 1 ? 4 : 2, .per_row = true, .i8_grid = kind & 2};
        cluster(&f, options);
        assert_sound(&f, options);
        assert_true(f.result.scale[0] > 0 && f.result.scale[2] > 0);
        for (size_t i = f.k; i < 2 * f.k; i++)
            assert_true(decoded(&f, i, true) <= 0);
    }
    destroy(&f);
}

/* As by an accident in training: the weight has an entry of its own, the others fare as without it. */
static void test_one_weight_far_out(void **unused)
{
    (void)unused;
    static const float far[] = {1e4f, 1e6f, 1e8f, 1e12f, 3e38f};
    fixture f = make(400, 256);
    for (size_t i = 0; i < f.n * f.k; i++)
        f.x[i] = (float)(0.02 * normal());
    f.x[777] = 0;
    cluster(&f, (lutra_clustering_options){.n_clusters = 63, .exact = true});
    const double reachable = f.result.squared_error;
    for (size_t i = 0; i < 4 * sizeof far / sizeof *far; i++) {
        const lutra_clustering_options options = {.n_clusters = 64, .exact = i & 1};
        f.x[777] = i & 2 ? -far[i / 4] : far[i / 4];
        cluster(&f, options);
        assert_sound(&f, options);
        assert_true(f.result.codebook.optimality_gap <= (options.exact ? 1e-6 : 0.001));
        assert_true(f.result.squared_error <= reachable * 1.001);
    }
    destroy(&f);
}

/* Every option on matrices that have little or nothing to cluster. */
static void test_degenerate_matrices(void **unused)
{
    (void)unused;
    enum { N_CASES = 9 };
    for (int which = 0; which < N_CASES; which++) {
        const size_t n = which == 0 || which == 3 ? 1 : 17, k = which == 0 ? 1 : which == 1 ? 1 : 40;
        fixture f = make(n, k);
        for (size_t i = 0; i < n * k; i++) {
            const float spread[N_CASES] = {-2.5f, 1, 0, 1e-44f, 3e38f, 1e-39f, 0.25f, 1, 1};
            float x = spread[which] * (which == 0 || which == 6 ? 1 : (float)(2 * uniform() - 1));
            if (which == 7) /* every other row zero */
                x = i / k % 2 ? 0 : x;
            if (which == 8) /* every magnitude that there is */
                x = ldexpf(x, (int)(i % 250) - 130);
            f.x[i] = x;
        }
        for (int kind = 0; kind < 8; kind++) {
            const lutra_clustering_options options = {
                .n_clusters = 5, .per_row = kind & 1, .i8_grid = kind & 2, .exact = kind & 4};
            cluster(&f, options);
            assert_sound(&f, options);
            assert_true(f.result.codebook.optimality_gap <= 0.001);
            if (which == 7 && options.per_row)
                assert_true(f.result.scale[1] <= 0 && f.result.scale[0] > 0);
            /* One value is one entry, but for the rounding of scale x integer. */
            if (which == 0 || which == 6)
                assert_true(f.result.squared_error <= 1e-12 * f.result.squared_weight);
        }
        destroy(&f);
    }
}

static void test_what_is_not_finite_is_named(void **unused)
{
    (void)unused;
    fixture f = make_like_weights(50, 60);
    f.x[33 * 60 + 21] = NAN;
    assert_int_equal(cluster_on(&f, (lutra_clustering_options){.n_clusters = 4, .per_row = true}, 2),
                     LUTRA_ERROR_FORMAT);
    assert_string_equal(f.error.message, "the weight of output 33 and input 21 is not a finite number");
    f.x[33 * 60 + 21] = -INFINITY;
    assert_int_equal(cluster_on(&f, (lutra_clustering_options){.n_clusters = 4}, 1), LUTRA_ERROR_FORMAT);
    destroy(&f);
}

static void test_options_out_of_range(void **unused)
{
    (void)unused;
    fixture f = make_like_weights(4, 4);
    const lutra_clustering_options bad[] = {
        {.n_clusters = 1}, {.n_clusters = 257}, {.n_clusters = 256, .i8_grid = true}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(cluster_on(&f, bad[i], 1), LUTRA_ERROR_ARGUMENT);
    f.k = 0;
    assert_int_equal(cluster_on(&f, (lutra_clustering_options){.n_clusters = 2}, 1), LUTRA_ERROR_ARGUMENT);
    destroy(&f);
}

static void test_one_codebook_for_several_matrices(void **unused)
{
    (void)unused;
    fixture parts[2] = {make_like_weights(30, 70), make_like_weights(100, 20)}, all = make(41, 100);
    memcpy(all.x, parts[0].x, 2100 * sizeof(float));
    memcpy(all.x + 2100, parts[1].x, 2000 * sizeof(float));
    const lutra_clustering_options options = {.n_clusters = 32};
    lutra_row_source sources[2];
    lutra_codebook codebook;
    lutra_thread_pool *pool;
    double error = 0;
    assert_int_equal(lutra_thread_pool_create(2, &pool, NULL), LUTRA_OK);
    for (size_t i = 0; i < 2; i++)
        sources[i] = (lutra_row_source){parts[i].n, parts[i].k, read_row, &parts[i]};
    assert_int_equal(lutra_cluster_matrices_codebook(sources, 2, &options, pool, &codebook, NULL), LUTRA_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(lutra_cluster_assign(&sources[i], &codebook, pool, &parts[i].result, NULL),
                         LUTRA_OK);
        assert_sound(&parts[i], options);
        assert_true(fabsf(parts[i].result.scale[0] - 1) <= 0);
        error += parts[i].result.squared_error;
    }
    cluster(&all, options); /* the same numbers as one matrix */
    assert_memory_equal(codebook.entries, all.result.codebook.entries, sizeof codebook.entries);
    assert_true(fabs(error - all.result.squared_error) <= 1e-9 * error);
    lutra_thread_pool_free(pool);
    for (size_t i = 0; i < 2; i++)
        destroy(&parts[i]);
    destroy(&all);
}

static void test_look_up_is_a_search_for_the_nearest(void **unused)
{
    (void)unused;
    for (int which = 0; which < 5; which++) {
        float entries[256], x[999];
        uint8_t indices[999];
        lutra_nearest nearest;
        const size_t n = which == 4 ? 2 : 200;
        for (size_t i = 0; i < n; i++)
            entries[i] = which == 0   ? (float)i - 100 /* ties: halfway values are exact */
                         : which == 1 ? ldexpf((float)i - 99.5f, -140)
                         : which == 2 ? (float)exp((double)i * 0.4)
                         : which == 3 ? 5 + (float)(i / 50)
                                      : 3e38f * (float)(2 * (int)i - 1);
        lutra_nearest_prepare(&nearest, entries, n);
        for (size_t i = 0; i < 999; i++)
            x[i] = i < 2 * n ? entries[i / 2] / 2 + entries[(i + 1) / 2 < n ? (i + 1) / 2 : n - 1] / 2
                             : (float)((2 * uniform() - 1) * (double)entries[n - 1]);
        lutra_nearest_of_row(&nearest, x, 999, 1, indices);
        for (size_t i = 0; i < 999; i++) {
            size_t best = 0;
            for (size_t j = 1; j < n; j++)
                if (fabs((double)x[i] - (double)entries[j]) < fabs((double)x[i] - (double)entries[best]))
                    best = j;
            const double excess =
                fabs((double)x[i] - (double)entries[indices[i]]) - fabs((double)x[i] - (double)entries[best]);
            assert_true(excess <= 0);
            if (which == 0)
                assert_int_equal(indices[i], best); /* the lower of two */
        }
    }
}

/* ---- memory ------------------------------------------------------------------------------------ */

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *pointer);
void __wrap_free(void *pointer);

static atomic_size_t held, most_held;

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    void *pointer = __real_aligned_alloc(alignment, size);
    const size_t now = atomic_fetch_add(&held, malloc_usable_size(pointer)) + malloc_usable_size(pointer);
    if (now > most_held)
        most_held = now;
    return pointer;
}

void __wrap_free(void *pointer)
{
    if (pointer)
        atomic_fetch_sub(&held, malloc_usable_size(pointer));
    __real_free(pointer);
}

static void read_made_up_row(const void *matrix, size_t row, float *out)
{
    const size_t k = *(const size_t *)matrix;
    for (size_t i = 0; i < k; i++) /* Weyl sequences: no memory, no two rows alike */
        out[i] = (float)fmod((double)(row * k + i + 1) * 0.6180339887498949, 1) *
                     (float)fmod((double)(row + 1) * (double)(i + 1) * 0.41421356237309515, 1) -
                 0.25f;
}

static void test_no_dense_copy_is_made(void **unused)
{
    (void)unused;
    const size_t n = 2048, k = 1024, dense = n * k * sizeof(float);
    const lutra_row_source source = {n, k, read_made_up_row, &k};
    const lutra_clustering_options options = {.n_clusters = 64, .per_row = true, .i8_grid = true};
    lutra_clustering result = {.indices = malloc(n * k), .scale = malloc(n * sizeof(float))};
    lutra_thread_pool *pool;
    assert_int_equal(lutra_thread_pool_create(2, &pool, NULL), LUTRA_OK);
    const size_t before = held;
    most_held = before;
    assert_int_equal(lutra_cluster_matrix(&source, &options, pool, &result, NULL), LUTRA_OK);
    assert_true(most_held > before); /* the counting works */
    /* Bins and counts: 16 chunks of some 9,000 bins, whatever the size of the matrix. */
    if (most_held - before > 8 << 20 || most_held - before >= dense)
        fail_msg("%zu bytes were held beside a matrix of %zu", most_held - before, dense);
    lutra_thread_pool_free(pool);
    free(result.indices);
    free(result.scale);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_count_and_kind),
        cmocka_unit_test(test_values_have_the_nearest_entry_and_rows_the_best_scale),
        cmocka_unit_test(test_row_scales_help_rows_of_different_spread),
        cmocka_unit_test(test_rows_count_by_their_size),
        cmocka_unit_test(test_integers_cost_little),
        cmocka_unit_test(test_exact_is_as_good_as_its_bound_says),
        cmocka_unit_test(test_the_same_on_any_number_of_threads),
        cmocka_unit_test(test_few_distinct_values_are_kept_exactly),
        cmocka_unit_test(test_rows_that_no_entry_fits),
        cmocka_unit_test(test_one_weight_far_out),
        cmocka_unit_test(test_degenerate_matrices),
        cmocka_unit_test(test_what_is_not_finite_is_named),
        cmocka_unit_test(test_options_out_of_range),
        cmocka_unit_test(test_one_codebook_for_several_matrices),
        cmocka_unit_test(test_look_up_is_a_search_for_the_nearest),
        cmocka_unit_test(test_no_dense_copy_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
