/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of products in bf16: not one bit may differ from the reference; and the products as a whole. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "kernels/gemm/bf16.h"
#include "kernels/gemm/gemm_bf16.h"
#include "operands.h"

#define PANEL ((size_t)LUTRA_PANEL)

static void compare_words(harness *h, size_t n, const void *got, const void *want)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t g, w;
        memcpy(&g, (const char *)got + i * sizeof g, sizeof g);
        memcpy(&w, (const char *)want + i * sizeof w, sizeof w);
        if (g != w) {
            fail_case(h, "word %zu is %08x, should be %08x", i, g, w);
            return;
        }
    }
}

/* ---- rounding ---------------------------------------------------------------------------------- */

/* Numbers of a kind, or any bits at all: infinities, NaNs, ties. */
static float *guarded_any(harness *h, size_t n, int kind)
{
    float *x = guarded_floats(h, n, kind < N_NUMBERS ? (numbers)kind : ORDINARY);
    static const uint32_t special[] = {0x7f800000u, 0xff800000u, 0x7fc00000u, 0x7f800001u,
                                       0xffffffffu, 0x7f7fffffu, 0x00000001u, 0x807fffffu,
                                       0x00800000u, 0x80000000u, 0x3f808000u, 0x3f818000u};
    for (size_t i = 0; kind >= N_NUMBERS && i < n; i++) {
        const uint32_t bits = random_below(h, 2) ? (uint32_t)random_bits(h)
                                                 : special[random_below(h, sizeof special / sizeof *special)];
        memcpy(&x[i], &bits, sizeof bits);
    }
    return x;
}

/* The nearest of the 65536 numbers there are, the even one between two, and denormals are zero. */
static void check_rounding(harness *h, size_t n, const float *x, const float *got)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &got[i], sizeof bits);
        const double bound = isnormal(x[i]) ? ldexp(0.5, ilogbf(x[i]) - 7) : 0x1p-126;
        if (bits & 0xffffu)
            fail_case(h, "%.9g is no bf16", (double)got[i]);
        if (isnan(x[i]) ? !isnan(got[i]) : fabsf(x[i]) < 0x1.ffp127f && isfinite(x[i]))
            check_near(h, (double)got[i], isnan(x[i]) ? NAN : (double)x[i], bound, 0, i);
        if (fabsf(x[i]) < 0x1p-126f && got[i] != 0)
            fail_case(h, "a denormal became %.9g", (double)got[i]);
        if (isnan(x[i]) && isnan(got[i]))
            continue;
        if (signbit(got[i]) != signbit(x[i]))
            fail_case(h, "%.9g became %.9g", (double)x[i], (double)got[i]);
    }
}

void test_round_bf16(harness *h)
{
    static const size_t ns[] = {1, 2, 7, 8, 9, 16, 100};
    for (int kind = 0; kind <= N_NUMBERS; kind++)
        for (size_t i = 0; i < 2 * sizeof ns / sizeof *ns; i++) {
            const size_t n = ns[i / 2];
            begin_case(h, "n %zu, kind %d%s", n, kind, i % 2 ? ", in place" : "");
            float *x = guarded_any(h, n, kind), *want = guarded_floats(h, n, ORDINARY);
            float *copy = guarded_floats(h, n, ORDINARY), *got = i % 2 ? x : guarded_floats(h, n, ORDINARY);
            memcpy(copy, x, n * sizeof *x);
            h->reference->round_bf16(n, x, want);
            h->kernels->round_bf16(n, x, got);
            compare_words(h, n, got, want);
            check_rounding(h, n, copy, got);
            end_case(h);
        }
}

void test_pair_row_bf16(harness *h)
{
    static const size_t ks[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 197};
    for (int kind = 0; kind <= N_NUMBERS; kind++)
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
            const size_t k = ks[i], n = (k + 1) / 2;
            begin_case(h, "k %zu, kind %d", k, kind);
            const float *x = guarded_any(h, k, kind);
            uint32_t *got = guarded(h, n * sizeof *got, 4);
            h->kernels->pair_row_bf16(k, x, got);
            for (size_t j = 0; j < n; j++) {
                const uint32_t want = lutra_bits_of_bf16(x[2 * j]) |
                                      lutra_bits_of_bf16(2 * j + 1 < k ? x[2 * j + 1] : 0.0f) >> 16;
                compare_words(h, 1, &got[j], &want);
            }
            end_case(h);
        }
}

