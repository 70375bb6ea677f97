/* SPDX-License-Identifier: Apache-2.0 */
/* Products of a few rows straight from the indices, and how near they come to what memory delivers. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/size.h"
#include "kernels/gemm/gemm_bf16.h"
#include "operands.h"

#define PANEL ((size_t)LUTRA_PANEL)
#define MIB ((size_t)1 << 20)

static size_t padded(size_t k)
{
    return lutra_round_up(k, 64);
}

/* Weights of a case; indices are any bytes. */
typedef struct few_weights {
    lutra_index_layout layout;
    size_t n_blocks;
    const uint8_t *blocks;
    int8_t codebook[256];
} few_weights;

static few_weights make_weights(harness *h, unsigned bits, size_t k, size_t n_blocks)
{
    few_weights w = {.n_blocks = n_blocks};
    int8_t entries[256];
    if (!lutra_index_layout_of(n_blocks * PANEL, k, bits, &w.layout))
        fail_case(h, "no layout");
    w.blocks = guarded(h, w.layout.bytes, 64);
    fill_codebook_i8(h, bits, entries);
    for (size_t i = 0; i < 256; i++)
        w.codebook[i] = entries[i & ((1u << bits) - 1)];
    return w;
}

/* Weight of input `k` for output `j`. */
static int weight_at(const few_weights *w, size_t j, size_t k)
{
    uint8_t tile[LUTRA_TILE_LANES];
    lutra_unpack_tile(&w->layout, w->blocks + j / PANEL * w->layout.block_bytes, k / LUTRA_TILE_INPUTS, tile);
    return w->codebook[tile[lutra_tile_byte_i8(k % LUTRA_TILE_INPUTS, j % PANEL)]];
}

static void check_f32(harness *h, unsigned bits, size_t k, size_t n_blocks, size_t m, numbers kind)
{
    const size_t lda = k + random_below(h, 4), n = n_blocks * PANEL, ldc = n + random_below(h, 4);
    begin_case(h, "%u bits, k %zu, %zu blocks, m %zu, %s numbers", bits, k, n_blocks, m,
               name_of_numbers(kind));
    const few_weights w = make_weights(h, bits, k, n_blocks);
    const float *a = guarded_floats(h, (m - 1) * lda + k, kind);
    float *c = guarded_floats(h, (m - 1) * ldc + n, ORDINARY);
    h->kernels->multiply_few_rows_f32(&w.layout, n_blocks, w.blocks, w.codebook, m, a, lda, c, ldc);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0, magnitude = 0;
            for (size_t l = 0; l < k; l++) {
                const double product = (double)a[i * lda + l] * weight_at(&w, j, l);
                sum += product;
                magnitude += fabs(product);
            }
            /* Any order of k products and sums, each rounded: Higham, Accuracy and Stability, (3.5). */
            check_near(h, (double)c[i * ldc + j], sum,
                       (double)(k + 1) * 0x1p-24 * 1.001 * magnitude + (double)k * 0x1p-149, i, j);
        }
    end_case(h);
}

static const size_t few_ks[] = {1, 3, 4, 17, 64, 100, 192, 333};

void test_multiply_few_rows_f32(harness *h)
{
    for (unsigned bits = 1; bits <= 8; bits++)
        for (size_t i = 0; i < sizeof few_ks / sizeof *few_ks; i++)
            for (size_t m = 1; m <= LUTRA_FEW_ROWS; m++)
                check_f32(h, bits, few_ks[i], 1 + random_below(h, LUTRA_FEW_ROWS_BLOCKS), m,
                          (numbers)((bits + i + m) % N_NUMBERS));
}

static void check_i8(harness *h, unsigned bits, size_t k, size_t n_blocks, size_t m)
{
    const size_t lda = padded(k) + 64 * random_below(h, 2), n = n_blocks * PANEL,
                 ldc = n + random_below(h, 4);
    lutra_row_i8 rows[LUTRA_FEW_ROWS];
    begin_case(h, "%u bits, k %zu, %zu blocks, m %zu", bits, k, n_blocks, m);
    const few_weights w = make_weights(h, bits, k, n_blocks);
    uint8_t *a = guarded(h, (m - 1) * lda + padded(k), 64);
    float *c = guarded_floats(h, (m - 1) * ldc + n, ORDINARY);
    for (size_t i = 0; i < m; i++) {
        rows[i] = (lutra_row_i8){.scale = random_float(h, 0.0f, 0.1f), .zero = (int32_t)random_below(h, 256)};
        for (size_t l = 0; l < padded(k); l++) /* often the largest, where sums of pairs could saturate */
            a[i * lda + l] = l >= k ? 0 : random_below(h, 3) ? a[i * lda + l] : 255;
    }
    h->kernels->multiply_few_rows_i8(&w.layout, n_blocks, w.blocks, w.codebook, m, a, lda, rows, c, ldc);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            int64_t sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += (int64_t)(a[i * lda + l] - rows[i].zero) * weight_at(&w, j, l);
            const float want = (float)sum * rows[i].scale;
            if (c[i * ldc + j] != want)
                fail_case(h, "[%zu][%zu] is %.9g, should be exactly %.9g", i, j, (double)c[i * ldc + j],
                          (double)want);
        }
    end_case(h);
}

