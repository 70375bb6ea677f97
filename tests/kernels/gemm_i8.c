/* SPDX-License-Identifier: Apache-2.0 */
/* Whole 8-bit products against the same quantised operands in double precision. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernels/gemm/few_rows.h"
#include "operands.h"

static double activate(double x, lutra_activation activation)
{
    const double inner = activation == LUTRA_GELU_ERF
                             ? erf(x * sqrt(0.5))
                             : tanh(sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x));
    return activation == LUTRA_IDENTITY ? x : 0.5 * x * (1 + inner);
}

static void bring_weights(harness *h, const lutra_matrix *matrix, lutra_matrix_i8 *weights)
{
    lutra_error error;
    lutra_thread_pool *pool = start_pool(1 + random_below(h, 3));
    if (lutra_matrix_i8_create(h->kernels, pool, matrix, weights, &error) != LUTRA_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    lutra_thread_pool_free(pool);
}

/* ---- weights ----------------------------------------------------------------------------------- */

static float largest(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmaxf(most, fabsf(x[i]));
    return most;
}

void test_matrix_i8(harness *h)
{
    static const lutra_dtype dtypes[] = {LUTRA_F64, LUTRA_F32, LUTRA_F16, LUTRA_BF16};
    for (unsigned i = 0; i < 36; i++) {
        const size_t n = 1 + random_below(h, 40), k = 1 + random_below(h, 150);
        const matrix_kind kind = {.dtype = dtypes[i % 4], .bits = i / 4, .i8 = i % 2, .scale_per_row = i & 2};
        random_matrix w;
        lutra_matrix_i8 weights;
        char text[64];
        begin_case(h, "n %zu, k %zu, %s", n, k, name_of_matrix(&kind, text, sizeof text));
        make_matrix(h, n, k, kind, &w);
        bring_weights(h, &w.matrix, &weights);
        float *got = guarded_floats(h, k, ORDINARY), *want = guarded_floats(h, k, ORDINARY);
        for (size_t row = 0; row < n; row++) {
            lutra_matrix_row(&w.matrix, row, want);
            lutra_matrix_i8_row(&weights, row, got);
            /* An int8 codebook is exact. Else half a step of the grid, whose ends are the row's largest
             * weight or the codebook's largest entry, and a few roundings of 127 steps. */
            const float ends = kind.bits ? fabsf(w.matrix.scale[kind.scale_per_row ? row : 0]) *
                                               largest(w.matrix.codebook, 256)
                                         : largest(want, k);
            const double bound = kind.bits && kind.i8 ? 0 : (double)ends / 127 * (0.5 + 127 * 4 * 0x1p-24);
            for (size_t j = 0; j < k; j++)
                check_near(h, (double)got[j], (double)want[j], bound, row, j);
        }
        lutra_matrix_i8_free(&weights);
        end_case(h);
    }
}

/* Of a codebook shared with matrices of a wider spread only the entries used here make the grid. */
static void check_narrow_matrix(harness *h)
{
    const matrix_kind kind = {.bits = 8};
    random_matrix w;
    lutra_matrix_i8 weights;
    begin_case(h, "one entry of a wide codebook");
    make_matrix(h, 16, 64, kind, &w);
    memset(w.codebook, 0, sizeof w.codebook);
    w.codebook[3] = 0.01f;
    w.codebook[200] = 1000.0f;
    memset((void *)(uintptr_t)w.matrix.indices, 3, w.matrix.layout.bytes);
    bring_weights(h, &w.matrix, &weights);
    if (weights.codebook[3] != 127)
        fail_case(h, "the only entry became %d", weights.codebook[3]);
    lutra_matrix_i8_free(&weights);
    end_case(h);
}

void bench_matrix_i8(harness *h)
{
    (void)h; /* once per context */
}

/* ---- products ---------------------------------------------------------------------------------- */

