/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "kernels/gemm/bf16.h"

#define ROUNDING_BF16                                                                                        \
    (0x1p-8 * 1.01) /* half a unit in the last place, of a number that may be off by a bit */
#define COARSE_EXP 8e-5

/* Number i of pairs in bf16. */
static double of_pairs(const void *pairs, size_t i)
{
    uint32_t pair;
    memcpy(&pair, (const char *)pairs + i / 2 * sizeof pair, sizeof pair);
    return (double)lutra_float_of_bits(i % 2 ? pair << 16 : pair & 0xffff0000u);
}

/* Probability i of a row that softmax leaves. */
static double probability(const float *scores, size_t i, bool bf16)
{
    return bf16 ? of_pairs(scores, i) : (double)scores[i];
}

/* One row of `m` that are made and checked alike. */
struct softmax_row {
    lutra_softmax old, running;
    const float *before; /* [n] */
};

static void compare_softmax(harness *h, size_t n, float scale, const struct softmax_row *row,
                            const float *scores, size_t index, bool bf16)
{
    double max = (double)row->old.max, sum = 0, sum_bound = 0;
    for (size_t i = 0; i < n; i++)
        max = fmax(max, (double)row->before[i]);
    check_near(h, (double)row->running.max, max, 0, index, n);
    for (size_t i = 0; i <= n; i++) {
        const double x = ((i < n ? (double)row->before[i] : (double)row->old.max) - max) * (double)scale;
        const double want = exp(x);
        /* A difference and two products, each rounded, and exp's own error (docs/kernels.md). */
        const double bound = (4 * 0x1p-24 * fabs(x) + (bf16 && i < n ? COARSE_EXP : 4e-7)) * want;
        sum += want * (i < n ? 1 : (double)row->old.sum);
        sum_bound += bound * (i < n ? 1 : (double)row->old.sum);
        if (i == n)
            check_near(h, (double)row->running.correction, want, bound + 1e-37, index, n);
        else
            check_near(h, probability(scores, i, bf16), want,
                       bound + (bf16 ? ROUNDING_BF16 * want : 0) + 1e-37, index, i);
    }
    if (bf16 && n % 2)
        check_near(h, of_pairs(scores, n), 0, 0, index, n);
    check_near(h, (double)row->running.sum, sum, sum_bound + ((double)n + 2) * 0x1p-24 * sum, index, n);
}

static void check_softmax(harness *h, size_t m, size_t n, float low, float high, bool carried_on, bool bf16)
{
    const size_t room = bf16 ? 2 * LUTRA_PANEL : LUTRA_PANEL, whole = (n + room - 1) / room * room;
    const size_t ld = whole + random_below(h, 3) * LUTRA_PANEL;
    struct softmax_row rows[LUTRA_MAX_TILE_ROWS];
    lutra_softmax running[LUTRA_MAX_TILE_ROWS];
    const float scale = 0.11f;
    begin_case(h, "%zu rows of %zu scores from %g to %g%s", m, n, (double)low, (double)high,
               carried_on ? ", carried on" : "");
    float *scores = guarded(h, ((m - 1) * ld + whole) * sizeof(float), 64);
    float *before = guarded_floats(h, m * n, ORDINARY);
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++)
            before[i * n + j] = scores[i * ld + j] = random_float(h, low, high);
        running[i] = (lutra_softmax){.max = -FLT_MAX};
        if (carried_on)
            running[i] =
                (lutra_softmax){.max = random_float(h, low, high), .sum = random_float(h, 1.0f, 9.0f)};
        rows[i] = (struct softmax_row){.old = running[i], .before = before + i * n};
    }
    if (bf16)
        h->kernels->softmax_bf16(m, n, scale, scores, ld, running);
    else
        h->kernels->softmax_f32(m, n, scale, scores, ld, running);
    for (size_t i = 0; i < m; i++) {
        rows[i].running = running[i];
        compare_softmax(h, n, scale, &rows[i], scores + i * ld, i, bf16);
    }
    end_case(h);
}

static void run_softmax(const lutra_kernels *kernels, size_t n, float scale, float *scores, bool bf16,
                        lutra_softmax *running)
{
    *running = (lutra_softmax){.max = -FLT_MAX};
    if (bf16)
        kernels->softmax_bf16(1, n, scale, scores, n, running);
    else
        kernels->softmax_f32(1, n, scale, scores, n, running);
}

