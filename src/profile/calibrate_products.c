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
static const struct {
    size_t m, n, k;
} shapes[] = {{40, 240, 560},   {152, 240, 560}, {40, 1232, 240},
              {152, 1232, 240}, {40, 560, 1360}, {152, 560, 1360}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* The unknown costs of products, in cycles at the peak or multiply-adds of f32. */
enum { MAC_F32, MAC_I8, MAC_DENSE_I8, INDEX_F32, INDEX_I8, DENSE_F32, QUANTISE, OUTPUT, GELU, N_COSTS };
enum { N_KINDS = 6, N_ROWS = N_SHAPES * N_KINDS };
static const struct {
    bool clustered, i8, gelu;
} kinds[N_KINDS] = {{true, false, false}, {true, false, true}, {false, false, false},
                    {true, true, false},  {true, true, true},  {false, true, false}};

typedef struct operands {
    float *a, *c, *dense, *scale, *codebook, *bias;
    uint8_t *indices;
    void *scratch;
} operands;

static void free_operands(operands *o)
{
    free(o->a);
    free(o->c);
    free(o->dense);
    free(o->scale);
    free(o->codebook);
    free(o->bias);
    free(o->indices);
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

static lutra_status allocate_operands(operands *o, lutra_error *error)
{
    size_t bytes_i8;
    lutra_index_layout largest;
    lutra_status status;
    *o = (operands){0};
    if (!lutra_gemm_i8_scratch(M_MAX, K_MAX, 1, &bytes_i8) ||
        !lutra_index_layout_of(N_MAX, K_MAX, BITS, &largest))
        return lutra_fail_memory(error, SIZE_MAX, "calibration");
    const size_t bytes_f32 = lutra_gemm_f32_scratch(K_MAX, 1);
    if ((status = lutra_allocate(M_MAX * K_MAX, sizeof *o->a, "calibration", &o->a, error)) ||
        (status = lutra_allocate(M_MAX * N_MAX, sizeof *o->c, "calibration", &o->c, error)) ||
        (status = lutra_allocate(N_MAX * K_MAX, sizeof *o->dense, "calibration", &o->dense, error)) ||
        (status = lutra_allocate(N_MAX, sizeof *o->scale, "calibration", &o->scale, error)) ||
        (status = lutra_allocate(256, sizeof *o->codebook, "calibration", &o->codebook, error)) ||
        (status = lutra_allocate(N_MAX, sizeof *o->bias, "calibration", &o->bias, error)) ||
        (status = lutra_allocate(largest.bytes, 1, "calibration", &o->indices, error)))
        return status;
    const size_t bytes = bytes_i8 > bytes_f32 ? bytes_i8 : bytes_f32;
    if ((status = lutra_allocate(bytes, 1, "calibration", &o->scratch, error)))
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
    return LUTRA_OK;
}

/* What one row of the equations asks: a [N_COSTS] in cycles per unit of each cost. */
static void ask(const lutra_calibration *b, size_t shape, size_t kind, double *a)
{
    const double m = (double)shapes[shape].m, n = (double)shapes[shape].n, k = (double)shapes[shape].k;
    const double per_mac = 1 / b->device->macs_per_cycle_f32;
    const bool clustered = kinds[kind].clustered, i8 = kinds[kind].i8;
    for (size_t i = 0; i < N_COSTS; i++)
        a[i] = 0;
    a[!i8         ? MAC_F32
      : clustered ? MAC_I8
                  : MAC_DENSE_I8] =
        m * n * k / (i8 ? b->device->macs_per_cycle_i8 : b->device->macs_per_cycle_f32);
    if (clustered)
        a[i8 ? INDEX_I8 : INDEX_F32] = n * k * per_mac;
    else if (!i8)
        a[DENSE_F32] = n * k * per_mac;
    if (i8)
        a[QUANTISE] = m * k * per_mac;
    a[OUTPUT] = m * n * per_mac;
    a[GELU] = kinds[kind].gelu ? m * n * per_mac : 0;
}

static lutra_status measure_product(const lutra_calibration *b, const operands *o, size_t shape, size_t kind,
                                    double *cycles)
{
    const size_t m = shapes[shape].m, n = shapes[shape].n, k = shapes[shape].k;
    lutra_matrix matrix = {.n = n, .k = k};
    lutra_matrix_i8 weights_i8 = {0};
    lutra_status status = LUTRA_OK;
    if (kinds[kind].clustered) {
        (void)lutra_index_layout_of(n, k, BITS, &matrix.layout);
        status = fill_indices(&matrix.layout, o->indices, b->error);
        matrix.indices = o->indices;
        matrix.codebook = o->codebook;
        matrix.codebook_is_i8 = matrix.scale_per_row = true;
        matrix.scale = o->scale;
    } else {
        matrix.dense = o->dense;
        matrix.dtype = LUTRA_F32;
    }
    if (status == LUTRA_OK && kinds[kind].i8)
        status = lutra_matrix_i8_create(b->kernels, b->pool, &matrix, &weights_i8, b->error);
    const product p = {.gemm = {.m = m,
                                .weights = &matrix,
                                .a = o->a,
                                .lda = k,
                                .c = o->c,
                                .ldc = n,
                                .bias = o->bias,
                                .activation = kinds[kind].gelu ? LUTRA_GELU_ERF : LUTRA_IDENTITY},
                       .weights_i8 = kinds[kind].i8 ? &weights_i8 : NULL,
                       .scratch = o->scratch};
    if (status == LUTRA_OK)
        status = lutra_count_cycles(b, run_product, &p, cycles);
    lutra_matrix_i8_free(&weights_i8);
    return status;
}

lutra_status lutra_calibrate_products(const lutra_calibration *b)
{
    double a[N_ROWS * N_COSTS], cycles[N_ROWS], cost[N_COSTS];
    operands o;
    lutra_status status = allocate_operands(&o, b->error);
    for (size_t row = 0; status == LUTRA_OK && row < N_ROWS; row++) {
        ask(b, row / N_KINDS, row % N_KINDS, a + row * N_COSTS);
        status = measure_product(b, &o, row / N_KINDS, row % N_KINDS, &cycles[row]);
    }
    free_operands(&o);
    if (status)
        return status;
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
    e->quantise = fmax(cost[QUANTISE], LUTRA_LEAST_COST);
    e->output = fmax(cost[OUTPUT], LUTRA_LEAST_COST);
    e->gelu = fmax(cost[GELU], LUTRA_LEAST_COST);
    return LUTRA_OK;
}