static void compare(harness *h, const lutra_gemm *gemm, const lutra_matrix_i8 *weights, const float *residual)
{
    const lutra_matrix *w = gemm->weights;
    float *row = malloc(w->k * sizeof *row);
    uint8_t *a = malloc(gemm->m * lutra_round_up(w->k, 64));
    lutra_row_i8 *rows = malloc(gemm->m * sizeof *rows);
    if (!row || !a || !rows)
        exit(2);
    const size_t lda = lutra_round_up(w->k, 64);
    /* Where a tile is finished as it is multiplied, GELU is in pieces (multiply_finish_i8). */
    const double of_gelu = gemm->activation != LUTRA_IDENTITY &&
                                   h->kernels->multiply_finish_i8 != h->reference->multiply_finish_i8
                               ? 3e-5
                               : 0;
    for (size_t i = 0; i < gemm->m; i++)
        h->reference->quantise_row_i8(w->k, lda, gemm->a + i * gemm->lda, a + i * lda, &rows[i]);
    for (size_t j = 0; j < w->n; j++) {
        lutra_matrix_i8_row(weights, j, row);
        for (size_t i = 0; i < gemm->m; i++) {
            double x = 0, magnitude = 0;
            for (size_t l = 0; l < w->k; l++) {
                const double product =
                    (double)rows[i].scale * ((double)a[i * lda + l] - rows[i].zero) * (double)row[l];
                x += product;
                magnitude += fabs(product);
            }
            const double bias = gemm->bias ? (double)gemm->bias[j] : 0;
            const double scale = gemm->layer_scale ? (double)gemm->layer_scale[j] : 1;
            const double added = residual ? (double)residual[i * gemm->ldr + j] : 0;
            /* The sum is exact; each weight of `row` is rounded once. Then a few roundings of the result,
             * with GELU's slope of at most 1.13, and the error of its erf or tanh. */
            const double result = fabs(x) + fabs(bias);
            const double bound = 1.13 * 0x1p-24 * (magnitude + 6 * result) * fabs(scale) +
                                 0x1p-22 * (result * fabs(scale) + fabs(added)) +
                                 1.5e-7 * result * fabs(scale) + of_gelu * fabs(scale) + 1e-37;
            check_near(h, (double)gemm->c[i * gemm->ldc + j],
                       activate(x + bias, gemm->activation) * scale + added, bound, i, j);
        }
    }
    free(rows);
    free(a);
    free(row);
}

static void check_gemm(harness *h, size_t m, size_t n, size_t k, matrix_kind kind)
{
    static const size_t threads[] = {1, 2, 5};
    char text[64];
    random_matrix w;
    lutra_matrix_i8 weights;
    float *first = NULL;
    const lutra_activation activation = (lutra_activation)random_below(h, 3);
    const size_t options = random_below(h, 16), lda = k + random_below(h, 3), ldc = n + random_below(h, 3);
    const bool in_place = (options & 12) == 12;
    begin_case(h, "m %zu, n %zu, k %zu, %s, activation %d, options %zx", m, n, k,
               name_of_matrix(&kind, text, sizeof text), (int)activation, options);
    make_matrix(h, n, k, kind, &w);
    bring_weights(h, &w.matrix, &weights);
    const float *a = guarded_floats(h, (m - 1) * lda + k, ORDINARY);
    const float *residual = guarded_floats(h, (m - 1) * ldc + n, ORDINARY);
    const float *bias = guarded_floats(h, n, ORDINARY), *layer_scale = guarded_floats(h, n, ORDINARY);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        const size_t bytes = ((m - 1) * ldc + n) * sizeof(float);
        size_t scratch_bytes;
        lutra_thread_pool *pool = start_pool(threads[t]);
        float *c = guarded_floats(h, (m - 1) * ldc + n, ORDINARY);
        if (!lutra_gemm_i8_scratch(m, k, threads[t], &scratch_bytes))
            fail_case(h, "too much scratch");
        void *scratch = guarded(h, scratch_bytes, 64);
        lutra_gemm gemm = {.m = m, .weights = &w.matrix, .a = a, .lda = lda, .c = c, .ldc = ldc};
        gemm.activation = activation;
        gemm.bias = options & 1 ? bias : NULL;
        gemm.layer_scale = options & 2 ? layer_scale : NULL;
        gemm.residual = in_place ? c : options & 4 ? residual : NULL;
        gemm.ldr = ldc;
        memcpy(c, residual, bytes);
        lutra_gemm_i8(h->kernels, pool, &gemm, &weights, scratch);
        compare(h, &gemm, &weights, gemm.residual ? residual : NULL);
        if (t == 0)
            first = c;
        else if (memcmp(c, first, bytes) != 0) /* what lies between the rows was not to be touched either */
            fail_case(h, "differs between %zu and %zu threads", threads[0], threads[t]);
        lutra_thread_pool_free(pool);
    }
    lutra_matrix_i8_free(&weights);
    end_case(h);
}

