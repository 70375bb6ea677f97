/* SPDX-License-Identifier: Apache-2.0 */
/* What products cost beside their multiply-adds: a fit to the times of a few shapes with and without each
 * cost. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "kernels/gemm/gemm_i8.h"
#include "profile/calibrate.h"
#include "profile/least_squares.h"

#define BITS 6 /* of an index: 64 clusters */

typedef struct product {
    lutra_gemm gemm;
    const lutra_matrix_i8 *weights_i8; /* NULL: in f32 */
    void *scratch;
} product;

static void run_product(const lutra_calibration *b, const void *job)
{
    const product *p = job;
    if (p->weights_i8)
        lutra_gemm_i8(b->kernels, b->pool, &p->gemm, p->weights_i8, p->scratch);
    else
        lutra_gemm_f32(b->kernels, b->pool, &p->gemm, p->scratch);
}

enum { M_MAX = 152, N_MAX = 1232, K_MAX = 1360 };
static const size_t rows_of[] = {40, M_MAX};
/* The first three are like those of models; with few outputs quantising takes long, with few inputs
 * finishing. */
static const struct {
    size_t n, k;
} sizes[] = {{240, 560}, {N_MAX, 240}, {560, K_MAX}, {32, K_MAX}, {N_MAX, 64}};
enum { N_MS = sizeof rows_of / sizeof *rows_of, N_SIZES = sizeof sizes / sizeof *sizes };

/* The unknown costs of products, in cycles at the peak or multiply-adds of f32. */
enum {
    MAC_F32,
    MAC_I8,
    MAC_DENSE_I8,
    INDEX_F32,
    INDEX_I8,
    DENSE_F32,
    DENSE_I8,
    QUANTISE,
    OUTPUT,
    OUTPUT_I8,
    GELU,
    GELU_I8,
    N_COSTS
};
enum { N_KINDS = 6, N_ROWS = N_SIZES * N_MS * N_KINDS };
static const struct {
    bool clustered, i8, gelu;
} kinds[N_KINDS] = {{true, false, false}, {true, false, true}, {false, false, false},
                    {true, true, false},  {true, true, true},  {false, true, false}};

/* A matrix, once as indices and once dense. */
typedef struct weights {
    lutra_matrix clustered, dense;
    lutra_matrix_i8 clustered_i8, dense_i8;
    uint8_t *indices;
} weights;

typedef struct operands {
    float *a, *c, *dense, *scale, *codebook, *bias;
    weights weights[N_SIZES];
    void *scratch;
} operands;

static void free_operands(operands *o)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        lutra_matrix_i8_free(&o->weights[i].clustered_i8);
        lutra_matrix_i8_free(&o->weights[i].dense_i8);
        free(o->weights[i].indices);
    }
    free(o->a);
    free(o->c);
    free(o->dense);
    free(o->scale);
    free(o->codebook);
    free(o->bias);
    free(o->scratch);
}

/* Indices of one block of 16 outputs, used for every block. */
static lutra_status fill_indices(const lutra_index_layout *layout, uint8_t *packed, lutra_error *error)
{
    uint32_t state = 1;
    uint8_t *block = NULL;
    lutra_status status = lutra_allocate(LUTRA_TILE_OUTPUTS, layout->k, "indices", &block, error);
    for (size_t i = 0; status == LUTRA_OK && i < LUTRA_TILE_OUTPUTS * layout->k; i++)
        block[i] = (uint8_t)lutra_bell(&state, 1u << BITS);
    for (size_t i = 0; status == LUTRA_OK && i < layout->n_blocks; i++)
        lutra_pack_block(layout, block, LUTRA_TILE_OUTPUTS, packed + i * layout->block_bytes);
    free(block);
    return status;
}

