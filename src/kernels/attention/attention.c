/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys are taken in blocks, and the softmax over them is carried on from block to block (Milakov and
 * Gimelshein 2018; Dao et al. 2022), so that no more than tile_rows x KEY_BLOCK scores exist on a thread.
 * A task is one head and some of its queries. Scratch of one thread, in floats:
 *
 *     | keys    [KEY_BLOCK / 16 panels][head_dim][16]    a block of keys, transposed as gemm wants it
 *     | values  [ceil(head_dim / 16) panels][KEY_BLOCK][16]
 *     | queries [LUTRA_MAX_TILE_ROWS][QUERY_STRIDE]      in bf16 alone
 *     | scores  [LUTRA_MAX_TILE_ROWS][SCORE_STRIDE]
 *     | sums    [LUTRA_MAX_TILE_ROWS][head_dim rounded up to 16]
 *     | softmax state of each query of the task
 *
 * Where bf16 is multiplied two inputs of a product, or two keys, are one double word (gemm/bf16.h): half of
 * the rooms is used. Other levels multiply the rounded numbers as floats.
 */
#include "kernels/attention/attention.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "kernels/gemm/gemm_bf16.h"
#include "kernels/table.h"

/* The 197 tokens of a 224-pixel picture in 16-pixel patches in one block, and yet keys and values of 64-wide
 * heads (128 KiB) stay in a second-level cache. */
#define KEY_BLOCK ((size_t)256)
#define MAX_TASK_QUERIES ((size_t)256)
/* An odd number of cache lines: the rows of a tile, read side by side, then fall into different sets of a
 * cache. */
#define SCORE_STRIDE (KEY_BLOCK + LUTRA_PANEL)

struct job {
    const lutra_kernels *kernels;
    const lutra_attention *attention;
    bool bf16, pairs; /* rounded to it; in pairs, not floats */
    float *scratch;
    size_t n_parts; /* of the queries of each head */
    float scale;
};

/* Where the parts of a thread's scratch begin, in floats, and where they end. */
struct layout {
    size_t keys, values, queries, scores, sums, softmax, end;
};

struct workspace {
    float *keys, *values, *queries, *scores, *sums;
    lutra_softmax *softmax; /* [MAX_TASK_QUERIES] */
};

/* Floats of a rounded query, an odd number of cache lines too. */
static size_t query_stride(size_t head_dim)
{
    return lutra_round_up(head_dim, 2 * LUTRA_PANEL) + LUTRA_PANEL;
}

static struct layout lay_out(size_t head_dim)
{
    const size_t wide = lutra_round_up(head_dim, LUTRA_PANEL);
    struct layout at = {.keys = 0};
    at.values = at.keys + KEY_BLOCK * head_dim;
    at.queries = at.values + KEY_BLOCK * wide;
    at.scores = at.queries + LUTRA_MAX_TILE_ROWS * query_stride(head_dim);
    at.sums = at.scores + LUTRA_MAX_TILE_ROWS * SCORE_STRIDE;
    at.softmax = at.sums + LUTRA_MAX_TILE_ROWS * wide;
    at.end =
        at.softmax + lutra_round_up(MAX_TASK_QUERIES * sizeof(lutra_softmax) / sizeof(float), LUTRA_PANEL);
    return at;
}

static struct workspace workspace_of(const struct job *job, size_t worker)
{
    const struct layout at = lay_out(job->attention->head_dim);
    float *scratch = job->scratch + worker * at.end;
    return (struct workspace){.keys = scratch + at.keys,
                              .values = scratch + at.values,
                              .queries = scratch + at.queries,
                              .scores = scratch + at.scores,
                              .sums = scratch + at.sums,
                              .softmax = (lutra_softmax *)(void *)(scratch + at.softmax)};
}

bool lutra_attention_scratch(size_t head_dim, size_t n_threads, size_t *bytes)
{
    /* A block's worth, however many tokens there are. */
    return lutra_size_multiply(lay_out(head_dim).end * sizeof(float), n_threads, bytes);
}

static uint32_t *words(float *p)
{
    return (uint32_t *)(void *)p;
}

static const uint32_t *const_words(const float *p)
{
    return (const uint32_t *)(const void *)p;
}