void test_gemm_i8(harness *h)
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
    check_narrow_matrix(h);
}

/* ---- norms that quantise ----------------------------------------------------------------------- */

/* Two products of rows that a norm left to them, against products of the same rows in f32: not one bit apart.
 */
static void check_norm(harness *h, size_t m, size_t k, bool wants_y)
{
    static const size_t threads[] = {1, 2, 5};
    const size_t ldx = k + random_below(h, 3), ldy = k + random_below(h, 3), n = 1 + random_below(h, 40);
    random_matrix w;
    lutra_matrix_i8 weights;
    begin_case(h, "%zu rows of %zu for %zu outputs%s", m, k, n, wants_y ? ", in f32 too" : "");
    make_matrix(h, n, k, (matrix_kind){.bits = 6, .i8 = true, .scale_per_row = true}, &w);
    bring_weights(h, &w.matrix, &weights);
    float *want = guarded_floats(h, m * n, ORDINARY), *got = guarded_floats(h, m * n, ORDINARY);
    float *want_y = guarded_floats(h, (m - 1) * ldy + k, ORDINARY);
    float *y = guarded_floats(h, (m - 1) * ldy + k, ORDINARY);
    const size_t y_bytes = ((m - 1) * ldy + k) * sizeof *y;
    lutra_layer_norm norm = {.n_rows = m,
                             .dim = k,
                             .x = guarded_floats(h, (m - 1) * ldx + k, ORDINARY),
                             .ldx = ldx,
                             .y = want_y,
                             .ldy = ldy,
                             .gamma = guarded_floats(h, k, ORDINARY),
                             .beta = guarded_floats(h, k, ORDINARY),
                             .eps = 1e-6f};
    lutra_gemm gemm = {.m = m, .weights = &w.matrix, .a = want_y, .lda = ldy, .c = want, .ldc = n};
    memcpy(y, want_y, y_bytes);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        lutra_thread_pool *pool = start_pool(threads[t]);
        size_t bytes;
        if (!lutra_gemm_i8_scratch(m, k, threads[t], &bytes))
            fail_case(h, "too much scratch");
        void *scratch = guarded(h, bytes, 64);
        if (t == 0) {
            lutra_layer_norm_f32(h->kernels, pool, &norm);
            lutra_gemm_i8(h->kernels, pool, &gemm, &weights, scratch);
            norm.y = wants_y ? y : NULL;
            gemm.a = NULL;
            gemm.c = got;
        }
        lutra_layer_norm_i8(h->kernels, pool, &norm, scratch);
        for (int product = 0; product < 2; product++) {
            memset(got, 0, m * n * sizeof *got);
            lutra_gemm_i8(h->kernels, pool, &gemm, &weights, scratch);
            if (memcmp(got, want, m * n * sizeof *got) != 0)
                fail_case(h, "product %d differs on %zu threads", product, threads[t]);
        }
        if (wants_y && memcmp(y, want_y, y_bytes) != 0)
            fail_case(h, "the norm itself differs on %zu threads", threads[t]);
        lutra_thread_pool_free(pool);
    }
    lutra_matrix_i8_free(&weights);
    end_case(h);
}

void test_layer_norm_i8(harness *h)
{
    static const size_t ks[] = {1, 3, 16, 33, 64, 65, 192, 515};
    for (size_t m = LUTRA_FEW_ROWS + 1; m < 40; m += 1 + m / 8)
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
            check_norm(h, m, ks[i], i % 2);
    check_norm(h, 197, 192, true);
    check_norm(h, 197, 100, false);
}

/* ---- benchmarks -------------------------------------------------------------------------------- */

static struct norm_bench {
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    lutra_layer_norm norm;
    void *scratch;
} norms;

static void call_norm(void *argument)
{
    (void)argument;
    lutra_layer_norm_i8(norms.kernels, norms.pool, &norms.norm, norms.scratch);
}

