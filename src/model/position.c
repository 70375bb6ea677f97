/* SPDX-License-Identifier: Apache-2.0 */
/* Cubic convolution: Keys 1981, "Cubic convolution interpolation for digital image processing". */
#include "model/position.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/size.h"

static double cubic(double x, double a)
{
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return ((x - 5) * x + 8) * x * a - 4 * a;
    return 0;
}

/* The weights of one output position along an axis: taps [n_taps] of inputs, clamped to the axis. */
struct taps {
    ptrdiff_t first;
    size_t n;
};

static struct taps weigh(size_t from, size_t to, size_t position, bool antialias, double *weights)
{
    const double ratio = (double)from / (double)to;
    const double stretch = antialias && ratio > 1 ? ratio : 1;
    const double a = antialias ? -0.5 : -0.75;
    const double centre = ratio * ((double)position + 0.5) - 0.5; /* in the inputs' coordinates */
    struct taps taps = {.first = (ptrdiff_t)floor(centre - 2 * stretch) + 1};
    const ptrdiff_t last = (ptrdiff_t)ceil(centre + 2 * stretch) - 1;
    double sum = 0;
    for (ptrdiff_t i = taps.first; i <= last; i++) {
        /* With antialiasing, inputs beyond the border do not count; without, the border is repeated. */
        const bool outside = i < 0 || i >= (ptrdiff_t)from;
        weights[taps.n] = antialias && outside ? 0 : cubic(((double)i - centre) / stretch, a);
        sum += weights[taps.n++];
    }
    for (size_t i = 0; i < taps.n; i++)
        weights[i] /= sum;
    return taps;
}

static size_t clamp(ptrdiff_t index, size_t n)
{
    return index < 0 ? 0 : (size_t)index >= n ? n - 1 : (size_t)index;
}

/* One axis: `outer` x `from` x `inner` -> `outer` x `to` x `inner`. */
static lutra_status resample_axis(const float *source, float *target, size_t outer, size_t from, size_t to,
                                  size_t inner, bool antialias, lutra_error *error)
{
    double *weights;
    lutra_status status =
        lutra_allocate(4 * (from / to + 2) + 8, sizeof *weights, "interpolation weights", &weights, error);
    if (status)
        return status;
    for (size_t position = 0; position < to; position++) {
        const struct taps taps = weigh(from, to, position, antialias, weights);
        for (size_t o = 0; o < outer; o++) {
            for (size_t i = 0; i < inner; i++) {
                double sum = 0;
                for (size_t t = 0; t < taps.n; t++)
                    sum +=
                        weights[t] * source[(o * from + clamp(taps.first + (ptrdiff_t)t, from)) * inner + i];
                target[(o * to + position) * inner + i] = (float)sum;
            }
        }
    }
    free(weights);
    return LUTRA_OK;
}

lutra_status lutra_resample_positions(const float *from, size_t from_height, size_t from_width, float *to,
                                      size_t to_height, size_t to_width, size_t dim, bool antialias,
                                      lutra_error *error)
{
    /* The smaller of [from_height][to_width][dim] and [to_height][from_width][dim]: of two numbers whose
     * product is that of the two grids' sizes, it is no larger than the larger grid. */
    float *half;
    size_t n_x_first, n_y_first, n;
    if (!lutra_size_multiply(from_height, to_width, &n_x_first) ||
        !lutra_size_multiply(to_height, from_width, &n_y_first) ||
        !lutra_size_multiply(lutra_smaller(n_x_first, n_y_first), dim, &n))
        return lutra_fail_memory(error, SIZE_MAX, "a position embedding");
    lutra_status status = lutra_allocate(n, sizeof *half, "a position embedding", &half, error);
    if (status)
        return status;
    if (n_x_first <= n_y_first) {
        status = resample_axis(from, half, from_height, from_width, to_width, dim, antialias, error);
        if (status == LUTRA_OK)
            status = resample_axis(half, to, 1, from_height, to_height, to_width * dim, antialias, error);
    } else {
        status = resample_axis(from, half, 1, from_height, to_height, from_width * dim, antialias, error);
        if (status == LUTRA_OK)
            status = resample_axis(half, to, to_height, from_width, to_width, dim, antialias, error);
    }
    free(half);
    return status;
}
