/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The norm that calibration minimises, for one matrix: a row w [k] that is replaced by q costs
 *
 *     (w - q)^T H (w - q),   H = E[x x^T] + damping,
 *
 * what its output is off by over the calibration pictures. Columns are held in ascending order of H's
 * diagonal, and decided from the last one to the first: with H = L L^T the cost is
 *
 *     sum over r of pivot[r] (e[r] + sum over i > r of factor[r][i] e[i])^2,   e = w - q,
 *
 * so that each column can make up for the errors of those decided before it.
 */
#ifndef LUTRA_CLUSTER_QUADRATIC_H
#define LUTRA_CLUSTER_QUADRATIC_H

#include "cluster/moments.h"

typedef struct lutra_quadratic {
    size_t k;
    size_t *order; /* [k] the input that stands at each place */
    float *moment; /* [k][k] H */
    float *factor; /* [k][k] unit upper triangular: L^T over its diagonal */
    double *pivot; /* [k] L's diagonal squared */
} lutra_quadratic;

/* Of finite moments. `centred`: a bias follows, which takes up the mean of the outputs, so that x counts from
 * its mean. */
lutra_status lutra_quadratic_create(const lutra_moments *moments, bool centred, lutra_thread_pool *pool,
                                    lutra_quadratic *quadratic, lutra_error *error);
void lutra_quadratic_free(lutra_quadratic *quadratic);

/* What hangs together by chance in few samples is not to be relied on: the part that covariances of `n`
 * numbers lose, n over the number of samples, 0.9 at most. Of samples that count differently: the sums of
 * their weights and of these squared. It matters where only a picture's pooled token is multiplied. */
double lutra_shrinkage(size_t n, double weight, double square_weight);

#endif