void test_multiply_few_rows_i8(harness *h)
{
    for (unsigned bits = 1; bits <= 8; bits++)
        for (size_t i = 0; i < sizeof few_ks / sizeof *few_ks; i++)
            for (size_t m = 1; m <= LUTRA_FEW_ROWS; m++)
                check_i8(h, bits, few_ks[i], 1 + random_below(h, LUTRA_FEW_ROWS_BLOCKS), m);
    for (size_t bits = 6; bits <= 8; bits++)
        check_i8(h, (unsigned)bits, 6000, 1, 2);
}

/* ---- whole products ---------------------------------------------------------------------------- */

static void run_product(harness *h, lutra_mode mode, const lutra_gemm *gemm)
{
    const size_t k = gemm->weights->k;
    lutra_thread_pool *pool = start_pool(1);
    lutra_matrix_i8 weights;
    size_t bytes = lutra_gemm_f32_scratch(k, 1);
    if ((mode == LUTRA_MODE_BF16 && !lutra_gemm_bf16_scratch(gemm->m, k, 1, &bytes)) ||
        (mode == LUTRA_MODE_INT8 && !lutra_gemm_i8_scratch(gemm->m, k, 1, &bytes)) ||
        (mode == LUTRA_MODE_INT8 &&
         lutra_matrix_i8_create(h->kernels, pool, gemm->weights, &weights, NULL) != LUTRA_OK))
        exit(2);
    void *scratch = guarded(h, bytes, 64);
    if (mode == LUTRA_MODE_F32) {
        lutra_gemm_f32(h->kernels, pool, gemm, scratch);
    } else if (mode == LUTRA_MODE_BF16) {
        lutra_gemm_bf16(h->kernels, pool, gemm, scratch);
    } else {
        lutra_gemm_i8(h->kernels, pool, gemm, &weights, scratch);
        lutra_matrix_i8_free(&weights);
    }
    lutra_thread_pool_free(pool);
}

/* A few rows of many get the bits that they get among all, though one row's activations are `size` times the
 * others'. */
static void check_among_many(harness *h, lutra_mode mode, unsigned bits, lutra_activation activation,
                             float size)
{
    enum { M = 7, N = 40, K = 100, LARGE_ROW = 3 };
    random_matrix w;
    begin_case(h, "mode %d, %u bits, activation %d, a row of up to %g", (int)mode, bits, (int)activation,
               2 * (double)size);
    make_matrix(h, N, K, (matrix_kind){.bits = bits, .i8 = true, .scale_per_row = true}, &w);
    float *a = guarded_floats(h, (size_t)M * K, ORDINARY);
    float *all = guarded_floats(h, (size_t)M * N, ORDINARY),
          *few = guarded_floats(h, (size_t)M * N, ORDINARY);
    for (size_t i = 0; i < K; i++)
        a[LARGE_ROW * K + i] *= size;
    lutra_gemm gemm = {.m = M, .weights = &w.matrix, .a = a, .lda = K, .c = all, .ldc = N};
    gemm.activation = activation;
    run_product(h, mode, &gemm);
    for (size_t first = 0; first < M; first += gemm.m) {
        gemm.m = lutra_smaller(1 + random_below(h, LUTRA_FEW_ROWS), M - first);
        gemm.a = a + first * K;
        gemm.c = few + first * N;
        run_product(h, mode, &gemm);
    }
    for (size_t i = 0; i < (size_t)M * N; i++)
        check_near(h, (double)few[i], (double)all[i], 0, i / N, i % N);
    end_case(h);
}

void test_few_rows(harness *h)
{
    static const lutra_mode modes[] = {LUTRA_MODE_F32, LUTRA_MODE_BF16, LUTRA_MODE_INT8};
    static const float sizes[] = {1.0f, 0x1p64f, 0x1p80f, 0x1p100f, 1e33f};
    for (size_t i = 0; i < 3; i++)
        for (unsigned bits = 4; bits <= 6; bits += 2)
            for (int activation = LUTRA_IDENTITY; activation <= LUTRA_GELU_TANH; activation++)
                for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
                    check_among_many(h, modes[i], bits, (lutra_activation)activation, sizes[j]);
}

void bench_few_rows(harness *h)
{
    (void)h; /* multiply_few_rows_f32 and _i8 are timed */
}

/* ---- benchmarks -------------------------------------------------------------------------------- */

