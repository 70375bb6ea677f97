/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "kernels/attention/attention.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/patches/patches.h"
#include "profile/calibrate.h"
#include "profile/least_squares.h"

typedef struct attention_job {
    lutra_attention attention;
    bool bf16;
    void *scratch;
} attention_job;

static void run_attention(const lutra_calibration *b, const void *job)
{
    const attention_job *j = job;
    if (j->bf16)
        lutra_attention_bf16(b->kernels, b->pool, &j->attention, j->scratch);
    else
        lutra_attention_f32(b->kernels, b->pool, &j->attention, j->scratch);
}

/* In f32 or bf16: the share of the peak, the cost of a score. */
static lutra_status calibrate_attention_in(const lutra_calibration *b, bool bf16, double *share,
                                           double *score)
{
    static const struct {
        size_t n_tokens, n_heads, head_dim;
    } kinds_of[] = {{48, 4, 32}, {48, 4, 80}, {240, 4, 32}, {240, 4, 80}};
    enum { N = sizeof kinds_of / sizeof *kinds_of, TOKENS = 240, WIDTH = 4 * 80 };
    double a[N * 2], cycles[N], cost[2];
    attention_job jobs[N];
    lutra_timing timings[N];
    float *qkv = NULL, *out = NULL;
    void *scratch = NULL;
    size_t bytes = 0;
    lutra_status status = lutra_allocate(TOKENS * 3 * WIDTH, sizeof *qkv, "calibration", &qkv, b->error);
    if (status == LUTRA_OK)
        status = lutra_allocate(TOKENS * WIDTH, sizeof *out, "calibration", &out, b->error);
    if (status == LUTRA_OK && !lutra_attention_scratch(80, 1, &bytes))
        status = lutra_fail_memory(b->error, SIZE_MAX, "calibration");
    if (status == LUTRA_OK)
        status = lutra_allocate(bytes, 1, "calibration", &scratch, b->error);
    uint32_t state = 3;
    for (size_t i = 0; status == LUTRA_OK && i < TOKENS * 3 * WIDTH; i++)
        qkv[i] = (float)lutra_bell(&state, 2000) / 1000.0f - 1.0f;
    for (size_t i = 0; i < N; i++) {
        const size_t t = kinds_of[i].n_tokens, heads = kinds_of[i].n_heads,
                     dim = heads * kinds_of[i].head_dim;
        jobs[i] = (attention_job){{.batch = 1,
                                   .n_tokens = t,
                                   .n_queries = t,
                                   .n_heads = heads,
                                   .head_dim = kinds_of[i].head_dim,
                                   .qkv = qkv,
                                   .ld_qkv = 3 * dim,
                                   .out = out,
                                   .ld_out = dim},
                                  bf16,
                                  scratch};
        timings[i] = (lutra_timing){run_attention, &jobs[i], 0};
        a[2 * i] = 2 * (double)(t * t * dim) /
                   (bf16 ? b->device->macs_per_cycle_bf16 : b->device->macs_per_cycle_f32);
        a[2 * i + 1] = (double)(t * t * heads) / b->device->macs_per_cycle_f32;
    }
    if (status == LUTRA_OK)
        status = lutra_count_cycles(b, timings, N);
    for (size_t i = 0; i < N; i++)
        cycles[i] = timings[i].cycles;
    free(qkv);
    free(out);
    free(scratch);
    if (status)
        return status;
    if (!lutra_fit_costs(a, cycles, N, 2, cost) || cost[0] <= 0)
        return lutra_undetermined(b);
    *share = 1 / cost[0];
    *score = fmax(cost[1], LUTRA_LEAST_COST);
    return LUTRA_OK;
}

static lutra_status calibrate_attention(const lutra_calibration *b)
{
    lutra_efficiency *e = b->efficiency;
    const lutra_status status = calibrate_attention_in(b, false, &e->share_attention, &e->score);
    return status ? status : calibrate_attention_in(b, true, &e->share_attention_bf16, &e->score_bf16);
}

