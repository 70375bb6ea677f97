/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "operands.h"

#define PANEL ((size_t)LUTRA_PANEL)

static void compare_panels(harness *h, size_t k, const float *got, const float *want)
{
    for (size_t i = 0; i < k * PANEL; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0) {
            fail_case(h, "input %zu, output %zu is %.9g, should be %.9g", i / PANEL, i % PANEL,
                      (double)got[i], (double)want[i]);
            return;
        }
}

void test_unpack_panel_f32(harness *h)
{
    static const size_t ks[] = {1, 3, 4, 96, 100, 192, 333};
    for (unsigned bits = 1; bits <= 8; bits++)
        for (size_t i = 0; i < 2 * sizeof ks / sizeof *ks; i++) {
            const size_t k = ks[i / 2];
            const bool i8 = i % 2;
            float codebook[256];
            lutra_index_layout layout;
            begin_case(h, "%u bits, k %zu, %s codebook", bits, k, i8 ? "I8" : "F32");
            if (!lutra_index_layout_of(16, k, bits, &layout))
                fail_case(h, "no layout");
            const uint8_t *block = guarded(h, layout.block_bytes, 64);
            float *got = guarded(h, layout.k_padded * PANEL * sizeof(float), 64);
            float *want = guarded(h, layout.k_padded * PANEL * sizeof(float), 64);
            fill_codebook(h, bits, i8, codebook);
            h->reference->unpack_panel_f32(&layout, block, codebook, i8, want);
            h->kernels->unpack_panel_f32(&layout, block, codebook, i8, got);
            compare_panels(h, layout.k_padded, got, want);
            end_case(h);
        }
}

void test_pack_panel_f32(harness *h)
{
    static const lutra_dtype dtypes[] = {LUTRA_F64, LUTRA_F32, LUTRA_F16, LUTRA_BF16};
    static const size_t ks[] = {1, 2, 15, 16, 17, 64, 97};
    for (size_t n_rows = 1; n_rows <= PANEL; n_rows++)
        for (size_t i = 0; i < 28; i++) {
            const size_t k = ks[i / 4], ld = k + random_below(h, 5);
            const matrix_kind kind = {.dtype = dtypes[i % 4]};
            random_matrix w;
            char text[64];
            begin_case(h, "%zu rows, k %zu, %s", n_rows, k, name_of_matrix(&kind, text, sizeof text));
            make_matrix(h, 1, (n_rows - 1) * ld + k, kind, &w);
            float *got = guarded(h, k * PANEL * sizeof(float), 64);
            float *want = guarded(h, k * PANEL * sizeof(float), 64);
            h->reference->pack_panel_f32(w.matrix.dense, kind.dtype, ld, n_rows, k, want);
            h->kernels->pack_panel_f32(w.matrix.dense, kind.dtype, ld, n_rows, k, got);
            compare_panels(h, k, got, want);
            end_case(h);
        }
}

static void check_multiply(harness *h, size_t m, size_t k, size_t n_panels, numbers kind)
{
    const size_t lda = k + random_below(h, 4), ldc = n_panels * PANEL + random_below(h, 4);
    const size_t stride = (k + random_below(h, 3)) * PANEL;
    begin_case(h, "m %zu, k %zu, %zu panels, %s numbers", m, k, n_panels, name_of_numbers(kind));
    const float *a = guarded_floats(h, (m - 1) * lda + k, kind);
    float *panels = guarded(h, ((n_panels - 1) * stride + k * PANEL) * sizeof(float), 64);
    for (size_t i = 0; i < (n_panels - 1) * stride + k * PANEL; i++)
        panels[i] = kind == LARGE ? random_float(h, -1e15f, 1e15f) : (float)((int)random_below(h, 255) - 127);
    float *c = guarded_floats(h, (m - 1) * ldc + n_panels * PANEL, ORDINARY);
    h->kernels->multiply_f32(m, k, a, lda, n_panels, panels, stride, c, ldc);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n_panels * PANEL; j++) {
            double sum = 0, magnitude = 0;
            for (size_t l = 0; l < k; l++) {
                const double product =
                    (double)a[i * lda + l] * (double)panels[j / PANEL * stride + l * PANEL + j % PANEL];
                sum += product;
                magnitude += fabs(product);
            }
            /* Any order of k products and sums, each rounded: Higham, Accuracy and Stability, (3.5). */
            check_near(h, (double)c[i * ldc + j], sum,
                       (double)(k + 1) * 0x1p-24 * 1.001 * magnitude + (double)k * 0x1p-149, i, j);
        }
    end_case(h);
}

void test_multiply_f32(harness *h)
{
    static const size_t ks[] = {1, 2, 3, 7, 64, 197};
    for (size_t m = 1; m <= h->kernels->tile_rows; m++)
        for (size_t n_panels = 1; n_panels <= h->kernels->tile_panels; n_panels++)
            for (size_t i = 0; i < 24; i++)
                check_multiply(h, m, ks[i / 4], n_panels, (numbers)(i % N_NUMBERS));
}

