/* SPDX-License-Identifier: Apache-2.0 */
/* Cholesky's factor in double precision. */
#ifndef LUTRA_CLUSTER_CHOLESKY_H
#define LUTRA_CLUSTER_CHOLESKY_H

#include "base/thread_pool.h"

/* a [n][n], symmetric, of which the lower triangle is read -> the lower triangular L with a = L L^T, with
 * nothing of use above the diagonal. ARGUMENT where a is not positive definite. Deterministic on any number
 * of threads. */
lutra_status lutra_cholesky(double *a, size_t n, lutra_thread_pool *pool, lutra_error *error);

/* x [n] becomes (L L^T)^-1 x. */
void lutra_cholesky_solve(const double *lower /* [n][n] */, size_t n, double *x);

#endif