void test_pair_panel_bf16(harness *h)
{
    static const size_t ks[] = {1, 2, 3, 4, 33, 64};
    for (int kind = 0; kind <= N_NUMBERS; kind++)
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
            const size_t k = ks[i], bytes = k * PANEL * sizeof(float);
            begin_case(h, "k %zu, kind %d", k, kind);
            const float *source = guarded_any(h, k * PANEL, kind);
            void *got = guarded(h, bytes, 64);
            memcpy(got, source, bytes);
            h->kernels->pair_panel_bf16(k, got);
            for (size_t j = 0; j < (k + 1) / 2 * PANEL; j++) {
                const float *first = source + j / PANEL * 2 * PANEL + j % PANEL;
                const uint32_t want = lutra_bits_of_bf16(*first) |
                                      lutra_bits_of_bf16(j / PANEL * 2 + 1 < k ? first[PANEL] : 0.0f) >> 16;
                compare_words(h, 1, (const char *)got + j * sizeof want, &want);
            }
            end_case(h);
        }
}

void test_unpack_panel_bf16(harness *h)
{
    static const size_t ks[] = {1, 3, 4, 96, 100, 192, 333};
    for (unsigned bits = 4; bits <= 6; bits += 2)
        for (size_t i = 0; i < 2 * sizeof ks / sizeof *ks; i++) {
            const size_t k = ks[i / 2];
            float codebook[256];
            lutra_index_layout layout;
            begin_case(h, "%u bits, k %zu, %s codebook", bits, k, i % 2 ? "I8" : "F32");
            if (!lutra_index_layout_of(16, k, bits, &layout))
                fail_case(h, "no layout");
            const uint8_t *block = guarded(h, layout.block_bytes, 64);
            float *floats = guarded(h, layout.k_padded * PANEL * sizeof(float), 64);
            uint32_t *got = guarded(h, layout.k_padded / 2 * PANEL * sizeof *got, 64);
            fill_codebook(h, bits, i % 2, codebook);
            h->kernels->unpack_panel_bf16(&layout, block, codebook, got);
            h->reference->unpack_panel_f32(&layout, block, codebook, i % 2, floats);
            h->reference->pair_panel_bf16(layout.k_padded, floats);
            compare_words(h, layout.k_padded / 2 * PANEL, got, floats);
            end_case(h);
        }
}

/* ---- multiplying ------------------------------------------------------------------------------- */

