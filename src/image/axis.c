/* SPDX-License-Identifier: Apache-2.0 */
#include "image/axis.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

#define PI 3.14159265358979323846

typedef struct filter {
    double (*weight)(double x);
    double support; /* weight(x) is 0 beyond it; 0: nearest neighbour */
} filter;

static double sinc(double x)
{
    return x == 0.0 ? 1.0 : sin(PI * x) / (PI * x);
}

static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Keys' cubic convolution with a = -1/2. */
static double bicubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x >= 1.0)
        return 0.0;
    /* The constants are floats in Pillow. */
    return x == 0.0 ? 1.0 : sin(PI * x) / (PI * x) * ((double)0.54f + (double)0.46f * cos(PI * x));
}

static const filter filters[] = {
    [0] = {NULL, 0.0},    [1] = {lanczos, 3.0}, [2] = {bilinear, 1.0},
    [3] = {bicubic, 2.0}, [4] = {box, 0.5},     [5] = {hamming, 1.0},
};

/* One output pixel takes one source pixel unchanged. */
static void copy_pixel(lutra_axis *axis, size_t output, size_t source)
{
    axis->taps[output] = (lutra_taps){source, 1};
    axis->weights[output * axis->max_taps] = 1 << LUTRA_WEIGHT_BITS;
}

/* Pillow steps along the source by repeated addition; so do we, or the last bit would differ at ties. A step
 * that ends beyond the source leaves the pixel black. */
static void plan_nearest(const lutra_axis_request *request, lutra_axis *axis)
{
    double step = (double)request->source / (double)request->resized;
    double position = step * 0.5;
    for (size_t i = 0; i < request->begin; i++)
        position += step;
    for (size_t i = 0; i < request->n_wanted; i++, position += step) {
        size_t source = (size_t)position;
        copy_pixel(axis, i, source < request->source ? source : request->source - 1);
        if (source >= request->source)
            axis->weights[i] = 0;
    }
}

static int32_t round_weight(double weight)
{
    double scaled = weight * (1 << LUTRA_WEIGHT_BITS);
    return (int32_t)(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

/* `exact` [max_taps] is room for the weights before rounding. */
static void plan_filtered(const lutra_axis_request *request, double scale, double stretch, double *exact,
                          lutra_axis *axis)
{
    const filter *chosen = &filters[request->resample];
    double support = chosen->support * stretch;
    for (size_t i = 0; i < request->n_wanted; i++) {
        double centre = ((double)(request->begin + i) + 0.5) * scale;
        double low = centre - support + 0.5, high = centre + support + 0.5;
        size_t first = low > 0 ? (size_t)low : 0;
        size_t end = high < (double)request->source ? (size_t)high : request->source;
        double sum = 0.0;
        for (size_t x = first; x < end; x++) {
            exact[x - first] = chosen->weight(((double)x - centre + 0.5) * (1.0 / stretch));
            sum += exact[x - first];
        }
        axis->taps[i] = (lutra_taps){first, end - first};
        for (size_t t = 0; t < end - first; t++)
            axis->weights[i * axis->max_taps + t] = round_weight(sum != 0.0 ? exact[t] / sum : exact[t]);
    }
}

/* Turns a plan over a mirrored source into one over the source as it is stored: taps and outputs both run
 * the other way. */
static void mirror(lutra_axis *axis, size_t source)
{
    for (size_t i = 0; i < axis->n_outputs; i++) {
        lutra_taps *taps = &axis->taps[i];
        int32_t *weights = axis->weights + i * axis->max_taps;
        taps->first = source - taps->first - taps->count;
        for (size_t a = 0, b = taps->count; a + 1 < b; a++) {
            int32_t swapped = weights[a];
            weights[a] = weights[--b];
            weights[b] = swapped;
        }
    }
    for (size_t a = 0, b = axis->n_outputs - 1; a < b; a++, b--) {
        lutra_taps swapped = axis->taps[a];
        axis->taps[a] = axis->taps[b];
        axis->taps[b] = swapped;
        for (size_t t = 0; t < axis->max_taps; t++) {
            int32_t *weights = axis->weights + t, weight = weights[a * axis->max_taps];
            weights[a * axis->max_taps] = weights[b * axis->max_taps];
            weights[b * axis->max_taps] = weight;
        }
    }
    axis->mirrored = true;
}

lutra_status lutra_axis_create(const lutra_axis_request *request, lutra_axis *axis, lutra_error *error)
{
    bool copies = request->resample == 0 || request->source == request->resized;
    double scale = (double)request->source / (double)request->resized;
    double stretch = scale < 1.0 ? 1.0 : scale; /* antialiasing: the filter widens with the reduction */
    double *exact = NULL;

    *axis = (lutra_axis){.n_outputs = request->n_wanted, .max_taps = 1};
    if (!copies) {
        const size_t taps = (size_t)ceil(filters[request->resample].support * stretch) * 2 + 1;
        axis->max_taps = taps < request->source ? taps : request->source;
    }
    lutra_status status =
        lutra_allocate(axis->n_outputs, sizeof *axis->taps, "a resize plan", &axis->taps, error);
    if (!status)
        status = lutra_allocate(axis->max_taps * axis->n_outputs, sizeof *axis->weights, "resize weights",
                                &axis->weights, error);
    if (!status)
        status = lutra_allocate(axis->max_taps, sizeof *exact, "resize weights", &exact, error);
    if (status)
        return status;

    if (request->source == request->resized) /* Pillow leaves such a pass out */
        for (size_t i = 0; i < request->n_wanted; i++)
            copy_pixel(axis, i, request->begin + i);
    else if (request->resample == 0)
        plan_nearest(request, axis);
    else
        plan_filtered(request, scale, stretch, exact, axis);
    free(exact);
    if (request->mirrored)
        mirror(axis, request->source);
    return LUTRA_OK;
}

void lutra_axis_free(lutra_axis *axis)
{
    free(axis->taps);
    free(axis->weights);
    *axis = (lutra_axis){0};
}
