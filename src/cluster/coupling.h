/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the errors of a matrix's rows hang together. With x the inputs of a product and g the gradient of what
 * matters in its outputs, errors E [n][k] of its weights cost
 *
 *     E[(g^T E x)^2] ~ sum over rows i, j of C[i][j] e_i^T H e_j,   C = E[g g^T], H = E[x x^T]
 *
 * with gradients and inputs taken for independent (Martens, Grosse 2015, arXiv 1503.05671): what one row's
 * output is off by others can make up for. Rows hang together within groups alone; C of all pairs would take
 * as much memory as the weights.
 */
#ifndef LUTRA_CLUSTER_COUPLING_H
#define LUTRA_CLUSTER_COUPLING_H

#include "base/thread_pool.h"
#include "kernels/kernels.h"

#define LUTRA_COUPLED_ROWS 256 /* at most in a group */

typedef struct lutra_coupling {
    size_t n, group; /* rows; of each group, of the last one maybe fewer */
    float *of;       /* [n][group] C of a row and those of its group */
    double weight, square_weight;
} lutra_coupling;

/* What lutra_coupling_add needs beside; for products of up to `n` outputs with `rows` gradients at a time. */
typedef struct lutra_coupling_scratch {
    float *turned;  /* [group][rows] */
    float *product; /* [group][group] */
    float *root;    /* [rows] */
    void *gemm;
} lutra_coupling_scratch;

lutra_status lutra_coupling_create(lutra_coupling *coupling, size_t n, lutra_error *error);
void lutra_coupling_free(lutra_coupling *coupling);

lutra_status lutra_coupling_scratch_create(lutra_coupling_scratch *scratch, size_t rows, size_t n_threads,
                                           lutra_error *error);
void lutra_coupling_scratch_free(lutra_coupling_scratch *scratch);

/* Gradients, each counted with its product over its length: as the inputs, which count with the length. */
void lutra_coupling_add(lutra_coupling *coupling, const float *gradients /* [rows][n] */, size_t rows,
                        const lutra_kernels *kernels, lutra_thread_pool *pool,
                        lutra_coupling_scratch *scratch);

/* After the last one: what hangs together by chance loses weight; C is then positive definite. */
void lutra_coupling_end(lutra_coupling *coupling);

#endif