static lutra_status make_weights(const lutra_calibration *b, const operands *o, size_t n, size_t k,
                                 weights *w)
{
    lutra_status status;
    w->dense = (lutra_matrix){.n = n, .k = k, .dense = o->dense, .dtype = LUTRA_F32};
    w->clustered = (lutra_matrix){.n = n,
                                  .k = k,
                                  .codebook = o->codebook,
                                  .codebook_is_i8 = true,
                                  .scale = o->scale,
                                  .scale_per_row = true};
    (void)lutra_index_layout_of(n, k, BITS, &w->clustered.layout);
    if ((status = lutra_allocate(w->clustered.layout.bytes, 1, "calibration", &w->indices, b->error)) ||
        (status = fill_indices(&w->clustered.layout, w->indices, b->error)))
        return status;
    w->clustered.indices = w->indices;
    if ((status = lutra_matrix_i8_create(b->kernels, b->pool, &w->clustered, &w->clustered_i8, b->error)) ||
        (status = lutra_matrix_i8_create(b->kernels, b->pool, &w->dense, &w->dense_i8, b->error)))
        return status;
    return LUTRA_OK;
}

static lutra_status make_operands(const lutra_calibration *b, operands *o)
{
    size_t bytes_i8;
    lutra_status status = LUTRA_OK;
    if (!lutra_gemm_i8_scratch(M_MAX, K_MAX, 1, &bytes_i8))
        return lutra_fail_memory(b->error, SIZE_MAX, "calibration");
    const size_t bytes_f32 = lutra_gemm_f32_scratch(K_MAX, 1);
    const size_t bytes = bytes_i8 > bytes_f32 ? bytes_i8 : bytes_f32;
    if ((status = lutra_allocate(M_MAX * K_MAX, sizeof *o->a, "calibration", &o->a, b->error)) ||
        (status = lutra_allocate(M_MAX * N_MAX, sizeof *o->c, "calibration", &o->c, b->error)) ||
        (status = lutra_allocate(N_MAX * K_MAX, sizeof *o->dense, "calibration", &o->dense, b->error)) ||
        (status = lutra_allocate(N_MAX, sizeof *o->scale, "calibration", &o->scale, b->error)) ||
        (status = lutra_allocate(256, sizeof *o->codebook, "calibration", &o->codebook, b->error)) ||
        (status = lutra_allocate(N_MAX, sizeof *o->bias, "calibration", &o->bias, b->error)) ||
        (status = lutra_allocate(bytes, 1, "calibration", &o->scratch, b->error)))
        return status;
    uint32_t state = 2;
    for (size_t i = 0; i < M_MAX * K_MAX; i++)
        o->a[i] = (float)lutra_bell(&state, 2000) / 1000.0f - 1.0f;
    for (size_t i = 0; i < N_MAX * K_MAX; i++)
        o->dense[i] = (float)lutra_bell(&state, 2000) / 1000.0f - 1.0f;
    for (size_t i = 0; i < N_MAX; i++)
        o->scale[i] = 0.001f;
    for (int i = 0; i < 1 << BITS; i++)
        o->codebook[i] = (float)(4 * i - 127 > 127 ? 127 : 4 * i - 127);
    for (size_t i = 0; i < N_SIZES && status == LUTRA_OK; i++)
        status = make_weights(b, o, sizes[i].n, sizes[i].k, &o->weights[i]);
    return status;
}

/* A row of the equations: rows of activations, a matrix, and what is done with it. */
typedef struct equation {
    size_t m, size, kind;
} equation;

static equation equation_of(size_t row)
{
    return (equation){rows_of[row / N_KINDS % N_MS], row / N_KINDS / N_MS, row % N_KINDS};
}