static void check_multiply(harness *h, size_t m, size_t k, size_t n_panels, numbers kind)
{
    const size_t n_pairs = (k + 1) / 2, lda = n_pairs + random_below(h, 4);
    const size_t ldc = n_panels * PANEL + random_below(h, 4);
    const size_t stride = (2 * n_pairs + random_below(h, 3)) * PANEL,
                 words = (n_panels - 1) * stride + 2 * n_pairs * PANEL;
    begin_case(h, "m %zu, k %zu, %zu panels, %s numbers", m, k, n_panels, name_of_numbers(kind));
    float *a = guarded_floats(h, m * k, kind), *w = guarded(h, words * sizeof *w, 64);
    uint32_t *pairs = guarded(h, ((m - 1) * lda + n_pairs) * sizeof *pairs, 4);
    float *panels = guarded(h, words * sizeof *panels, 64);
    float *c = guarded_floats(h, (m - 1) * ldc + n_panels * PANEL, ORDINARY);
    float *want = guarded_floats(h, m * n_panels * PANEL, ORDINARY);
    for (size_t i = 0; i < words; i++)
        w[i] = kind == ORDINARY ? (float)((int)random_below(h, 255) - 127)
                                : random_float(h, -1.0f, 1.0f) * (kind == DENORMAL ? 0x1p-40f : 1.0f);
    for (size_t i = 0; kind == DENORMAL && i < m * k; i++)
        a[i] *= 0x1p42f; /* their products and sums are denormal, or nearly */
    for (size_t p = 0; p < n_panels; p++)
        for (size_t j = 0; k % 2 && j < PANEL; j++)
            w[p * stride + k * PANEL + j] = 0.0f; /* has no partner */
    memcpy(panels, w, words * sizeof *w);
    for (size_t i = 0; i < m; i++)
        h->reference->pair_row_bf16(k, a + i * k, pairs + i * lda);
    for (size_t p = 0; p < n_panels; p++)
        h->reference->pair_panel_bf16(2 * n_pairs, panels + p * stride);
    h->reference->multiply_bf16(m, n_pairs, pairs, lda, n_panels, (const uint32_t *)(void *)panels, stride,
                                want, n_panels * PANEL);
    h->kernels->multiply_bf16(m, n_pairs, pairs, lda, n_panels, (const uint32_t *)(void *)panels, stride, c,
                              ldc);
    for (size_t i = 0; i < m; i++)
        compare_words(h, n_panels * PANEL, c + i * ldc, want + i * n_panels * PANEL);
    /* What levels without the instruction do instead gives the very same, where nothing is denormal. */
    h->reference->round_bf16(m * k, a, a);
    h->reference->round_bf16(words, w, w);
    h->reference->multiply_f32(m, k, a, k, n_panels, w, stride, want, n_panels * PANEL);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n_panels * PANEL; j++)
            check_near(h, (double)c[i * ldc + j], (double)want[i * n_panels * PANEL + j],
                       kind == DENORMAL ? (double)k * 0x1p-126 : 0, i, j);
    end_case(h);
}

void test_multiply_bf16(harness *h)
{
    static const size_t ks[] = {1, 2, 3, 7, 64, 197};
    for (size_t m = 1; m <= h->kernels->tile_rows; m++)
        for (size_t n_panels = 1; n_panels <= h->kernels->tile_panels; n_panels++)
            for (size_t i = 0; i < 24; i++)
                check_multiply(h, m, ks[i / 4], n_panels, (numbers)(i % N_NUMBERS));
}

/* ---- products ---------------------------------------------------------------------------------- */

static double rounded(float x)
{
    return (double)lutra_float_of_bits(lutra_bits_of_bf16(x));
}