/* `width` <= 16 columns of `v` [n][ld] become `panel` [n][16], filled up with 0. */
static void copy_columns(const float *v, size_t ld, size_t n, size_t width, float *panel)
{
    if (width == LUTRA_PANEL) { /* a copy of known size is two instructions, no call */
        for (size_t i = 0; i < n; i++)
            memcpy(panel + i * LUTRA_PANEL, v + i * ld, LUTRA_PANEL * sizeof *panel);
        return;
    }
    memset(panel, 0, n * LUTRA_PANEL * sizeof *panel);
    for (size_t i = 0; i < n; i++)
        memcpy(panel + i * LUTRA_PANEL, v + i * ld, width * sizeof *panel);
}

static void pack_keys_and_values(const struct job *job, const float *q, size_t n_keys,
                                 const struct workspace *w)
{
    const lutra_kernels *kernels = job->kernels;
    const lutra_attention *a = job->attention;
    const float *k = q + a->n_heads * a->head_dim, *v = k + a->n_heads * a->head_dim;
    for (size_t i = 0; i < n_keys; i += LUTRA_PANEL) {
        const size_t n = lutra_smaller(LUTRA_PANEL, n_keys - i);
        float *panel = w->keys + i * a->head_dim;
        if (job->pairs)
            kernels->pack_panel_bf16(k + i * a->ld_qkv, a->ld_qkv, n, a->head_dim, words(panel));
        else
            kernels->pack_panel_f32(k + i * a->ld_qkv, LUTRA_F32, a->ld_qkv, n, a->head_dim, panel);
        if (job->bf16 && !job->pairs)
            kernels->round_bf16(LUTRA_PANEL * a->head_dim, panel, panel);
    }
    for (size_t j = 0; j < a->head_dim; j += LUTRA_PANEL) {
        const size_t width = lutra_smaller(LUTRA_PANEL, a->head_dim - j);
        float *panel = w->values + j * KEY_BLOCK;
        if (job->pairs)
            kernels->pack_columns_bf16(v + j, a->ld_qkv, n_keys, width, words(panel));
        else
            copy_columns(v + j, a->ld_qkv, n_keys, width, panel);
        if (job->bf16 && !job->pairs)
            kernels->round_bf16(LUTRA_PANEL * n_keys, panel, panel);
    }
}

/* `k` inputs, or pairs of them. */
static void multiply_all(const struct job *job, size_t m, size_t k, const float *a, size_t lda, size_t n,
                         const float *panels, size_t panel_stride, float *c, size_t ldc)
{
    const lutra_kernels *kernels = job->kernels;
    const size_t n_panels = lutra_divide_up(n, LUTRA_PANEL), wide = kernels->tile_panels;
    for (size_t p = 0; p < n_panels; p += wide) {
        const float *first = panels + p * panel_stride;
        if (job->pairs)
            kernels->multiply_bf16(m, k, const_words(a), lda, lutra_smaller(wide, n_panels - p),
                                   const_words(first), panel_stride, c + p * LUTRA_PANEL, ldc);
        else
            kernels->multiply_f32(m, k, a, lda, lutra_smaller(wide, n_panels - p), first, panel_stride,
                                  c + p * LUTRA_PANEL, ldc);
    }
}

/* The output so far gains a block's part; after the last block it is divided by the sum of the probabilities.
 */
static void merge(const lutra_softmax *softmax, bool is_first, bool is_last, size_t dim, const float *sums,
                  float *out)
{
    const float factor = is_last ? 1.0f / softmax->sum : 1.0f;
    if (is_first) {
        for (size_t j = 0; j < dim; j++)
            out[j] = sums[j] * factor;
        return;
    }
    for (size_t j = 0; j < dim; j++)
        out[j] = (out[j] * softmax->correction + sums[j]) * factor;
}