/* One score that is not finite, at each place of a row, and then all of them: where the reference's sum is no
 * number, so that nothing of the row is, no other may be; nor where it is 0. */
static void check_not_finite(harness *h, size_t n, float special, bool bf16)
{
    const size_t room = (n + 2 * LUTRA_PANEL - 1) / (2 * LUTRA_PANEL) * 2 * LUTRA_PANEL;
    begin_case(h, "%zu scores, one of them %g", n, (double)special);
    float *scores = guarded(h, room * sizeof *scores, 64), *want = guarded(h, room * sizeof *want, 64);
    for (size_t at = 0; at <= n; at++) {
        lutra_softmax got_row, want_row;
        for (size_t i = 0; i < n; i++)
            scores[i] = want[i] = i == at || at == n ? special : random_float(h, -50.0f, 50.0f);
        run_softmax(h->kernels, n, 0.125f, scores, bf16, &got_row);
        run_softmax(h->reference, n, 0.125f, want, bf16, &want_row);
        const size_t i = at < n ? at : 0;
        const double e = probability(scores, i, bf16), want_e = probability(want, i, bf16);
        if (isnan(got_row.sum) != isnan(want_row.sum) || (got_row.sum == 0) != (want_row.sum == 0) ||
            isnan(e) != isnan(want_e))
            fail_case(h, "at %zu: became %g, sum %g; should be %g, %g", at, e, (double)got_row.sum, want_e,
                      (double)want_row.sum);
        for (size_t j = 0; j < (isnan(want_row.sum) ? 0 : n); j++)
            check_near(h, probability(scores, j, bf16), probability(want, j, bf16),
                       bf16 ? 2 * (ROUNDING_BF16 + COARSE_EXP) : 2e-6, at, j);
    }
    end_case(h);
}

static void check_all_softmax(harness *h, bool bf16)
{
    /* The last ones are as large as scores get before they overflow, or far from zero, where a maximum that
     * began there or was subtracted after a rounding would tell. */
    static const float ranges[][2] = {
        {0, 0},          {-1, 1},         {-50, 50},           {-3000, 3000},       {-1e7f, 1e7f},
        {-1e10f, 1e10f}, {-1e15f, 1e15f}, {-1.5e38f, 1.5e38f}, {1e8f, 1.000001e8f}, {-3000, -2900}};
    static const float specials[] = {NAN, INFINITY, -INFINITY};
    const size_t n_ranges = sizeof ranges / sizeof *ranges;
    for (size_t n = 1; n <= 140; n++)
        for (size_t i = 0; i < 3; i++)
            check_not_finite(h, n, specials[i], bf16);
    for (size_t n = 1; n < 140; n++)
        for (size_t i = 0; i < 2 * n_ranges; i++)
            check_softmax(h, 1 + (n + i) % 5, n, ranges[i / 2][0], ranges[i / 2][1], i % 2, bf16);
    for (size_t m = 1; m <= LUTRA_MAX_TILE_ROWS; m++)
        check_softmax(h, m, 197, -50, 50, false, bf16);
    check_softmax(h, LUTRA_MAX_TILE_ROWS, 256, -50, 50, true, bf16);
}

void test_softmax_f32(harness *h)
{
    check_all_softmax(h, false);
}

void test_softmax_bf16(harness *h)
{
    check_all_softmax(h, true);
}

static uint32_t pair_of(const float *first, const float *second)
{
    return lutra_pair_bf16(first ? *first : 0, second ? *second : 0);
}

static void compare_panel(harness *h, size_t n, const uint32_t *got, const uint32_t *want)
{
    for (size_t i = 0; i < n; i++)
        if (got[i] != want[i])
            fail_case(h, "word %zu is %08x, should be %08x", i, got[i], want[i]);
}

