/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "harness.h"

/* `offset` moves the row away from zero, where a variance computed as a difference of squares is lost. */
static void check_row(harness *h, size_t dim, float factor, float offset, numbers kind, bool in_place)
{
    const float eps = random_below(h, 2) ? 1e-6f : 1e-12f;
    begin_case(h, "dim %zu, offset %g, %s numbers times %g%s", dim, (double)offset, name_of_numbers(kind),
               (double)factor, in_place ? ", in place" : "");
    float *x = guarded_floats(h, dim, kind), *old = guarded_floats(h, dim, ORDINARY);
    const float *gamma = guarded_floats(h, dim, ORDINARY), *beta = guarded_floats(h, dim, ORDINARY);
    float *y = in_place ? x : guarded_floats(h, dim, ORDINARY);
    double mean = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < dim; i++) {
        old[i] = x[i] = x[i] * factor + offset;
        mean += (double)x[i] / (double)dim;
        largest = fmax(largest, fabs((double)x[i]));
    }
    for (size_t i = 0; i < dim; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double deviation = sqrt(squares / (double)dim + (double)eps);
    h->kernels->layer_norm_row_f32(dim, x, gamma, beta, eps, y);
    for (size_t i = 0; i < dim; i++) {
        /* The mean in f32, summed in any order by at least 8 chains, is off by up to (dim/8 + 4) roundings of
         * the largest number; the variance and the rest by as many of the result. */
        const double roundings = ((double)dim / 8 + 8) * 0x1p-24;
        const double scaled = ((double)old[i] - mean) / deviation * (double)gamma[i], size = fabs(scaled) + 1;
        check_near(h, (double)y[i], scaled + (double)beta[i],
                   roundings * (2 * largest / deviation * fabs((double)gamma[i]) + size) + 4 * 0x1p-24 * 2, 0,
                   i);
    }
    end_case(h);
}

void test_layer_norm_row_f32(harness *h)
{
    static const size_t dims[] = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 192, 384, 768, 1023, 1280};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (size_t j = 0; j < 16; j++)
            check_row(h, dims[i], 1.0f, j & 1 ? 100.0f : 0.0f, (numbers)(j / 4), (j & 2) != 0);
    /* Deviations whose squares, and sums, no float holds. */
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        for (float factor = 1e18f; factor < 1e38f; factor *= 10)
            check_row(h, dims[i], factor, 0.0f, ORDINARY, random_below(h, 2));
}

static struct norm_bench {
    const lutra_kernels *kernels;
    lutra_layer_norm norm;
    lutra_thread_pool *pool;
} bench;

static void call_row(void *argument)
{
    const lutra_layer_norm *n = argument;
    bench.kernels->layer_norm_row_f32(n->dim, n->x, n->gamma, n->beta, n->eps, n->y);
}

static void prepare(harness *h, size_t n_rows, size_t dim, size_t n_threads)
{
    begin_case(h, "benchmark");
    bench.kernels = h->kernels;
    bench.pool = start_pool(n_threads);
    bench.norm = (lutra_layer_norm){.n_rows = n_rows, .dim = dim, .ldx = dim, .ldy = dim, .eps = 1e-6f};
    bench.norm.x = guarded_floats(h, n_rows * dim, ORDINARY);
    bench.norm.y = guarded_floats(h, n_rows * dim, ORDINARY);
    bench.norm.gamma = guarded_floats(h, dim, ORDINARY);
    bench.norm.beta = guarded_floats(h, dim, ORDINARY);
}

static void finish(harness *h)
{
    lutra_thread_pool_free(bench.pool);
    end_case(h);
}

void bench_layer_norm_row_f32(harness *h)
{
    static const size_t dims[] = {192, 768};
    for (size_t i = 0; i < 2; i++) {
        prepare(h, 1, dims[i], 1);
        printf("  dim %zu: %.2f G numbers/s\n", dims[i],
               (double)dims[i] / time_call(call_row, &bench.norm, 1) * 1e-9);
        finish(h);
    }
}

void test_layer_norm(harness *h)
{
    static const size_t rows[] = {1, 15, 16, 17, 197};
    for (size_t i = 0; i < 5; i++)
        for (size_t n_threads = 1; n_threads <= 3; n_threads++) {
            const size_t dim = 40, ldx = dim + random_below(h, 3), ldy = dim + random_below(h, 3);
            const size_t n = (rows[i] - 1) * ldy + dim;
            begin_case(h, "%zu rows, %zu threads", rows[i], n_threads);
            lutra_thread_pool *pool = start_pool(n_threads);
            const float *x = guarded_floats(h, (rows[i] - 1) * ldx + dim, ORDINARY);
            const float *gamma = guarded_floats(h, dim, ORDINARY), *beta = guarded_floats(h, dim, ORDINARY);
            float *y = guarded_floats(h, n, ORDINARY), *want = guarded_floats(h, n, ORDINARY);
            memcpy(want, y, n * sizeof *y);
            const lutra_layer_norm norm = {rows[i], dim, x, ldx, y, ldy, gamma, beta, 1e-6f};
            lutra_layer_norm_f32(h->kernels, pool, &norm);
            for (size_t row = 0; row < rows[i]; row++)
                h->kernels->layer_norm_row_f32(dim, x + row * ldx, gamma, beta, 1e-6f, want + row * ldy);
            for (size_t j = 0; j < n; j++)
                check_near(h, (double)y[j], (double)want[j], 0, j / ldy, j % ldy);
            lutra_thread_pool_free(pool);
            end_case(h);
        }
}

static void call_layer_norm(void *argument)
{
    lutra_layer_norm_f32(bench.kernels, bench.pool, argument);
}

void bench_layer_norm(harness *h)
{
    for (size_t n_threads = 1; n_threads <= 2; n_threads++) {
        prepare(h, 197, 192, n_threads);
        printf("  197 x 192, %zu thread%s: %.1f us\n", n_threads, n_threads > 1 ? "s" : "",
               1e6 * time_call(call_layer_norm, &bench.norm, n_threads));
        finish(h);
    }
}