/* Against a sum in double precision of the rounded numbers. */
static void compare(harness *h, const lutra_gemm *gemm)
{
    lutra_matrix unscaled = *gemm->weights;
    static const float one = 1;
    float *row = malloc(unscaled.k * sizeof *row);
    if (!row)
        exit(2);
    if (!unscaled.dense) {
        unscaled.scale = &one;
        unscaled.scale_per_row = false;
    }
    for (size_t j = 0; j < unscaled.n; j++) {
        lutra_matrix_row(&unscaled, j, row);
        const double scale =
            unscaled.dense ? 1 : (double)gemm->weights->scale[gemm->weights->scale_per_row ? j : 0];
        for (size_t i = 0; i < gemm->m; i++) {
            double sum = 0, magnitude = 0;
            for (size_t l = 0; l < unscaled.k; l++) {
                const double product = rounded(gemm->a[i * gemm->lda + l]) * rounded(row[l]);
                sum += product;
                magnitude += fabs(product);
            }
            const double want = sum * scale + (double)gemm->bias[j];
            /* A sum in f32 (Higham (3.5)), scaled, and the bias added. */
            check_near(h, (double)gemm->c[i * gemm->ldc + j], want,
                       (double)(unscaled.k + 3) * 0x1p-24 *
                               (magnitude * fabs(scale) + fabs((double)gemm->bias[j])) +
                           1e-37,
                       i, j);
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
    begin_case(h, "m %zu, n %zu, k %zu, %s", m, n, k, name_of_matrix(&kind, text, sizeof text));
    make_matrix(h, n, k, kind, &w);
    const float *a = guarded_floats(h, m * k, ORDINARY), *bias = guarded_floats(h, n, ORDINARY);
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        lutra_thread_pool *pool = start_pool(threads[t]);
        size_t bytes;
        if (!lutra_gemm_bf16_scratch(m, k, threads[t], &bytes))
            exit(2);
        float *c = guarded_floats(h, m * n, ORDINARY);
        void *scratch = guarded(h, bytes, 64);
        const lutra_gemm gemm = {
            .m = m, .weights = &w.matrix, .a = a, .lda = k, .c = c, .ldc = n, .bias = bias};
        lutra_gemm_bf16(h->kernels, pool, &gemm, scratch);
        compare(h, &gemm);
        if (t == 0)
            first = c;
        else if (memcmp(c, first, m * n * sizeof *c) != 0)
            fail_case(h, "differs between %zu and %zu threads", threads[0], threads[t]);
        lutra_thread_pool_free(pool);
    }
    end_case(h);
}

void test_gemm_bf16(harness *h)
{
    static const size_t shapes[][3] = {{1, 1, 1},   {1, 100, 96},  {5, 3, 3},    {13, 17, 33},
                                       {29, 48, 4}, {30, 100, 31}, {3, 32, 515}, {197, 31, 192}};
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

/* ---- benchmarks -------------------------------------------------------------------------------- */

#define BENCH_K 768

static struct bf16_bench {
    const harness *h;
    size_t k;
    lutra_index_layout layout;
    const uint8_t *block;
    float codebook[256];
    float *x, *c;
    uint32_t *pairs, *panels;
    lutra_thread_pool *pool;
    lutra_gemm gemm[2]; /* dense; clustered */
    void *scratch;
} bench;

static void call_round(void *argument)
{
    (void)argument;
    bench.h->kernels->round_bf16(BENCH_K, bench.x, bench.c);
}

static void call_pair_row(void *argument)
{
    (void)argument;
    bench.h->kernels->pair_row_bf16(BENCH_K, bench.x, bench.pairs);
}

static void bench_row(harness *h, void (*call)(void *))
{
    begin_case(h, "benchmark");
    bench = (struct bf16_bench){.h = h, .x = guarded_floats(h, BENCH_K, ORDINARY)};
    bench.c = guarded_floats(h, BENCH_K, ORDINARY);
    bench.pairs = guarded(h, BENCH_K * sizeof *bench.pairs, 64);
    printf("  %.1f G numbers/s\n", BENCH_K / time_call(call, NULL, 1) * 1e-9);
    end_case(h);
}

void bench_round_bf16(harness *h)
{
    bench_row(h, call_round);
}

void bench_pair_row_bf16(harness *h)
{
    bench_row(h, call_pair_row);
}

static void call_pair_panel(void *argument)
{
    (void)argument;
    bench.h->kernels->pair_panel_bf16(BENCH_K, bench.panels);
}

static void call_unpack(void *argument)
{
    (void)argument;
    bench.h->kernels->unpack_panel_bf16(&bench.layout, bench.block, bench.codebook, bench.panels);
}

static void print_weights(const harness *h, const char *what, double seconds)
{
    const double weights = BENCH_K * (double)PANEL;
    printf("  %s %.1f G weights/s", what, weights / seconds * 1e-9);
    if (h->peak_bf16_gmacs > 0)
        printf(" (the time of %.1f rows of multiply-adds at the peak)",
               seconds * h->peak_bf16_gmacs * 1e9 / weights);
    printf("\n");
}

void bench_pair_panel_bf16(harness *h)
{
    begin_case(h, "benchmark");
    bench = (struct bf16_bench){.h = h};
    bench.panels = guarded(h, BENCH_K * PANEL * sizeof(float), 64);
    print_weights(h, "", time_call(call_pair_panel, NULL, 1));
    end_case(h);
}

void bench_unpack_panel_bf16(harness *h)
{
    for (unsigned bits = 4; bits <= 6; bits += 2) {
        char what[16];
        begin_case(h, "benchmark");
        bench = (struct bf16_bench){.h = h};
        if (!lutra_index_layout_of(16, BENCH_K, bits, &bench.layout))
            return;
        bench.block = guarded(h, bench.layout.block_bytes, 64);
        bench.panels = guarded(h, BENCH_K * PANEL * sizeof(float), 64);
        fill_codebook(h, bits, true, bench.codebook);
        snprintf(what, sizeof what, "%u bits:", bits);
        print_weights(h, what, time_call(call_unpack, NULL, 1));
        end_case(h);
    }
}

static void call_multiply(void *argument)
{
    const lutra_kernels *kernels = bench.h->kernels;
    (void)argument;
    kernels->multiply_bf16(kernels->tile_rows, bench.k / 2, bench.pairs, bench.k / 2, kernels->tile_panels,
                           bench.panels, bench.k / 2 * PANEL, bench.c, kernels->tile_panels * PANEL);
}

void bench_multiply_bf16(harness *h)
{
    static const size_t ks[] = {64, 192, 768, 3072};
    for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
        const size_t k = ks[i], m = h->kernels->tile_rows, n = h->kernels->tile_panels * PANEL;
        begin_case(h, "benchmark");
        bench = (struct bf16_bench){.h = h, .k = k, .pairs = guarded(h, m * k / 2 * sizeof *bench.pairs, 64)};
        bench.panels = guarded(h, k / 2 * n * sizeof *bench.panels, 64);
        bench.c = guarded(h, m * n * sizeof(float), 64);
        const double gmacs = (double)(m * n * k) / time_call(call_multiply, NULL, 1) * 1e-9;
        printf("  %zu x %zu, k %zu: %.1f GMAC/s", m, n, k, gmacs);
        if (h->peak_bf16_gmacs > 0)
            printf(", %.0f %% of the peak", 100.0 * gmacs / h->peak_bf16_gmacs);
        printf("\n");
        end_case(h);
    }
}

static void call_gemm(void *argument)
{
    lutra_gemm_bf16(bench.h->kernels, bench.pool, argument, bench.scratch);
}

void bench_gemm_bf16(harness *h)
{
    static const size_t shapes[][3] = {{197, 192, 192},  {197, 576, 192}, {197, 768, 192},  {197, 192, 768},
                                       {197, 384, 1536}, {197, 768, 768}, {197, 3072, 768}, {197, 768, 3072}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const size_t m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
        random_matrix dense, clustered;
        size_t bytes;
        double seconds[2];
        begin_case(h, "benchmark");
        make_matrix(h, n, k, (matrix_kind){.dtype = LUTRA_F32}, &dense);
        make_matrix(h, n, k, (matrix_kind){.bits = 6, .i8 = true, .scale_per_row = true}, &clustered);
        if (!lutra_gemm_bf16_scratch(m, k, 1, &bytes))
            exit(2);
        bench = (struct bf16_bench){.h = h, .pool = start_pool(1), .scratch = guarded(h, bytes, 64)};
        bench.gemm[0] = (lutra_gemm){.m = m, .weights = &dense.matrix, .lda = k, .ldc = n};
        bench.gemm[0].a = guarded_floats(h, m * k, ORDINARY);
        bench.gemm[0].c = guarded(h, m * n * sizeof(float), 64);
        bench.gemm[1] = bench.gemm[0];
        bench.gemm[1].weights = &clustered.matrix;
        time_calls(2, call_gemm, (void *[]){&bench.gemm[0], &bench.gemm[1]}, 1, seconds);
        const double gmacs = (double)(m * n * k) * 1e-9;
        printf("  %4zu x %4zu x %4zu: dense F32 %.1f GMAC/s; 6 bits %.1f GMAC/s", m, n, k, gmacs / seconds[0],
               gmacs / seconds[1]);
        if (h->peak_bf16_gmacs > 0)
            printf(" (%.0f %%)", 100 * gmacs / seconds[1] / h->peak_bf16_gmacs);
        printf(", %.3f of dense's time\n", seconds[1] / seconds[0]);
        lutra_thread_pool_free(bench.pool);
        end_case(h);
    }
}