static void check_pack_bf16(harness *h, size_t n_rows, size_t k, bool columns)
{
    const size_t ld = k + random_below(h, 5), pairs = ((columns ? n_rows : k) + 1) / 2;
    uint32_t want[256 * LUTRA_PANEL];
    begin_case(h, "%zu rows of %zu, %zu apart", n_rows, k, ld);
    const float *rows = guarded_floats(h, (n_rows - 1) * ld + k, (numbers)random_below(h, N_NUMBERS));
    uint32_t *got = guarded(h, pairs * LUTRA_PANEL * sizeof *got, 64);
    for (size_t i = 0; i < pairs; i++)
        for (size_t j = 0; j < LUTRA_PANEL; j++) {
            const size_t row = columns ? 2 * i : j, column = columns ? j : 2 * i;
            const size_t next_row = row + columns, next_column = column + !columns;
            want[i * LUTRA_PANEL + j] =
                pair_of(row < n_rows && column < k ? &rows[row * ld + column] : NULL,
                        next_row < n_rows && next_column < k ? &rows[next_row * ld + next_column] : NULL);
        }
    if (columns)
        h->kernels->pack_columns_bf16(rows, ld, n_rows, k, got);
    else
        h->kernels->pack_panel_bf16(rows, ld, n_rows, k, got);
    compare_panel(h, pairs * LUTRA_PANEL, got, want);
    end_case(h);
}

void test_pack_panel_bf16(harness *h)
{
    static const size_t ks[] = {1, 2, 3, 15, 16, 17, 31, 32, 33, 64, 80, 99};
    for (size_t n_rows = 1; n_rows <= LUTRA_PANEL; n_rows++)
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++)
            check_pack_bf16(h, n_rows, ks[i], false);
}

void test_pack_columns_bf16(harness *h)
{
    static const size_t ns[] = {1, 2, 3, 15, 64, 197, 256};
    for (size_t width = 1; width <= LUTRA_PANEL; width++)
        for (size_t i = 0; i < sizeof ns / sizeof *ns; i++)
            check_pack_bf16(h, ns[i], width, true);
}

/* One output of one query, in double precision. */
static double attend(const lutra_attention *a, const float *query, const float *keys, const float *values,
                     size_t j, double *magnitude)
{
    double max = -INFINITY, sum = 0, out = 0, spread = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < a->n_tokens; i++) {
            double score = 0, size = 0;
            for (size_t l = 0; l < a->head_dim; l++) {
                score += (double)query[l] * (double)keys[i * a->ld_qkv + l];
                size += fabs((double)query[l] * (double)keys[i * a->ld_qkv + l]);
            }
            score /= sqrt((double)a->head_dim);
            spread = fmax(spread, size / sqrt((double)a->head_dim));
            if (pass == 0) {
                max = fmax(max, score);
            } else {
                sum += exp(score - max);
                out += exp(score - max) * (double)values[i * a->ld_qkv + j];
            }
        }
    /* How far a probability may be off, relatively: the rounding of the scores, and a few more. */
    *magnitude = 2 * ((double)a->head_dim + 4) * 0x1p-24 * spread + 1e-6 + (double)a->n_tokens * 0x1p-24;
    return out / sum;
}

static void run_attention(const harness *h, lutra_thread_pool *pool, const lutra_attention *a, bool bf16,
                          void *scratch)
{
    if (bf16)
        lutra_attention_bf16(h->kernels, pool, a, scratch);
    else
        lutra_attention_f32(h->kernels, pool, a, scratch);
}