/* What each activation may be off by, beside roundings in proportion to x. erf: 4.8e-8 as fitted and computed
 * (fit_polynomials.py). tanh: x s (1 - s), s the sigmoid, times the relative error of its exponential, which
 * is 1.6e-7 and three roundings of the exponent: at most 8e-8, near x = 1.5. */
static double error_of_activation(lutra_activation activation)
{
    return activation == LUTRA_GELU_ERF ? 6e-8 : activation == LUTRA_GELU_TANH ? 1e-7 : 0;
}

static void check_finish(harness *h, size_t m, size_t n, lutra_activation activation, bool with_residual,
                         bool in_place, numbers kind)
{
    const size_t width = LUTRA_MAX_TILE_COLUMNS, ldt = width + random_below(h, 3);
    const size_t ldc = n + random_below(h, 4), ldr = in_place ? ldc : n + random_below(h, 4);
    lutra_columns columns = {.activation = activation};
    begin_case(h, "m %zu, n %zu, activation %d, %sresidual%s, %s numbers", m, n, (int)activation,
               with_residual ? "" : "no ", in_place ? " in place" : "", name_of_numbers(kind));
    const float *tile = guarded_floats(h, (m - 1) * ldt + width, kind);
    float *c = guarded_floats(h, (m - 1) * ldc + n, ORDINARY), *want = guarded_floats(h, m * n, ORDINARY);
    const float *residual = in_place        ? c
                            : with_residual ? guarded_floats(h, (m - 1) * ldr + n, ORDINARY)
                                            : NULL;
    for (size_t j = 0; j < n; j++) {
        columns.scale[j] = random_float(h, 0.0f, 2.0f);
        columns.bias[j] = random_float(h, -2.0f, 2.0f);
        columns.layer_scale[j] = random_float(h, -2.0f, 2.0f);
    }
    h->reference->finish_f32(&columns, m, n, tile, ldt, want, n, residual, ldr);
    h->kernels->finish_f32(&columns, m, n, tile, ldt, c, ldc, residual, ldr);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            const double x = (double)tile[i * ldt + j] * (double)columns.scale[j] + (double)columns.bias[j];
            const double result = (double)want[i * n + j];
            /* x is rounded once, GELU's slope is at most 1.13; two roundings of y, then one each of the
             * result. */
            const double of_y = error_of_activation(activation) + 4 * 0x1p-24 * fabs(x);
            check_near(h, (double)c[i * ldc + j], result,
                       of_y * fabs((double)columns.layer_scale[j]) + 2 * 0x1p-24 * fabs(result) + 0x1p-147, i,
                       j);
        }
    end_case(h);
}

/* The activation alone, on a fine grid: its own error and the last rounding, in the reference and in the
 * kernel. */
static void sweep_activation(harness *h, lutra_activation activation)
{
    const size_t n = h->kernels->tile_panels * PANEL;
    lutra_columns columns = {.activation = activation};
    begin_case(h, "activation %d on a grid", (int)activation);
    float *x = guarded_floats(h, n, ORDINARY), *got = guarded_floats(h, n, ORDINARY);
    float *want = guarded_floats(h, n, ORDINARY);
    for (size_t j = 0; j < n; j++)
        columns.scale[j] = columns.layer_scale[j] = 1.0f;
    for (float begin = -10.0f; begin < 10.0f; begin += 0.01f) {
        for (size_t j = 0; j < n; j++)
            x[j] = begin + random_float(h, 0.0f, 0.01f);
        h->reference->finish_f32(&columns, 1, n, x, n, want, n, NULL, 0);
        h->kernels->finish_f32(&columns, 1, n, x, n, got, n, NULL, 0);
        for (size_t j = 0; j < n; j++)
            check_near(h, (double)got[j], (double)want[j],
                       error_of_activation(activation) + 2 * 0x1p-24 * fabs((double)want[j]), 0, j);
    }
    end_case(h);
}

void test_finish_f32(harness *h)
{
    sweep_activation(h, LUTRA_GELU_ERF);
    sweep_activation(h, LUTRA_GELU_TANH);
    for (size_t n = 1; n <= LUTRA_MAX_TILE_COLUMNS; n++)
        for (int activation = LUTRA_IDENTITY; activation <= LUTRA_GELU_TANH; activation++)
            for (size_t i = 0; i < 12; i++)
                check_finish(h, 1 + random_below(h, h->kernels->tile_rows), n, (lutra_activation)activation,
                             i % 3 > 0, i % 3 > 1, (numbers)(i / 3));
}

/* ---- benchmarks ---- */

#define BENCH_K 768

static struct panel_bench {
    const harness *h;
    lutra_index_layout layout;
    const uint8_t *block;
    const void *rows;
    const float *a;
    float *panel, *c;
    const lutra_columns *columns;
    float codebook[256];
    bool i8;
} bench;

static void call_unpack(void *argument)
{
    (void)argument;
    bench.h->kernels->unpack_panel_f32(&bench.layout, bench.block, bench.codebook, bench.i8, bench.panel);
}