#define BENCH_K ((size_t)768)

static struct few_bench {
    const harness *h;
    lutra_index_layout layout;
    const uint8_t *memory; /* [bytes] */
    size_t bytes, m;
    int8_t codebook[256];
    float *a, *c;
    uint8_t *a_i8;
    lutra_row_i8 rows[LUTRA_FEW_ROWS];
    bool i8;
    volatile uint64_t sink;
} bench;

/* All of `memory` once, LUTRA_FEW_ROWS_BLOCKS blocks a call. */
static void call_multiply(void *argument)
{
    const size_t step = LUTRA_FEW_ROWS_BLOCKS * bench.layout.block_bytes, ldc = LUTRA_FEW_ROWS_BLOCKS * PANEL;
    (void)argument;
    for (size_t at = 0; at + step <= bench.bytes; at += step)
        if (bench.i8)
            bench.h->kernels->multiply_few_rows_i8(&bench.layout, LUTRA_FEW_ROWS_BLOCKS, bench.memory + at,
                                                   bench.codebook, bench.m, bench.a_i8, BENCH_K, bench.rows,
                                                   bench.c, ldc);
        else
            bench.h->kernels->multiply_few_rows_f32(&bench.layout, LUTRA_FEW_ROWS_BLOCKS, bench.memory + at,
                                                    bench.codebook, bench.m, bench.a, BENCH_K, bench.c, ldc);
}

static void call_read(void *argument)
{
    const uint64_t *memory = (const uint64_t *)(const void *)bench.memory;
    uint64_t sum = 0;
    (void)argument;
    for (size_t i = 0; i < bench.bytes / sizeof *memory; i += 8) {
        __builtin_prefetch(memory + i + 512); /* a page ahead, as the kernels do */
        for (size_t j = 0; j < 8; j++)
            sum += memory[i + j];
    }
    bench.sink = sum;
}

static double gigabytes_per_second(void (*call)(void *))
{
    return (double)bench.bytes / time_call(call, NULL, 1) * 1e-9;
}

/* Twice the largest cache. */
static size_t large_bytes(void)
{
#if defined(_SC_LEVEL3_CACHE_SIZE)
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
#else
    const long cache = 0;
#endif
    return cache > 0 ? 2 * (size_t)cache : 64 * MIB;
}

/* Indices are any bytes, so one piece of memory serves all widths. */
static void bench_widths(const uint8_t *memory, size_t size)
{
    static const unsigned widths[] = {4, 6};
    bench.memory = memory;
    bench.bytes = size;
    const double dram = gigabytes_per_second(call_read);
    printf("  memory delivers %.1f GB/s\n", dram);
    for (size_t i = 0; i < 2 * sizeof widths / sizeof *widths; i++) {
        const unsigned bits = widths[i / 2];
        bench.m = i % 2 ? LUTRA_FEW_ROWS : 1;
        if (!lutra_index_layout_of(LUTRA_FEW_ROWS_BLOCKS * PANEL, BENCH_K, bits, &bench.layout))
            return;
        bench.bytes = LUTRA_FEW_ROWS_BLOCKS * bench.layout.block_bytes;
        const double near = gigabytes_per_second(call_multiply);
        bench.bytes = size;
        const double far = gigabytes_per_second(call_multiply), limit = dram < near ? dram : near;
        printf("  %u bits, %zu row%s: %.1f GB/s from the nearest caches, %.1f from memory: %.0f %% of the "
               "lower limit; "
               "%.1f G weights/s\n",
               bits, bench.m, bench.m == 1 ? "" : "s", near, far, 100 * far / limit, far * 8 / bits);
    }
}

static void bench_multiply(harness *h, bool i8)
{
    const size_t size = large_bytes();
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    begin_case(h, "benchmark");
    for (size_t i = 0; i < size; i++)
        memory[i] = (uint8_t)(i * 151 >> 3);
    bench = (struct few_bench){.h = h, .i8 = i8};
    bench.a = guarded_floats(h, LUTRA_FEW_ROWS * BENCH_K, ORDINARY);
    bench.a_i8 = guarded(h, LUTRA_FEW_ROWS * BENCH_K, 64);
    bench.c = guarded_floats(h, LUTRA_FEW_ROWS * LUTRA_FEW_ROWS_BLOCKS * PANEL, ORDINARY);
    fill_codebook_i8(h, 8, bench.codebook);
    for (size_t i = 0; i < LUTRA_FEW_ROWS; i++)
        bench.rows[i] = (lutra_row_i8){.scale = 0.01f, .zero = 128};
    bench_widths(memory, size);
    end_case(h);
    munmap(memory, size);
}

void bench_multiply_few_rows_f32(harness *h)
{
    bench_multiply(h, false);
}

void bench_multiply_few_rows_i8(harness *h)
{
    bench_multiply(h, true);
}
