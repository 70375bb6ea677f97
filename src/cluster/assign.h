/* SPDX-License-Identifier: Apache-2.0 */
/* The nearest entry of a codebook, and the scale that fits a row best given its entries. */
#ifndef LUTRA_CLUSTER_ASSIGN_H
#define LUTRA_CLUSTER_ASSIGN_H

#include <stddef.h>
#include <stdint.h>

#define LUTRA_ASSIGN_CELLS 1024

/* The largest scale that keeps every weight finite, whichever of the entries (ascending) it has. */
double lutra_largest_scale(const float *entries, size_t n);

/* Entries in ascending order, ready for many look-ups. */
typedef struct lutra_nearest {
    const float *entries; /* [n]; the caller's */
    size_t n;
    float borders[256];                /* halfway between neighbours; infinity after the last entry */
    float low, per_cell;               /* x lies in cell (x - low) * per_cell */
    uint8_t start[LUTRA_ASSIGN_CELLS]; /* the first entry that a value of the cell can be nearest to */
} lutra_nearest;

void lutra_nearest_prepare(lutra_nearest *nearest, const float *entries, size_t n);

/* indices [k]: the entry nearest to x[i] / scale, the lower of two equally near ones. scale > 0. */
void lutra_nearest_of_row(const lutra_nearest *nearest, const float *x, size_t k, double scale,
                          uint8_t *indices);

/* Sums over a row: of x * entry and of entry^2. Their quotient is the least-squares scale. */
void lutra_row_moments(const float *entries, const float *x, const uint8_t *indices, size_t k,
                       double *product, double *square);

/* Sum of (x - scale * entry)^2, with the product rounded to float as it is when the row is decoded. */
double lutra_row_error(const float *entries, const float *x, const uint8_t *indices, size_t k, float scale);

#endif