/* What a row of the equations asks: a [N_COSTS] in cycles per unit of each cost. */
static void ask(const lutra_calibration *b, const equation *row, double *a)
{
    const double m = (double)row->m, n = (double)sizes[row->size].n, k = (double)sizes[row->size].k;
    const double per_mac = 1 / b->device->macs_per_cycle_f32;
    const bool clustered = kinds[row->kind].clustered, i8 = kinds[row->kind].i8;
    for (size_t i = 0; i < N_COSTS; i++)
        a[i] = 0;
    a[!i8         ? MAC_F32
      : clustered ? MAC_I8
                  : MAC_DENSE_I8] =
        m * n * k / (i8 ? b->device->macs_per_cycle_i8 : b->device->macs_per_cycle_f32);
    if (clustered)
        a[i8 ? INDEX_I8 : INDEX_F32] = n * k * per_mac;
    else
        a[i8 ? DENSE_I8 : DENSE_F32] = n * k * per_mac;
    if (i8)
        a[QUANTISE] = m * k * per_mac;
    a[i8 ? OUTPUT_I8 : OUTPUT] = m * n * per_mac;
    a[i8 ? GELU_I8 : GELU] = kinds[row->kind].gelu ? m * n * per_mac : 0;
}

static product product_of(const operands *o, const equation *row)
{
    const weights *w = &o->weights[row->size];
    const bool clustered = kinds[row->kind].clustered;
    return (product){.gemm = {.m = row->m,
                              .weights = clustered ? &w->clustered : &w->dense,
                              .a = o->a,
                              .lda = sizes[row->size].k,
                              .c = o->c,
                              .ldc = sizes[row->size].n,
                              .bias = o->bias,
                              .activation = kinds[row->kind].gelu ? LUTRA_GELU_ERF : LUTRA_IDENTITY},
                     .weights_i8 = !kinds[row->kind].i8 ? NULL
                                   : clustered          ? &w->clustered_i8
                                                        : &w->dense_i8,
                     .scratch = o->scratch};
}

lutra_status lutra_calibrate_products(const lutra_calibration *b)
{
    double a[N_ROWS * N_COSTS], cycles[N_ROWS], cost[N_COSTS];
    product products[N_ROWS];
    lutra_timing timings[N_ROWS];
    operands o = {0};
    lutra_status status = make_operands(b, &o);
    for (size_t i = 0; i < N_ROWS; i++) {
        const equation row = equation_of(i);
        ask(b, &row, a + i * N_COSTS);
        products[i] = product_of(&o, &row);
        timings[i] = (lutra_timing){run_product, &products[i], 0};
    }
    if (status == LUTRA_OK)
        status = lutra_count_cycles(b, timings, N_ROWS);
    free_operands(&o);
    if (status)
        return status;
    for (size_t i = 0; i < N_ROWS; i++)
        cycles[i] = timings[i].cycles;
    if (!lutra_fit_costs(a, cycles, N_ROWS, N_COSTS, cost) || cost[MAC_F32] <= 0 || cost[MAC_I8] <= 0 ||
        cost[MAC_DENSE_I8] <= 0)
        return lutra_undetermined(b);
    lutra_efficiency *e = b->efficiency;
    e->share_f32 = 1 / cost[MAC_F32];
    e->share_i8 = 1 / cost[MAC_I8];
    e->share_dense_i8 = 1 / cost[MAC_DENSE_I8];
    e->index_f32 = fmax(cost[INDEX_F32], LUTRA_LEAST_COST);
    e->index_i8 = fmax(cost[INDEX_I8], LUTRA_LEAST_COST);
    e->dense_f32 = fmax(cost[DENSE_F32], LUTRA_LEAST_COST);
    e->dense_i8 = fmax(cost[DENSE_I8], LUTRA_LEAST_COST);
    e->quantise = fmax(cost[QUANTISE], LUTRA_LEAST_COST);
    e->output = fmax(cost[OUTPUT], LUTRA_LEAST_COST);
    e->output_i8 = fmax(cost[OUTPUT_I8], LUTRA_LEAST_COST);
    e->gelu = fmax(cost[GELU], LUTRA_LEAST_COST);
    e->gelu_i8 = fmax(cost[GELU_I8], LUTRA_LEAST_COST);
    return LUTRA_OK;
}