static void run_norm(const lutra_calibration *b, const void *job)
{
    lutra_layer_norm_f32(b->kernels, b->pool, job);
}

static lutra_status calibrate_norm(const lutra_calibration *b)
{
    enum { ROWS = 150, DIM = 560 };
    float *x = NULL;
    lutra_status status = lutra_allocate((2 * ROWS + 2) * DIM, sizeof *x, "calibration", &x, b->error);
    if (status)
        return status;
    for (size_t i = 0; i < (ROWS + 1) * DIM; i++)
        x[i] = (float)(i % 17);
    float *y = x + ROWS * DIM, *gamma = x + 2 * ROWS * DIM;
    const lutra_layer_norm norm = {.n_rows = ROWS,
                                   .dim = DIM,
                                   .x = x,
                                   .ldx = DIM,
                                   .y = y,
                                   .ldy = DIM,
                                   .gamma = gamma,
                                   .beta = gamma + DIM,
                                   .eps = 1e-6f};
    lutra_timing timing = {run_norm, &norm, 0};
    status = lutra_count_cycles(b, &timing, 1);
    b->efficiency->norm = timing.cycles * b->device->macs_per_cycle_f32 / (ROWS * DIM);
    free(x);
    return status;
}

static void run_patches(const lutra_calibration *b, const void *job)
{
    lutra_patches_f32(b->kernels, b->pool, job);
}

static lutra_status calibrate_patches(const lutra_calibration *b)
{
    enum { SIDE = 160, PATCH = 20, N = SIDE * SIDE * 3 };
    uint8_t *pixels = NULL;
    float *out = NULL;
    lutra_status status = lutra_allocate(N, 1, "calibration", &pixels, b->error);
    if (status == LUTRA_OK)
        status = lutra_allocate(N, sizeof *out, "calibration", &out, b->error);
    const lutra_patches patches = {.batch = 1,
                                   .height = SIDE,
                                   .width = SIDE,
                                   .patch = PATCH,
                                   .pixels = pixels,
                                   .mean = {0.5f, 0.5f, 0.5f},
                                   .std = {0.5f, 0.5f, 0.5f},
                                   .out = out};
    lutra_timing timing = {run_patches, &patches, 0};
    if (status == LUTRA_OK)
        status = lutra_count_cycles(b, &timing, 1);
    /* As lutra_predict counts them: a quarter of the bytes read and written. */
    b->efficiency->move = timing.cycles * b->device->macs_per_cycle_f32 / (N + N / 4.0);
    free(pixels);
    free(out);
    return status;
}

lutra_status lutra_calibrate(const lutra_device *device, lutra_efficiency *efficiency, lutra_error *error)
{
    lutra_calibration b = {.device = device, .efficiency = efficiency, .error = error};
    *efficiency = (lutra_efficiency){0};
    if (!(device->macs_per_cycle_f32 > 0 && device->macs_per_cycle_bf16 > 0 && device->macs_per_cycle_i8 > 0))
        return lutra_fail(
            error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
            "nothing is held against a peak of %g, %g and %g multiply-adds a cycle in f32, bf16 "
            "and int8",
            device->macs_per_cycle_f32, device->macs_per_cycle_bf16, device->macs_per_cycle_i8);
    lutra_status status = lutra_kernels_select(&b.kernels, error);
    if (status == LUTRA_OK)
        status = lutra_thread_pool_create(1, &b.pool, error);
    if (status == LUTRA_OK)
        status = lutra_calibrate_products(&b);
    if (status == LUTRA_OK)
        status = calibrate_attention(&b);
    if (status == LUTRA_OK)
        status = calibrate_norm(&b);
    if (status == LUTRA_OK)
        status = calibrate_patches(&b);
    lutra_thread_pool_free(b.pool);
    return status;
}