/* `shift` is added to queries and subtracted from keys: all logits are far below zero then. */
static void check_attention_at(harness *h, size_t batch, size_t n_tokens, size_t n_queries, size_t n_heads,
                               size_t head_dim, float shift, bool bf16)
{
    static const size_t threads[] = {1, 2, 5};
    const size_t dim = n_heads * head_dim, ld_qkv = 3 * dim + random_below(h, 4),
                 ld_out = dim + random_below(h, 4);
    const size_t out_floats = ((batch - 1) * n_tokens + n_queries - 1) * ld_out + dim;
    float *first = NULL;
    begin_case(h, "batch %zu, %zu tokens, %zu queries, %zu heads of %zu, shifted by %g", batch, n_tokens,
               n_queries, n_heads, head_dim, (double)shift);
    const size_t qkv_floats = (batch * n_tokens - 1) * ld_qkv + 3 * dim;
    float *qkv = guarded_floats(h, qkv_floats, ORDINARY), *exact = guarded_floats(h, qkv_floats, ORDINARY);
    for (size_t i = 0; i < batch * n_tokens; i++)
        for (size_t j = 0; j < 2 * dim; j++)
            qkv[i * ld_qkv + j] += j < dim ? shift : -shift;
    memcpy(exact, qkv, qkv_floats * sizeof *qkv);
    if (bf16) /* what is left to err is the rounding of probabilities */
        h->reference->round_bf16(qkv_floats, exact, exact);
    for (size_t t = 0; t < 3; t++) {
        lutra_thread_pool *pool = start_pool(threads[t]);
        float *out = guarded_floats(h, out_floats, ORDINARY);
        size_t bytes;
        if (!lutra_attention_scratch(head_dim, threads[t], &bytes))
            fail_case(h, "too much scratch");
        void *scratch = guarded(h, bytes, 64);
        lutra_attention a = {.batch = batch,
                             .n_tokens = n_tokens,
                             .n_queries = n_queries,
                             .n_heads = n_heads,
                             .head_dim = head_dim,
                             .qkv = qkv,
                             .ld_qkv = ld_qkv,
                             .out = out,
                             .ld_out = ld_out};
        if (t > 0)
            memcpy(out, first, out_floats * sizeof *out); /* what lies between the rows must be the same */
        run_attention(h, pool, &a, bf16, scratch);
        if (t == 0)
            first = out;
        else if (memcmp(out, first, out_floats * sizeof *out) != 0)
            fail_case(h, "differs between %zu and %zu threads", threads[0], threads[t]);
        for (size_t sample = 0; sample < (t ? 0 : 100); sample++) {
            const size_t image = random_below(h, batch), token = random_below(h, n_queries);
            const size_t head = random_below(h, n_heads), j = random_below(h, head_dim);
            const float *of_image = exact + image * n_tokens * ld_qkv + head * head_dim;
            double magnitude;
            const double want =
                attend(&a, of_image + token * ld_qkv, of_image + dim, of_image + 2 * dim, j, &magnitude);
            /* 2: the largest value */
            check_near(h, (double)out[(image * n_tokens + token) * ld_out + head * head_dim + j], want,
                       2 * (magnitude + (bf16 ? ROUNDING_BF16 + 2 * COARSE_EXP : 0)), token, j);
        }
        lutra_thread_pool_free(pool);
    }
    end_case(h);
}

static void check_attention(harness *h, size_t batch, size_t n_tokens, size_t n_queries, size_t n_heads,
                            size_t head_dim, bool bf16)
{
    check_attention_at(h, batch, n_tokens, n_queries, n_heads, head_dim, 0, bf16);
}

static void check_all_attention(harness *h, bool bf16)
{
    check_attention(h, 1, 1, 1, 1, 1, bf16);
    check_attention(h, 2, 3, 3, 2, 5, bf16);
    check_attention(h, 1, 197, 197, 3, 64, bf16);
    check_attention(h, 2, 50, 50, 2, 80, bf16);
    check_attention(h, 1, 256, 256, 1, 16, bf16);
    check_attention(h, 1, 257, 257, 1, 24, bf16); /* one key in the second block */
    check_attention(h, 1, 577, 577, 2, 33, bf16);
    check_attention(h, 2, 197, 1, 3, 64, bf16);
    check_attention(h, 3, 300, 20, 2, 16, bf16);
    check_attention_at(h, 1, 300, 20, 2, 64, 5, bf16);
}

void test_attention(harness *h)
{
    check_all_attention(h, false);
}

void test_attention_bf16(harness *h)
{
    check_all_attention(h, true);
}

static struct attention_bench {
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    lutra_attention attention;
    void *scratch;
    float *scores, *rows;
    uint32_t *panel;
} bench;

#define BENCH_ROWS ((size_t)13)
#define BENCH_KEYS ((size_t)192)

static void call_softmax(void *argument)
{
    lutra_softmax running[BENCH_ROWS];
    (void)argument;
    for (size_t i = 0; i < BENCH_ROWS; i++)
        running[i] = (lutra_softmax){.max = -FLT_MAX};
    bench.kernels->softmax_f32(BENCH_ROWS, BENCH_KEYS, 0.125f, bench.scores, BENCH_KEYS, running);
}

