/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/budget.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

/* Logarithms stay finite: below what f32 outputs can tell, and beyond what any answer loses. */
#define LEAST_KL 1e-12
#define MOST_KL 1e12

static double limited(double kl)
{
    return fmin(fmax(kl, LEAST_KL), MOST_KL);
}

void lutra_estimate_widths(const lutra_width_loss *measured, size_t n_measured, lutra_widths *widths)
{
    for (size_t i = 0; i < widths->n_widths; i++) {
        const double bits = (double)i + 1;
        size_t right = 1;
        while (right + 1 < n_measured && log2((double)measured[right].n_clusters) < bits)
            right++;
        const lutra_width_loss *a = &measured[right - 1], *b = &measured[right];
        const double from = log2((double)a->n_clusters), to = log2((double)b->n_clusters);
        const double part = (bits - from) / (to - from);
        widths->at[i].kl = limited(exp((1 - part) * log(limited(a->kl)) + part * log(limited(b->kl))));
    }
}

/* The upgrades of one matrix: the lower convex hull of loss over bytes, whose slopes fall. */
static size_t add_upgrades(const lutra_widths *widths, size_t matrix, lutra_upgrade *to)
{
    size_t n = 0;
    for (size_t from = 0, best = 0; from + 1 < widths->n_widths; from = best) {
        double most = 0;
        for (size_t i = from + 1; i < widths->n_widths; i++) {
            const double bytes = (double)widths->at[i].bytes - (double)widths->at[from].bytes;
            const double gain = (widths->at[from].kl - widths->at[i].kl) / bytes;
            if (gain > most) {
                most = gain;
                best = i;
            }
        }
        if (most <= 0)
            break;
        to[n++] = (lutra_upgrade){.matrix = matrix, .from = from, .to = best, .gain = most};
    }
    return n;
}

/* Falling gain; equal ones in the order of the model, so that results do not depend on the sort. */
static int by_gain(const void *a_, const void *b_)
{
    const lutra_upgrade *a = a_, *b = b_;
    if (a->gain != b->gain)
        return a->gain > b->gain ? -1 : 1;
    if (a->matrix != b->matrix)
        return a->matrix < b->matrix ? -1 : 1;
    return a->from < b->from ? -1 : a->from > b->from;
}

/* The loss of all matrices, each with its width. Summed anew for each point: what is left of a large sum
 * after subtractions may be nothing but rounding. */
static double loss_of(const lutra_curve *curve)
{
    double kl = 0;
    for (size_t i = 0; i < curve->n_matrices; i++)
        kl += curve->matrices[i].at[curve->width[i]].kl;
    return kl;
}

/* Bytes and bits of a point after an upgrade. */
static lutra_budget_point after(const lutra_curve *curve, lutra_budget_point point,
                                const lutra_upgrade *upgrade)
{
    const lutra_widths *widths = &curve->matrices[upgrade->matrix];
    const double weights = (double)widths->n_weights / (double)curve->n_weights;
    point.bytes += widths->at[upgrade->to].bytes - widths->at[upgrade->from].bytes;
    point.bits += weights * (double)(upgrade->to - upgrade->from);
    return point;
}

lutra_status lutra_curve_create(const lutra_widths *matrices, size_t n_matrices, lutra_curve *curve,
                                lutra_error *error)
{
    const size_t most = n_matrices * (LUTRA_MAX_WIDTH - 1);
    lutra_status status;
    *curve = (lutra_curve){.matrices = matrices, .n_matrices = n_matrices};
    if ((status = lutra_allocate(most, sizeof *curve->upgrades, "a budget", &curve->upgrades, error)) ||
        (status = lutra_allocate(most + 1, sizeof *curve->points, "a budget", &curve->points, error)) ||
        (status = lutra_allocate(n_matrices, sizeof *curve->width, "a budget", &curve->width, error)))
        return status;
    lutra_budget_point start = {.bits = 1};
    for (size_t i = 0; i < n_matrices; i++) {
        curve->n_upgrades += add_upgrades(&matrices[i], i, curve->upgrades + curve->n_upgrades);
        curve->n_weights += matrices[i].n_weights;
        start.bytes += matrices[i].at[0].bytes;
    }
    qsort(curve->upgrades, curve->n_upgrades, sizeof *curve->upgrades, by_gain);
    start.kl = loss_of(curve);
    curve->points[0] = start;
    for (size_t i = 0; i < curve->n_upgrades; i++) {
        const lutra_upgrade *upgrade = &curve->upgrades[i];
        curve->width[upgrade->matrix] = upgrade->to;
        curve->points[i + 1] = after(curve, curve->points[i], upgrade);
        curve->points[i + 1].kl = loss_of(curve);
    }
    return LUTRA_OK;
}

void lutra_curve_free(lutra_curve *curve)
{
    free(curve->upgrades);
    free(curve->points);
    free(curve->width);
    *curve = (lutra_curve){0};
}

size_t lutra_curve_find(const lutra_curve *curve, double kl)
{
    size_t point = 0;
    while (point < curve->n_upgrades && curve->points[point].kl > kl)
        point++;
    return point;
}

static void tell_clusters(const lutra_curve *curve, size_t *n_clusters)
{
    for (size_t i = 0; i < curve->n_matrices; i++)
        n_clusters[i] = curve->matrices[i].at[curve->width[i]].n_clusters;
}

void lutra_curve_at(const lutra_curve *curve, size_t point, size_t *n_clusters)
{
    memset(curve->width, 0, curve->n_matrices * sizeof *curve->width);
    for (size_t i = 0; i < point; i++)
        curve->width[curve->upgrades[i].matrix] = curve->upgrades[i].to;
    tell_clusters(curve, n_clusters);
}

bool lutra_curve_choose(const lutra_curve *curve, lutra_budget_unit unit, double limit, size_t *n_clusters,
                        lutra_budget_point *chosen)
{
    const double slack = 1e-9; /* sums of parts that make 4.0 bits may say 4.000...01 */
    lutra_budget_point point = curve->points[0];
    memset(curve->width, 0, curve->n_matrices * sizeof *curve->width);
    if ((unit == LUTRA_BUDGET_BITS ? point.bits : (double)point.bytes) > limit * (1 + slack))
        return false;
    for (size_t i = 0; i < curve->n_upgrades; i++) {
        const lutra_upgrade *upgrade = &curve->upgrades[i];
        const lutra_budget_point next = after(curve, point, upgrade);
        if (curve->width[upgrade->matrix] != upgrade->from || /* the one before it did not fit */
            (unit == LUTRA_BUDGET_BITS ? next.bits : (double)next.bytes) > limit * (1 + slack))
            continue;
        curve->width[upgrade->matrix] = upgrade->to;
        point = next;
    }
    tell_clusters(curve, n_clusters);
    point.kl = loss_of(curve);
    *chosen = point;
    return true;
}
