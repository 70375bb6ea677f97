/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operands.h"

void test_patch_row_f32(harness *h)
{
    for (size_t n = 1; n <= 70; n++) {
        const size_t plane = n + random_below(h, 5);
        const float scale[3] = {0.017f, 0.0175f, random_float(h, 0.0f, 1.0f)};
        const float shift[3] = {-2.1f, 1.0f, random_float(h, -3.0f, 3.0f)};
        begin_case(h, "%zu pixels", n);
        const uint8_t *pixels = guarded(h, 3 * n, 1);
        float *out = guarded_floats(h, 2 * plane + n, ORDINARY);
        float *want = guarded_floats(h, 2 * plane + n, ORDINARY);
        for (size_t i = 0; i < 2 * plane + n; i++)
            want[i] = out[i]; /* between the planes nothing may change */
        h->reference->patch_row_f32(n, pixels, scale, shift, want, plane);
        h->kernels->patch_row_f32(n, pixels, scale, shift, out, plane);
        for (size_t i = 0; i < 2 * plane + n; i++) /* a product rounded in one of them, a sum in both */
            check_near(h, (double)out[i], (double)want[i],
                       0x1p-24 * (255.0 * (double)scale[i / plane % 3] + 2 * fabs((double)want[i])),
                       i / plane, i % plane);
        end_case(h);
    }
}

static struct patches_bench {
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    lutra_patches patches;
} bench;

static void prepare(harness *h, size_t batch, size_t height, size_t width, size_t patch, size_t n_threads)
{
    bench.kernels = h->kernels;
    bench.pool = start_pool(n_threads);
    bench.patches = (lutra_patches){.batch = batch,
                                    .height = height,
                                    .width = width,
                                    .patch = patch,
                                    .pixels = guarded(h, batch * height * width * 3, 1),
                                    .mean = {0.485f, 0.456f, 0.406f},
                                    .std = {0.229f, 0.224f, 0.225f},
                                    .out = guarded_floats(h, batch * height * width * 3, ORDINARY)};
}

void test_patches(harness *h)
{
    static const size_t shapes[][4] = {
        {1, 8, 8, 8}, {2, 32, 48, 16}, {1, 28, 14, 14}, {3, 6, 9, 3}, {1, 64, 64, 32}};
    for (size_t s = 0; s < 10; s++) {
        const size_t *shape = shapes[s / 2];
        begin_case(h, "batch %zu, %zu x %zu, patch %zu, %zu threads", shape[0], shape[1], shape[2], shape[3],
                   1 + s % 2);
        prepare(h, shape[0], shape[1], shape[2], shape[3], 1 + s % 2);
        const lutra_patches *p = &bench.patches;
        lutra_patches_f32(h->kernels, bench.pool, p);
        const float *out = p->out;
        for (size_t b = 0; b < p->batch; b++)
            for (size_t top = 0; top < p->height; top += p->patch)
                for (size_t left = 0; left < p->width; left += p->patch)
                    for (size_t c = 0; c < 3; c++)
                        for (size_t y = 0; y < p->patch; y++)
                            for (size_t x = 0; x < p->patch; x++) {
                                const uint8_t pixel =
                                    p->pixels[((b * p->height + top + y) * p->width + left + x) * 3 + c];
                                const double want =
                                    ((double)pixel / 255 - (double)p->mean[c]) / (double)p->std[c];
                                /* A few roundings of numbers below 1 / std = 4.5. */
                                check_near(h, (double)*out++, want, 4 * 0x1p-24 * 4.5, y, x);
                            }
        lutra_thread_pool_free(bench.pool);
        end_case(h);
    }
}

