/* SPDX-License-Identifier: Apache-2.0 */
/* Fits costs to measured times. */
#ifndef LUTRA_PROFILE_LEAST_SQUARES_H
#define LUTRA_PROFILE_LEAST_SQUARES_H

#include <stdbool.h>
#include <stddef.h>

#define LUTRA_MAX_UNKNOWNS 12

/* The costs `x` [n], none below 0, for which the sum over the `m` rows of (1 - a x / y)^2 is least: relative
 * errors, so that short measurements count as much as long ones. `a` [m][n], `y` [m] above 0. False where the
 * rows do not determine them. */
bool lutra_fit_costs(const double *a, const double *y, size_t m, size_t n, double *x);

#endif