static void call_softmax_bf16(void *argument)
{
    lutra_softmax running[BENCH_ROWS];
    (void)argument;
    for (size_t i = 0; i < BENCH_ROWS; i++)
        running[i] = (lutra_softmax){.max = -FLT_MAX};
    bench.kernels->softmax_bf16(BENCH_ROWS, BENCH_KEYS, 0.125f, bench.scores, BENCH_KEYS, running);
}

static void bench_rows_of_softmax(harness *h, void (*call)(void *))
{
    const size_t n = BENCH_ROWS * BENCH_KEYS;
    begin_case(h, "benchmark");
    bench.kernels = h->kernels;
    bench.scores = guarded(h, n * sizeof(float), 64);
    memset(bench.scores, 0, n * sizeof(float));
    printf("  %.2f G numbers/s\n", (double)n / time_call(call, NULL, 1) * 1e-9);
    end_case(h);
}

void bench_softmax_f32(harness *h)
{
    bench_rows_of_softmax(h, call_softmax);
}

void bench_softmax_bf16(harness *h)
{
    bench_rows_of_softmax(h, call_softmax_bf16);
}

static void call_pack_panel(void *argument)
{
    (void)argument;
    bench.kernels->pack_panel_bf16(bench.rows, 576, LUTRA_PANEL, 64, bench.panel);
}

static void call_pack_columns(void *argument)
{
    (void)argument;
    bench.kernels->pack_columns_bf16(bench.rows, 576, 64, LUTRA_PANEL, bench.panel);
}

static void bench_pack(harness *h, void (*call)(void *))
{
    begin_case(h, "benchmark");
    bench.kernels = h->kernels;
    bench.rows = guarded_floats(h, 64 * 576, ORDINARY);
    bench.panel = guarded(h, 32 * LUTRA_PANEL * sizeof *bench.panel, 64);
    printf("  %.2f G numbers/s\n", 64 * LUTRA_PANEL / time_call(call, NULL, 1) * 1e-9);
    end_case(h);
}

void bench_pack_panel_bf16(harness *h)
{
    bench_pack(h, call_pack_panel);
}

void bench_pack_columns_bf16(harness *h)
{
    bench_pack(h, call_pack_columns);
}

static void call_attention(void *argument)
{
    (void)argument;
    lutra_attention_f32(bench.kernels, bench.pool, &bench.attention, bench.scratch);
}

static void call_attention_bf16(void *argument)
{
    (void)argument;
    lutra_attention_bf16(bench.kernels, bench.pool, &bench.attention, bench.scratch);
}

static void bench_all_attention(harness *h, void (*call)(void *), double peak)
{
    static const size_t shapes[][2] = {{197, 3}, {197, 12}, {577, 12}};
    for (size_t i = 0; i < 3; i++)
        for (size_t n_threads = 1; n_threads <= 2; n_threads++) {
            const size_t n = shapes[i][0], heads = shapes[i][1], dim = heads * 64;
            size_t scratch;
            begin_case(h, "benchmark");
            lutra_attention_scratch(64, n_threads, &scratch);
            bench.kernels = h->kernels;
            bench.pool = start_pool(n_threads);
            bench.scratch = guarded(h, scratch, 64);
            bench.attention = (lutra_attention){.batch = 1,
                                                .n_tokens = n,
                                                .n_queries = n,
                                                .n_heads = heads,
                                                .head_dim = 64,
                                                .qkv = guarded_floats(h, n * 3 * dim, ORDINARY),
                                                .ld_qkv = 3 * dim,
                                                .out = guarded(h, n * dim * 4, 64),
                                                .ld_out = dim};
            const double gmacs = 2.0 * (double)(n * n * dim) / time_call(call, NULL, n_threads) * 1e-9;
            printf("  %zu tokens, %zu heads of 64, %zu thread%s: %.1f GMAC/s", n, heads, n_threads,
                   n_threads > 1 ? "s" : "", gmacs);
            if (peak > 0)
                printf(" (%.0f %%)", 100 * gmacs / peak / (double)n_threads);
            printf("\n");
            lutra_thread_pool_free(bench.pool);
            end_case(h);
        }
}

void bench_attention(harness *h)
{
    bench_all_attention(h, call_attention, h->peak_gmacs);
}

void bench_attention_bf16(harness *h)
{
    bench_all_attention(h, call_attention_bf16, h->peak_bf16_gmacs);
}
