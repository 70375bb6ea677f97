/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/assign.h"

#include <float.h>
#include <math.h>

double lutra_largest_scale(const float *entries, size_t n)
{
    const double largest = fmax(fabs((double)entries[0]), fabs((double)entries[n - 1]));
    return FLT_MAX / fmax(largest, 1) * (1 - 1e-6);
}

/* Monotone in x, so that a border in an earlier cell lies below every value of a later one. */
static inline int cell_of(const lutra_nearest *nearest, float x)
{
    float cell = (x - nearest->low) * nearest->per_cell;
    cell = cell > 0 ? cell : 0;
    return cell < LUTRA_ASSIGN_CELLS - 1 ? (int)cell : LUTRA_ASSIGN_CELLS - 1;
}

/* The floats above it are those above `x` itself: no value changes sides. */
static float rounded_down(double x)
{
    const float rounded = (float)x;
    return (double)rounded > x ? nextafterf(rounded, -INFINITY) : rounded;
}

void lutra_nearest_prepare(lutra_nearest *nearest, const float *entries, size_t n)
{
    nearest->entries = entries;
    nearest->n = n;
    for (size_t i = 0; i + 1 < n; i++)
        nearest->borders[i] = rounded_down(((double)entries[i] + (double)entries[i + 1]) / 2);
    nearest->borders[n - 1] = INFINITY;
    nearest->low = n > 1 ? nearest->borders[0] : 0;
    const double range = n > 1 ? (double)nearest->borders[n - 2] - (double)nearest->low : 0;
    const double per_cell = LUTRA_ASSIGN_CELLS / range;
    /* Borders all in one place, or too close to be told apart by a float: one cell for all. */
    nearest->per_cell = per_cell < FLT_MAX && range < FLT_MAX ? (float)per_cell : 0;
    size_t border = 0;
    for (int cell = 0; cell < LUTRA_ASSIGN_CELLS; cell++) {
        while (border + 1 < n && cell_of(nearest, nearest->borders[border]) < cell)
            border++;
        nearest->start[cell] = (uint8_t)border;
    }
}

void lutra_nearest_of_row(const lutra_nearest *nearest, const float *x, size_t k, double scale,
                          uint8_t *indices)
{
    enum { BLOCK = 64 }; /* the first loop over each becomes vector code */
    const double inverse = 1 / scale;
    for (size_t first = 0; first < k; first += BLOCK) {
        const size_t n = k - first < BLOCK ? k - first : BLOCK;
        float values[BLOCK];
        int cells[BLOCK];
        for (size_t i = 0; i < n; i++) {
            values[i] = (float)(x[first + i] * inverse);
            cells[i] = cell_of(nearest, values[i]);
        }
        for (size_t i = 0; i < n; i++) {
            size_t index = nearest->start[cells[i]];
            while (values[i] > nearest->borders[index])
                index++;
            indices[first + i] = (uint8_t)index;
        }
    }
}

void lutra_row_moments(const float *entries, const float *x, const uint8_t *indices, size_t k,
                       double *product, double *square)
{
    /* Four sums each: additions need not wait for each other. */
    double p[4] = {0}, s[4] = {0};
    for (size_t i = 0; i < k; i++) {
        const double entry = entries[indices[i]];
        p[i % 4] += x[i] * entry;
        s[i % 4] += entry * entry;
    }
    *product = (p[0] + p[1]) + (p[2] + p[3]);
    *square = (s[0] + s[1]) + (s[2] + s[3]);
}

double lutra_row_error(const float *entries, const float *x, const uint8_t *indices, size_t k, float scale)
{
    double sum[4] = {0};
    for (size_t i = 0; i < k; i++) {
        const double difference = (double)x[i] - (double)(scale * entries[indices[i]]);
        sum[i % 4] += difference * difference;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