void bench_layer_norm_i8(harness *h)
{
    static const size_t dims[] = {192, 768};
    for (size_t i = 0; i < 2; i++) {
        const size_t m = 197, dim = dims[i];
        size_t scratch;
        begin_case(h, "benchmark");
        lutra_gemm_i8_scratch(m, dim, 1, &scratch);
        norms = (struct norm_bench){
            .kernels = h->kernels, .pool = start_pool(1), .scratch = guarded(h, scratch, 64)};
        norms.norm = (lutra_layer_norm){.n_rows = m,
                                        .dim = dim,
                                        .x = guarded_floats(h, m * dim, ORDINARY),
                                        .ldx = dim,
                                        .gamma = guarded_floats(h, dim, ORDINARY),
                                        .beta = guarded_floats(h, dim, ORDINARY),
                                        .eps = 1e-6f};
        printf("  %zu rows of %zu: %.2f G numbers/s\n", m, dim,
               (double)(m * dim) / time_call(call_norm, NULL, 1) * 1e-9);
        lutra_thread_pool_free(norms.pool);
        end_case(h);
    }
}

static struct i8_bench {
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    struct side {
        random_matrix w;
        lutra_matrix_i8 weights;
        lutra_gemm gemm;
    } sides[3];
    void *scratch;
} bench;

static void call_gemm(void *argument)
{
    const struct side *side = argument;
    lutra_gemm_i8(bench.kernels, bench.pool, &side->gemm, &side->weights, bench.scratch);
}

/* The products of DeiT-Tiny and DeiT-Base, dense and clustered at 64 and 16. */
void bench_gemm_i8(harness *h)
{
    static const size_t shapes[][3] = {{197, 192, 192}, {197, 576, 192},  {197, 768, 192},
                                       {197, 192, 768}, {1, 1000, 192},   {197, 384, 1536},
                                       {197, 768, 768}, {197, 3072, 768}, {197, 768, 3072}};
    static const matrix_kind kinds[] = {{.dtype = LUTRA_F32, .trained = true},
                                        {.bits = 6, .i8 = true, .scale_per_row = true, .trained = true},
                                        {.bits = 4, .i8 = true, .scale_per_row = true, .trained = true}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t n_threads = 1; n_threads <= 2; n_threads++) {
            const size_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
            double seconds[3];
            size_t scratch;
            begin_case(h, "benchmark");
            lutra_gemm_i8_scratch(m, k, n_threads, &scratch);
            bench.kernels = h->kernels;
            bench.pool = start_pool(n_threads);
            bench.scratch = guarded(h, scratch, 64);
            const float *a = guarded_floats(h, m * k, ORDINARY);
            float *c = guarded(h, m * n * sizeof(float), 64);
            for (size_t j = 0; j < 3; j++) {
                struct side *side = &bench.sides[j];
                make_matrix(h, n, k, kinds[j], &side->w);
                bring_weights(h, &side->w.matrix, &side->weights);
                side->gemm =
                    (lutra_gemm){.m = m, .weights = &side->w.matrix, .a = a, .lda = k, .c = c, .ldc = n};
            }
            time_calls(3, call_gemm, (void *[]){&bench.sides[0], &bench.sides[1], &bench.sides[2]}, n_threads,
                       seconds);
            printf("  %zu x %zu x %zu, %zu thread%s:", m, n, k, n_threads, n_threads > 1 ? "s" : "");
            for (size_t j = 0; j < 3; j++) {
                const double gmacs = (double)(m * n * k) / seconds[j] * 1e-9;
                printf("%s %s %.1f GMAC/s", j ? ";" : "",
                       j == 0   ? "dense"
                       : j == 1 ? "6 bits"
                                : "4 bits",
                       gmacs);
                if (h->peak_i8_gmacs > 0)
                    printf(" (%.0f %%)", 100 * gmacs / h->peak_i8_gmacs / (double)n_threads);
                if (j)
                    printf(", %.3f of dense's time", seconds[j] / seconds[0]);
                lutra_matrix_i8_free(&bench.sides[j].weights);
            }
            printf("\n");
            lutra_thread_pool_free(bench.pool);
            end_case(h);
        }
}
