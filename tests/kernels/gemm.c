/* SPDX-License-Identifier: Apache-2.0 */
/* Whole products against a sum in double precision, on several numbers of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "operands.h"

static double activate(double x, lutra_activation activation)
{
    const double inner = activation == LUTRA_GELU_ERF
                             ? erf(x * sqrt(0.5))
                             : tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x));
    return activation == LUTRA_IDENTITY ? x : 0.5 * x * (1 + inner);
}

static void compare(harness *h, const lutra_gemm *gemm, const float *residual)
{
    const lutra_matrix *w = gemm->weights;
    float *row = malloc(w->k * sizeof *row);
    if (!row)
        exit(2);
    for (size_t j = 0; j < w->n; j++) {
        lutra_matrix_row(w, j, row);
        for (size_t i = 0; i < gemm->m; i++) {
            double x = gemm->bias ? (double)gemm->bias[j] : 0, magnitude = fabs(x);
            for (size_t l = 0; l < w->k; l++) {
                const double product = (double)gemm->a[i * gemm->lda + l] * (double)row[l];
                x += product;
                magnitude += fabs(product);
            }
            const double scale = gemm->layer_scale ? (double)gemm->layer_scale[j] : 1;
            const double added = residual ? (double)residual[i * gemm->ldr + j] : 0;
            /* The sum in any order (Higham (3.5)), scaling and finishing, GELU's slope of at most 1.13, and
             * the error of its erf or tanh. */
            const double bound = 1.13 * (double)(w->k + 6) * 0x1p-24 * magnitude * fabs(scale) +
                                 0x1p-22 * (fabs(x * scale) + fabs(added)) + 1.5e-7 * fabs(x * scale) + 1e-37;
            check_near(h, (double)gemm->c[i * gemm->ldc + j], activate(x, gemm->activation) * scale + added,
                       bound, i, j);
        }
    }
    free(row);
}

static void check_gemm(harness *h, size_t m, size_t n, size_t k, matrix_kind kind)
{
    static const size_t threads[] = {1, 2, 5};
    char text[64];
    random_matrix w;
    float *first = NULL;
    const lutra_activation activation = (lutra_activation)random_below(h, 3);
    const size_t options = random_below(h, 16), lda = k + random_below(h, 3), ldc = n + random_below(h, 3);
    const bool in_place = (options & 12) == 12;
    begin_case(h, "m %zu, n %zu, k %zu, %s, activation %d, options %zx", m, n, k,
               name_of_matrix(&kind, text, sizeof text), (int)activation, options);
    make_matrix(h, n, k, kind, &w);
    const float *a = guarded_floats(h, (m - 1) * lda + k, ORDINARY);
    const float *residual = guarded_floats(h, (m - 1) * ldc + n, ORDINARY);
    const float *bias = guarded_floats(h, n, ORDINARY), *layer_scale = guarded_floats(h, n, ORDINARY);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        const size_t bytes = ((m - 1) * ldc + n) * sizeof(float);
        lutra_thread_pool *pool = start_pool(threads[t]);
        float *c = guarded_floats(h, (m - 1) * ldc + n, ORDINARY);
        void *scratch = guarded(h, lutra_gemm_f32_scratch(k, threads[t]), 64);
        lutra_gemm gemm = {.m = m, .weights = &w.matrix, .a = a, .lda = lda, .c = c, .ldc = ldc};
        gemm.activation = activation;
        gemm.bias = options & 1 ? bias : NULL;
        gemm.layer_scale = options & 2 ? layer_scale : NULL;
        gemm.residual = in_place ? c : options & 4 ? residual : NULL;
        gemm.ldr = ldc;
        memcpy(c, residual, bytes);
        lutra_gemm_f32(h->kernels, pool, &gemm, scratch);
        compare(h, &gemm, gemm.residual ? residual : NULL);
        if (t == 0)
            first = c;
        else if (memcmp(c, first, bytes) != 0) /* what lies between the rows was not to be touched either */
            fail_case(h, "differs between %zu and %zu threads", threads[0], threads[t]);
        lutra_thread_pool_free(pool);
    }
    end_case(h);
}

void test_gemm(harness *h)
{
    static const size_t shapes[][3] = {{1, 1, 1},     {1, 1000, 96}, {5, 3, 3},    {13, 17, 33}, {29, 48, 4},
                                       {197, 64, 64}, {30, 100, 31}, {3, 32, 515}, {15, 31, 192}};
    static const lutra_dtype dtypes[] = {LUTRA_F64, LUTRA_F32, LUTRA_F16, LUTRA_BF16};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t j = 0; j < 4; j++)
            check_gemm(h, shapes[i][0], shapes[i][1], shapes[i][2], (matrix_kind){.dtype = dtypes[j]});
        for (unsigned j = 0; j < 16; j++)
            check_gemm(
                h, shapes[i][0], shapes[i][1], shapes[i][2],
                (matrix_kind){.bits = 1 + j % 8, .i8 = j / 8, .scale_per_row = random_below(h, 2) != 0});
    }
}

