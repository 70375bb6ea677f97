/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search for the indices, scales and entries of one matrix that cost least in the norm of quadratic.h.
 * Everything is held by place, not by input.
 */
#ifndef LUTRA_CLUSTER_SEARCH_H
#define LUTRA_CLUSTER_SEARCH_H

#include "cluster/cluster.h"
#include "cluster/coupling.h"
#include "cluster/quadratic.h"

typedef struct lutra_search {
    const lutra_kernels *kernels;
    lutra_thread_pool *pool;
    const lutra_quadratic *norm;
    size_t n, k;
    const float *target; /* [n][k] */
    lutra_codebook codebook;
    bool per_row;
    float *scale;        /* [n] */
    uint8_t *indices;    /* [n][k] */
    float *error;        /* [n][k] target - scale * entry */
    float *gradient;     /* [n][k] error H */
    double *cost;        /* [n] error H error^T */
    size_t *changed;     /* [n] by a descent */
    float *block, *sums; /* for products: [LUTRA_SEARCH_BLOCK][k], [n][LUTRA_SEARCH_BLOCK] or more */
    void *scratch;
} lutra_search;

#define LUTRA_SEARCH_BLOCK 64 /* places that are decided between two products */

lutra_status lutra_search_create(lutra_search *search, size_t n, size_t k, size_t n_threads,
                                 lutra_error *error);
void lutra_search_free(lutra_search *search);

/* Assigns every place from the last to the first the entry nearest to what makes up best for the errors so
 * far (Frantar et al. 2022, arXiv 2210.17323), with scale * factor in place of each row's scale. Fills
 * indices, error and cost. */
void lutra_feedback(lutra_search *search, float factor);

/* Error of the indices, scales and entries there are. */
void lutra_search_take_errors(lutra_search *search);

/* Error, gradient and cost of the indices, scales and entries there are. */
void lutra_search_measure(lutra_search *search);

/* Gives each place, in turn, the entry that costs least beside all the others; keeps error and gradient, and
 * measures cost. Returns how many places changed. */
size_t lutra_descend(lutra_search *search);

/* The scales (with per_row) and the codebook that cost least with the indices there are: least squares in the
 * norm, in integers where the codebook is_i8. Then measures. */
lutra_status lutra_refit(lutra_search *search, lutra_error *error);

/* Decides rows again, each beside the errors of those it hangs together with; what `cost` counts, each row
 * for itself, rises by that. */
lutra_status lutra_search_couple(lutra_search *search, const lutra_coupling *coupling, lutra_error *error);

double lutra_search_cost(const lutra_search *search); /* sum over the rows */

#endif