/* `m` queries with the keys key..key + n_keys. */
static void attend(const struct job *job, const struct workspace *w, size_t m, const float *q, size_t key,
                   size_t n_keys, lutra_softmax *softmax, float *out)
{
    const lutra_attention *a = job->attention;
    const lutra_kernels *kernels = job->kernels;
    const size_t wide = lutra_round_up(a->head_dim, LUTRA_PANEL), stride = query_stride(a->head_dim);
    const size_t dim = job->pairs ? lutra_divide_up(a->head_dim, 2) : a->head_dim;
    size_t ld = a->ld_qkv;
    if (job->bf16) {
        for (size_t i = 0; i < m; i++)
            if (job->pairs)
                kernels->pair_row_bf16(a->head_dim, q + i * ld, words(w->queries) + i * stride);
            else
                kernels->round_bf16(a->head_dim, q + i * ld, w->queries + i * stride);
        q = w->queries;
        ld = stride;
    }
    multiply_all(job, m, dim, q, ld, n_keys, w->keys, LUTRA_PANEL * a->head_dim, w->scores, SCORE_STRIDE);
    if (job->pairs)
        kernels->softmax_bf16(m, n_keys, job->scale, w->scores, SCORE_STRIDE, softmax);
    else
        kernels->softmax_f32(m, n_keys, job->scale, w->scores, SCORE_STRIDE, softmax);
    multiply_all(job, m, job->pairs ? lutra_divide_up(n_keys, 2) : n_keys, w->scores, SCORE_STRIDE,
                 a->head_dim, w->values, LUTRA_PANEL * KEY_BLOCK, w->sums, wide);
    for (size_t i = 0; i < m; i++)
        merge(&softmax[i], key == 0, key + n_keys == a->n_tokens, a->head_dim, w->sums + i * wide,
              out + i * a->ld_out);
}

static void attend_head(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_attention *a = job->attention;
    const struct workspace w = workspace_of(job, worker);
    const size_t image = task / (job->n_parts * a->n_heads), head = task % a->n_heads;
    const size_t part = task / a->n_heads % job->n_parts;
    const size_t first = a->n_queries * part / job->n_parts;
    const size_t n = a->n_queries * (part + 1) / job->n_parts - first;
    const size_t n_chunks = lutra_divide_up(n, job->kernels->tile_rows);
    const float *qkv = a->qkv + image * a->n_tokens * a->ld_qkv + head * a->head_dim;
    float *out = a->out + (image * a->n_tokens + first) * a->ld_out + head * a->head_dim;

    for (size_t i = 0; i < n; i++)
        w.softmax[i] = (lutra_softmax){.max = -FLT_MAX};
    for (size_t key = 0; key < a->n_tokens; key += KEY_BLOCK) {
        const size_t n_keys = lutra_smaller(KEY_BLOCK, a->n_tokens - key);
        pack_keys_and_values(job, qkv + key * a->ld_qkv, n_keys, &w);
        for (size_t chunk = 0; chunk < n_chunks; chunk++) {
            const size_t row = n * chunk / n_chunks;
            attend(job, &w, n * (chunk + 1) / n_chunks - row, qkv + (first + row) * a->ld_qkv, key, n_keys,
                   w.softmax + row, out + row * a->ld_out);
        }
    }
}

/* The reference has pairs too, so that they are tested. */
static bool has_pairs(const lutra_kernels *kernels)
{
    return kernels == lutra_kernels_level(0) || lutra_multiplies_bf16(kernels);
}

static void attend_all(const lutra_kernels *kernels, lutra_thread_pool *pool,
                       const lutra_attention *attention, bool bf16, void *scratch)
{
    const size_t n_threads = lutra_thread_pool_size(pool), n_heads = attention->batch * attention->n_heads;
    struct job job = {.kernels = kernels,
                      .attention = attention,
                      .bf16 = bf16,
                      .pairs = bf16 && has_pairs(kernels),
                      .scratch = scratch,
                      .n_parts = lutra_divide_up(attention->n_queries, MAX_TASK_QUERIES),
                      .scale = 1.0f / sqrtf((float)attention->head_dim)};
    if (n_heads == 0 || attention->n_queries == 0)
        return;
    /* Each part packs the keys and values again: no more parts than balance the threads. */
    const size_t wanted = n_threads > 1 ? lutra_divide_up(n_threads * LUTRA_TASKS_PER_THREAD, n_heads) : 1;
    if (job.n_parts < wanted)
        job.n_parts = lutra_smaller(wanted, lutra_divide_up(attention->n_queries, kernels->tile_rows));
    lutra_thread_pool_run(pool, n_heads * job.n_parts, attend_head, &job);
}

void lutra_attention_f32(const lutra_kernels *kernels, lutra_thread_pool *pool,
                         const lutra_attention *attention, void *scratch)
{
    attend_all(kernels, pool, attention, false, scratch);
}

void lutra_attention_bf16(const lutra_kernels *kernels, lutra_thread_pool *pool,
                          const lutra_attention *attention, void *scratch)
{
    attend_all(kernels, pool, attention, true, scratch);
}
