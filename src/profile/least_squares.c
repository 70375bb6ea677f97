/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/least_squares.h"

#include <math.h>

typedef struct equations {
    double a[LUTRA_MAX_UNKNOWNS][LUTRA_MAX_UNKNOWNS + 1]; /* [n][n] and the right side */
    size_t n;
} equations;

/* The normal equations of the unknowns that are not held at 0. */
static void set_up(equations *e, const double *a /* [m][n] */, const double *y, size_t m, size_t n,
                   const bool *held)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= n; j++)
            e->a[i][j] = held[i] && i == j ? 1 : 0;
    e->n = n;
    for (size_t row = 0; row < m; row++)
        for (size_t i = 0; i < n; i++) {
            if (held[i])
                continue;
            const double weight = a[row * n + i] / (y[row] * y[row]);
            for (size_t j = 0; j < n; j++)
                e->a[i][j] += held[j] ? 0 : weight * a[row * n + j];
            e->a[i][n] += weight * y[row];
        }
}

static void swap_rows(equations *e, size_t one, size_t other)
{
    for (size_t j = 0; j <= e->n; j++) {
        const double kept = e->a[one][j];
        e->a[one][j] = e->a[other][j];
        e->a[other][j] = kept;
    }
}

/* Gauss-Jordan elimination with the largest pivot of a column. */
static bool solve(equations *e, double *x)
{
    for (size_t column = 0; column < e->n; column++) {
        size_t pivot = column;
        for (size_t i = column; i < e->n; i++)
            if (fabs(e->a[i][column]) > fabs(e->a[pivot][column]))
                pivot = i;
        if (!(fabs(e->a[pivot][column]) > 1e-300))
            return false;
        swap_rows(e, column, pivot);
        for (size_t i = 0; i < e->n; i++) {
            const double factor = e->a[i][column] / e->a[column][column];
            for (size_t j = column; i != column && j <= e->n; j++)
                e->a[i][j] -= factor * e->a[column][j];
        }
    }
    for (size_t i = 0; i < e->n; i++)
        x[i] = e->a[i][e->n] / e->a[i][i];
    return true;
}

bool lutra_fit_costs(const double *a, const double *y, size_t m, size_t n, double *x)
{
    bool held[LUTRA_MAX_UNKNOWNS] = {false};
    equations e;
    /* Each round holds the most negative cost at 0, until none is. */
    for (size_t round = 0; round <= n; round++) {
        size_t worst = n;
        set_up(&e, a, y, m, n, held);
        if (!solve(&e, x))
            return false;
        for (size_t i = 0; i < n; i++)
            if (x[i] < 0 && (worst == n || x[i] < x[worst]))
                worst = i;
        if (worst == n)
            return true;
        held[worst] = true;
    }
    return false;
}
