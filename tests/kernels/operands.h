/* SPDX-License-Identifier: Apache-2.0 */
/* Random weight matrices of every kind that a lutra_matrix can be. */
#ifndef LUTRA_TESTS_OPERANDS_H
#define LUTRA_TESTS_OPERANDS_H

#include "harness.h"

typedef struct random_matrix {
    lutra_matrix matrix;
    float codebook[256];
} random_matrix;

/* `n` x `k` dense weights of `dtype`, at an odd address, or rather packed ones with `bits` > 0, whose
 * codebook is on the int8 grid or any floats, scaled per row or not. All memory is guarded. Weights are
 * spread evenly, or for benchmarks as in a `trained` matrix. */
typedef struct matrix_kind {
    lutra_dtype dtype;
    unsigned bits;
    bool i8, scale_per_row, trained;
} matrix_kind;
void make_matrix(harness *h, size_t n, size_t k, matrix_kind kind, random_matrix *result);
const char *name_of_matrix(const matrix_kind *kind, char *text, size_t size);

void fill_codebook(harness *h, unsigned bits, bool i8, float *codebook); /* [256] */
void fill_codebook_i8(harness *h, unsigned bits, int8_t *codebook);      /* [256] */

/* A panel of k inputs and its sums, of any weights (`kind` 0), the largest (1) or small ones (2). */
void make_panel_i8(harness *h, size_t k, int kind, lutra_panel_i8 *panel);

#endif