void test_matrix_row(harness *h)
{
    static const size_t ks[] = {1, 5, 32, 100};
    for (unsigned bits = 0; bits <= 8; bits++)
        for (size_t i = 0; i < 4; i++) {
            const matrix_kind kind = {.bits = bits, .dtype = LUTRA_F32, .i8 = i % 2, .scale_per_row = i / 2};
            char text[64];
            random_matrix w;
            begin_case(h, "k %zu, %s", ks[i], name_of_matrix(&kind, text, sizeof text));
            make_matrix(h, 35, ks[i], kind, &w);
            float *row = guarded_floats(h, ks[i], ORDINARY);
            uint8_t *indices = guarded(h, 16 * (bits ? w.matrix.layout.k_padded : 1), 1);
            for (size_t r = 0; r < 35; r++) {
                lutra_matrix_row(&w.matrix, r, row);
                if (bits)
                    lutra_unpack_block(&w.matrix.layout,
                                       w.matrix.indices + r / 16 * w.matrix.layout.block_bytes, indices);
                for (size_t j = 0; j < ks[i]; j++) {
                    float want;
                    if (bits)
                        want = w.codebook[indices[r % 16 * w.matrix.layout.k_padded + j]] *
                               w.matrix.scale[i / 2 ? r : 0];
                    else
                        memcpy(&want, (const char *)w.matrix.dense + (r * ks[i] + j) * sizeof want,
                               sizeof want);
                    check_near(h, (double)row[j], (double)want, 0, r, j);
                }
            }
            end_case(h);
        }
}

void bench_matrix_row(harness *h)
{
    (void)h; /* not on the way of a run */
}

typedef struct gemm_bench {
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    random_matrix weights;
    lutra_gemm gemm;
    void *scratch;
} gemm_bench;

static void call_gemm(void *argument)
{
    const gemm_bench *bench = argument;
    lutra_gemm_f32(bench->kernels, bench->pool, &bench->gemm, bench->scratch);
}

static const matrix_kind bench_kinds[] = {{.dtype = LUTRA_F32},
                                          {.bits = 6, .i8 = true, .scale_per_row = true},
                                          {.bits = 4, .i8 = true, .scale_per_row = true},
                                          {.bits = 6, .scale_per_row = true}};
#define N_KINDS (sizeof bench_kinds / sizeof *bench_kinds)

static void bench_shape(harness *h, size_t m, size_t n, size_t k, size_t n_threads)
{
    gemm_bench benches[N_KINDS];
    void *arguments[N_KINDS];
    double seconds[N_KINDS];
    lutra_thread_pool *pool = start_pool(n_threads);
    begin_case(h, "benchmark");
    const float *a = guarded_floats(h, m * k, ORDINARY);
    float *c = guarded(h, m * n * sizeof(float), 64);
    void *scratch = guarded(h, lutra_gemm_f32_scratch(k, n_threads), 64);
    for (size_t i = 0; i < N_KINDS; i++) {
        benches[i] = (gemm_bench){.kernels = h->kernels, .pool = pool, .scratch = scratch};
        make_matrix(h, n, k, bench_kinds[i], &benches[i].weights);
        benches[i].weights.matrix.codebook = benches[i].weights.codebook;
        benches[i].gemm =
            (lutra_gemm){.m = m, .weights = &benches[i].weights.matrix, .a = a, .lda = k, .c = c, .ldc = n};
        arguments[i] = &benches[i];
    }
    time_calls(N_KINDS, call_gemm, arguments, n_threads, seconds);
    printf("  %4zu x %4zu x %4zu, %zu thread%s:", m, n, k, n_threads, n_threads > 1 ? "s" : " ");
    for (size_t i = 0; i < N_KINDS; i++) {
        const double gmacs = (double)(m * n * k) / seconds[i] * 1e-9;
        if (i)
            printf("; %u bits %s", bench_kinds[i].bits, bench_kinds[i].i8 ? "I8" : "F32");
        else
            printf(" dense F32");
        printf(" %.1f GMAC/s", gmacs);
        if (h->peak_gmacs > 0)
            printf(" (%.0f %%)", 100 * gmacs / h->peak_gmacs / (double)n_threads);
        if (i)
            printf(", %.3f of dense's time", seconds[i] / seconds[0]);
    }
    printf("\n");
    fflush(stdout);
    lutra_thread_pool_free(pool);
    end_case(h);
}

/* Products of DeiT-Tiny, Small and Base, dense and clustered at 64 and 16 entries. */
void bench_gemm(harness *h)
{
    static const size_t shapes[][3] = {{197, 192, 192}, {197, 576, 192},  {197, 768, 192},
                                       {197, 192, 768}, {1, 1000, 192},   {197, 384, 1536},
                                       {197, 768, 768}, {197, 3072, 768}, {197, 768, 3072}};
    for (size_t n_threads = 1; n_threads <= 2; n_threads++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            bench_shape(h, shapes[i][0], shapes[i][1], shapes[i][2], n_threads);
}
