/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spends a budget: which matrix gets how many bits. Losses of matrices are taken to add up, so that the best
 * choices for all budgets at once lie on one curve: from one bit everywhere, step by step the upgrade that
 * lowers the loss most for the bytes it takes (the Lagrangian's solutions; Everett 1963).
 *
 *     lutra_curve_create(matrices, n, &curve, error);
 *     lutra_curve_choose(&curve, LUTRA_BUDGET_BITS, 4.0, n_clusters);    // or
 *     lutra_curve_at(&curve, point, n_clusters);
 */
#ifndef LUTRA_COMPRESS_BUDGET_H
#define LUTRA_COMPRESS_BUDGET_H

#include "base/error.h"

#define LUTRA_MAX_WIDTH 8

/* What a matrix costs with 1..n_widths bits an index, at [bits - 1]. */
typedef struct lutra_widths {
    uint64_t n_weights;
    size_t n_widths;
    struct {
        size_t n_clusters; /* the most that these bits can tell apart */
        uint64_t bytes;    /* of indices, codebook and scales */
        double kl;
    } at[LUTRA_MAX_WIDTH];
} lutra_widths;

typedef struct lutra_upgrade {
    size_t matrix, from, to; /* widths, bits - 1 */
    double gain;             /* loss that a byte more takes away */
} lutra_upgrade;

typedef struct lutra_curve {
    const lutra_widths *matrices; /* [n_matrices] the caller's */
    size_t n_matrices, n_upgrades;
    uint64_t n_weights;
    lutra_upgrade *upgrades;    /* [n_upgrades] in the order in which they are made */
    lutra_budget_point *points; /* [n_upgrades + 1]: before them, after the first, ..., after all */
    size_t *width;              /* [n_matrices] */
} lutra_curve;

/* The loss for each width from those measured at some cluster counts (ascending): its logarithm is a line
 * between two of them, and goes on as it ends beyond. */
void lutra_estimate_widths(const lutra_width_loss *measured, size_t n_measured, lutra_widths *widths);

lutra_status lutra_curve_create(const lutra_widths *matrices, size_t n_matrices, lutra_curve *curve,
                                lutra_error *error);
void lutra_curve_free(lutra_curve *curve);

/* The first point whose loss is at most `kl`; the last one where none is. */
size_t lutra_curve_find(const lutra_curve *curve, double kl);
/* The clusters [n_matrices] at a point. */
void lutra_curve_at(const lutra_curve *curve, size_t point, size_t *n_clusters);
/* Those that lose least within `limit`: bytes of all matrices, or mean bits of an index. Where the next
 * upgrade does not fit, later ones still may. False where not even one bit everywhere fits. */
bool lutra_curve_choose(const lutra_curve *curve, lutra_budget_unit unit, double limit, size_t *n_clusters,
                        lutra_budget_point *chosen);

#endif