void bench_unpack_panel_f32(harness *h)
{
    for (unsigned bits = 1; bits <= 8; bits++) {
        bench = (struct panel_bench){.h = h};
        begin_case(h, "benchmark");
        if (!lutra_index_layout_of(16, BENCH_K, bits, &bench.layout))
            return;
        bench.block = guarded(h, bench.layout.block_bytes, 64);
        bench.panel = guarded(h, BENCH_K * PANEL * sizeof(float), 64);
        double seconds[2];
        for (int i8 = 0; i8 < 2; i8++) {
            fill_codebook(h, bits, i8 != 0, bench.codebook);
            bench.i8 = i8 != 0;
            seconds[i8] = time_call(call_unpack, NULL, 1);
        }
        const double weights = BENCH_K * (double)PANEL;
        printf("  %u bits: F32 codebook %.1f, I8 %.1f G weights/s", bits, weights / seconds[0] * 1e-9,
               weights / seconds[1] * 1e-9);
        if (h->peak_gmacs > 0)
            printf(" (the time of %.1f and %.1f rows of multiply-adds at the peak)",
                   seconds[0] * h->peak_gmacs * 1e9 / weights, seconds[1] * h->peak_gmacs * 1e9 / weights);
        printf("\n");
        end_case(h);
    }
}

static void call_pack(void *argument)
{
    const lutra_dtype *dtype = argument;
    bench.h->kernels->pack_panel_f32(bench.rows, *dtype, BENCH_K, PANEL, BENCH_K, bench.panel);
}

void bench_pack_panel_f32(harness *h)
{
    static const lutra_dtype dtypes[] = {LUTRA_F64, LUTRA_F32, LUTRA_F16, LUTRA_BF16};
    for (size_t i = 0; i < 4; i++) {
        random_matrix w;
        char text[64];
        matrix_kind kind = {.dtype = dtypes[i]};
        begin_case(h, "benchmark");
        make_matrix(h, PANEL, BENCH_K, kind, &w);
        bench = (struct panel_bench){.h = h, .rows = w.matrix.dense};
        bench.panel = guarded(h, BENCH_K * PANEL * sizeof(float), 64);
        const double seconds = time_call(call_pack, &kind.dtype, 1), weights = BENCH_K * (double)PANEL;
        printf("  %s: %.1f G weights/s", name_of_matrix(&kind, text, sizeof text), weights / seconds * 1e-9);
        if (h->peak_gmacs > 0)
            printf(" (the time of %.1f rows of multiply-adds at the peak)",
                   seconds * h->peak_gmacs * 1e9 / weights);
        printf("\n");
        end_case(h);
    }
}

static void call_multiply(void *argument)
{
    const lutra_kernels *kernels = bench.h->kernels;
    const size_t *k = argument;
    kernels->multiply_f32(kernels->tile_rows, *k, bench.a, *k, kernels->tile_panels, bench.panel, *k * PANEL,
                          bench.c, kernels->tile_panels * PANEL);
}

void bench_multiply_f32(harness *h)
{
    static const size_t ks[] = {64, 192, 768, 3072};
    for (size_t i = 0; i < 4; i++) {
        size_t k = ks[i];
        const size_t m = h->kernels->tile_rows, n = h->kernels->tile_panels * PANEL;
        begin_case(h, "benchmark");
        bench = (struct panel_bench){.h = h, .a = guarded_floats(h, m * k, ORDINARY)};
        bench.panel = guarded(h, k * n * sizeof(float), 64);
        bench.c = guarded(h, m * n * sizeof(float), 64);
        for (size_t j = 0; j < k * n; j++)
            bench.panel[j] = random_float(h, -1.0f, 1.0f);
        const double gmacs = (double)(m * n * k) / time_call(call_multiply, &k, 1) * 1e-9;
        printf("  %zu x %zu, k %zu: %.1f GMAC/s", m, n, k, gmacs);
        if (h->peak_gmacs > 0)
            printf(", %.0f %% of the peak", 100.0 * gmacs / h->peak_gmacs);
        printf("\n");
        end_case(h);
    }
}

static void call_finish(void *argument)
{
    const lutra_kernels *kernels = bench.h->kernels;
    const size_t n = kernels->tile_panels * PANEL;
    (void)argument;
    kernels->finish_f32(bench.columns, kernels->tile_rows, n, bench.a, n, bench.c, n, NULL, 0);
}

void bench_finish_f32(harness *h)
{
    static const char *const names[] = {"identity", "GELU (erf)", "GELU (tanh)"};
    const size_t n = h->kernels->tile_panels * PANEL * h->kernels->tile_rows;
    for (int activation = LUTRA_IDENTITY; activation <= LUTRA_GELU_TANH; activation++) {
        lutra_columns columns = {.activation = (lutra_activation)activation};
        begin_case(h, "benchmark");
        bench = (struct panel_bench){.h = h, .a = guarded_floats(h, n, ORDINARY), .columns = &columns};
        bench.c = guarded_floats(h, n, ORDINARY);
        for (size_t j = 0; j < LUTRA_MAX_TILE_COLUMNS; j++)
            columns.scale[j] = columns.layer_scale[j] = 1.0f;
        printf("  %s: %.2f G numbers/s\n", names[activation],
               (double)n / time_call(call_finish, NULL, 1) * 1e-9);
        end_case(h);
    }
}
