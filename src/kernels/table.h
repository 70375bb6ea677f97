/* SPDX-License-Identifier: Apache-2.0 */
/* The table of one level's kernels, for the operations' drivers and the tests; all of it comes from
 * kernels.inc. */
#ifndef LUTRA_KERNELS_TABLE_H
#define LUTRA_KERNELS_TABLE_H

#include "kernels/attention/attention.h"
#include "kernels/gemm/few_rows.h"
#include "kernels/gemm/gemm_i8.h"
#include "kernels/gemm/order_i8.h"
#include "kernels/gemm/row_i8.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/patches/patches.h"

#define LUTRA_PANEL 16 /* outputs of a panel: one tile of indices, and one AVX-512 register of floats */
#define LUTRA_MAX_TILE_ROWS 16
#define LUTRA_MAX_TILE_PANELS 2
#define LUTRA_MAX_TILE_COLUMNS (LUTRA_PANEL * LUTRA_MAX_TILE_PANELS)
/* The tile of multiply_i8 on every level: 28 sums, two vectors of weights and the activations fill 31 of
 * AVX-512's 32 registers; lesser levels go through it in parts. That of multiply_ordered_i8 has
 * LUTRA_GROUP_ROWS. */
#define LUTRA_TILE_ROWS_I8 14
#define LUTRA_TILE_ROWS_PAIRED_I8 12 /* of multiply_pairs_i8: twice three pairs */
#define LUTRA_TILE_PANELS_I8 2

/* What becomes of a tile's columns. Padded to whole panels, so that kernels need no mask to read it. */
typedef struct lutra_columns {
    float scale[LUTRA_MAX_TILE_COLUMNS];
    float bias[LUTRA_MAX_TILE_COLUMNS];
    float layer_scale[LUTRA_MAX_TILE_COLUMNS];
    bool no_layer_scale; /* all of them are 1: a kernel need not multiply */
    lutra_activation activation;
} lutra_columns;

/* Where a tile goes. */
typedef struct lutra_outputs {
    size_t n; /* columns, at most those of the panels */
    float *c; /* [m][ldc] */
    size_t ldc;
    const float *residual; /* [m][ldr], or NULL; may be c */
    size_t ldr;
    const char *ahead; /* will be read soon: to be brought into a second-level cache; or NULL */
    size_t ahead_bytes;
} lutra_outputs;

typedef struct lutra_softmax {
    float max; /* of the scores as they are, not scaled */
    float sum, correction;
} lutra_softmax;

/* How a level's 8-bit products want their operands. */
typedef enum lutra_form_i8 {
    LUTRA_PLAIN_I8,   /* for multiply_i8, as quantise_row_i8 and unpack_panel_i8 leave them */
    LUTRA_ORDERED_I8, /* for multiply_ordered_i8 (order_i8.h) */
    LUTRA_PAIRED_I8   /* for multiply_pairs_i8 (pair_i8.h) */
} lutra_form_i8;

struct lutra_kernels {
    const char *name;
    size_t tile_rows, tile_panels;
    lutra_form_i8 form_i8;
#define LUTRA_KERNEL(name, parameters) void(*name) parameters;
#include "kernels/kernels.inc"
};

#define LUTRA_KERNEL(name, parameters) typedef void lutra_##name##_kernel parameters;
#define LUTRA_IMPLEMENTATION(level, name) lutra_##name##_kernel lutra_##name##_##level;
#include "kernels/kernels.inc"

#endif