/* Cut and quantised at once, patches give a product the same bits as those that were cut in f32. */
static void check_patches_i8(harness *h, const size_t *shape, size_t n_threads)
{
    const size_t side = shape[3], m = shape[0] * (shape[1] / side) * (shape[2] / side), k = 3 * side * side;
    const size_t n = 1 + random_below(h, 40), bytes = m * k * sizeof(float);
    random_matrix w;
    lutra_matrix_i8 weights;
    lutra_error error;
    size_t scratch_bytes;
    begin_case(h, "batch %zu, %zu x %zu, patch %zu, %zu threads", shape[0], shape[1], shape[2], side,
               n_threads);
    prepare(h, shape[0], shape[1], shape[2], side, n_threads);
    make_matrix(h, n, k, (matrix_kind){.bits = 6, .i8 = true, .scale_per_row = true}, &w);
    if (lutra_matrix_i8_create(h->kernels, bench.pool, &w.matrix, &weights, &error) != LUTRA_OK ||
        !lutra_gemm_i8_scratch(m, k, n_threads, &scratch_bytes))
        exit(2);
    void *scratch = guarded(h, scratch_bytes, 64);
    float *want = guarded_floats(h, m * n, ORDINARY), *got = guarded_floats(h, m * n, ORDINARY);
    lutra_gemm gemm = {.m = m, .weights = &w.matrix, .a = bench.patches.out, .lda = k, .c = want, .ldc = n};
    lutra_patches_f32(h->kernels, bench.pool, &bench.patches);
    lutra_gemm_i8(h->kernels, bench.pool, &gemm, &weights, scratch);
    gemm.a = NULL;
    gemm.c = got;
    for (int wants_out = 0; wants_out < 2; wants_out++) {
        const float *cut = bench.patches.out;
        bench.patches.out = wants_out ? guarded_floats(h, m * k, ORDINARY) : NULL;
        memset(got, 0, m * n * sizeof *got);
        lutra_patches_i8(h->kernels, bench.pool, &bench.patches, scratch);
        lutra_gemm_i8(h->kernels, bench.pool, &gemm, &weights, scratch);
        if (memcmp(got, want, m * n * sizeof *got) != 0)
            fail_case(h, "the product differs");
        if (wants_out && memcmp(bench.patches.out, cut, bytes) != 0)
            fail_case(h, "the patches themselves differ");
        bench.patches.out = (float *)(uintptr_t)cut;
    }
    lutra_matrix_i8_free(&weights);
    lutra_thread_pool_free(bench.pool);
    end_case(h);
}

void test_patches_i8(harness *h)
{
    static const size_t shapes[][4] = {{2, 32, 48, 16}, {1, 48, 48, 16}, {3, 6, 9, 3}, {2, 56, 42, 14}};
    for (size_t i = 0; i < 8; i++)
        check_patches_i8(h, shapes[i / 2], 1 + 2 * (i % 2));
}

static void call_row(void *argument)
{
    const lutra_patches *p = argument;
    bench.kernels->patch_row_f32(16, p->pixels, p->mean, p->std, p->out, 256);
}

void bench_patch_row_f32(harness *h)
{
    begin_case(h, "benchmark");
    prepare(h, 1, 16, 16, 16, 1);
    printf("  16 pixels: %.2f G pixels/s\n", 16 / time_call(call_row, &bench.patches, 1) * 1e-9);
    lutra_thread_pool_free(bench.pool);
    end_case(h);
}

static void call_patches(void *argument)
{
    lutra_patches_f32(bench.kernels, bench.pool, argument);
}

void bench_patches(harness *h)
{
    for (size_t n_threads = 1; n_threads <= 2; n_threads++) {
        begin_case(h, "benchmark");
        prepare(h, 1, 224, 224, 16, n_threads);
        printf("  224 x 224, %zu thread%s: %.1f us\n", n_threads, n_threads > 1 ? "s" : "",
               1e6 * time_call(call_patches, &bench.patches, n_threads));
        lutra_thread_pool_free(bench.pool);
        end_case(h);
    }
}

static void call_patches_i8(void *argument)
{
    lutra_patches_i8(bench.kernels, bench.pool, &bench.patches, argument);
}

void bench_patches_i8(harness *h)
{
    for (size_t n_threads = 1; n_threads <= 2; n_threads++) {
        size_t bytes;
        begin_case(h, "benchmark");
        prepare(h, 1, 224, 224, 16, n_threads);
        bench.patches.out = NULL;
        lutra_gemm_i8_scratch(196, 768, n_threads, &bytes);
        void *scratch = guarded(h, bytes, 64);
        printf("  224 x 224, %zu thread%s: %.1f us\n", n_threads, n_threads > 1 ? "s" : "",
               1e6 * time_call(call_patches_i8, scratch, n_threads));
        lutra_thread_pool_free(bench.pool);
        end_case(h);
    }
}
