/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/quadratic.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cluster/cholesky.h"

/* Added to the diagonal of the moments, as part of its mean: directions that the calibration pictures do not
 * show must not be free. */
#define DAMPING 0.01
/* The same of the moments about 0, at least: where inputs hardly vary, what is left of their moments about
 * the mean is the rounding of f32 sums. Inputs of trained models are far from that: with these it takes a
 * hundredth of the variance to matter, and they have more than half of their second moment. */
#define LEAST_DAMPING 1e-4
#define MAX_SHRINKAGE 0.9

double lutra_shrinkage(size_t n, double weight, double square_weight)
{
    const double n_seen = weight * weight / square_weight; /* as many of equal weight */
    return fmin(MAX_SHRINKAGE, (double)n / n_seen);
}

/* E[x_i x_j], or their covariance. Rounding may leave less than nothing of a variance. */
static double moment_of(const lutra_moments *m, size_t i, size_t j, bool centred)
{
    const double n = m->weight;
    const double moment = m->second[i * m->k + j] / n - (centred ? m->first[i] / n * (m->first[j] / n) : 0);
    return i == j ? fmax(moment, 0) : moment;
}

typedef struct place {
    double moment;
    size_t input;
} place;

static int by_moment(const void *a_, const void *b_)
{
    const place *a = a_, *b = b_;
    if (a->moment != b->moment)
        return a->moment < b->moment ? -1 : 1;
    return a->input < b->input ? -1 : 1;
}

static lutra_status order_inputs(const lutra_moments *m, bool centred, lutra_quadratic *q, lutra_error *error)
{
    place *places = NULL;
    lutra_status status = lutra_allocate(m->k, sizeof *places, "the order of inputs", &places, error);
    if (status)
        return status;
    for (size_t i = 0; i < m->k; i++)
        places[i] = (place){moment_of(m, i, i, centred), i};
    qsort(places, m->k, sizeof *places, by_moment);
    for (size_t i = 0; i < m->k; i++)
        q->order[i] = places[i].input;
    free(places);
    return LUTRA_OK;
}

static double mean_on_diagonal(const lutra_moments *m, bool centred)
{
    double sum = 0;
    for (size_t i = 0; i < m->k; i++)
        sum += moment_of(m, i, i, centred);
    return sum / (double)m->k;
}

/* Moments that no float can hold are as good as none: all inputs count alike. */
static double damping_of(const lutra_moments *m, bool centred)
{
    const double damping =
        fmax(DAMPING * mean_on_diagonal(m, centred), LEAST_DAMPING * mean_on_diagonal(m, false));
    return damping >= (double)FLT_MIN ? damping : 1;
}

static void fill(const lutra_moments *m, bool centred, double damping, lutra_quadratic *q,
                 double *h /* [k][k] */)
{
    const size_t k = m->k;
    const double shrinkage = lutra_shrinkage(k, m->weight, m->square_weight);
    for (size_t i = 0; i < k; i++) {
        for (size_t j = 0; j < k; j++)
            h[i * k + j] = (i == j ? 1 : 1 - shrinkage) * moment_of(m, q->order[i], q->order[j], centred);
        h[i * k + i] += damping;
    }
    for (size_t i = 0; i < k * k; i++)
        q->moment[i] = (float)h[i];
}

static void take_factor(const double *lower /* [k][k] */, lutra_quadratic *q)
{
    const size_t k = q->k;
    for (size_t r = 0; r < k; r++) {
        const double diagonal = lower[r * k + r];
        q->pivot[r] = diagonal * diagonal;
        for (size_t i = r; i < k; i++)
            q->factor[r * k + i] = (float)(lower[i * k + r] / diagonal);
    }
}

lutra_status lutra_quadratic_create(const lutra_moments *moments, bool centred, lutra_thread_pool *pool,
                                    lutra_quadratic *q, lutra_error *error)
{
    static const char what[] = "the norm of a matrix";
    const size_t k = moments->k;
    double *h = NULL;
    lutra_status status;
    *q = (lutra_quadratic){.k = k};
    if ((status = lutra_allocate(k, sizeof *q->order, what, &q->order, error)) ||
        (status = lutra_allocate(k * k, sizeof *q->moment, what, &q->moment, error)) ||
        (status = lutra_allocate(k * k, sizeof *q->factor, what, &q->factor, error)) ||
        (status = lutra_allocate(k, sizeof *q->pivot, what, &q->pivot, error)) ||
        (status = lutra_allocate(k * k, sizeof *h, what, &h, error)) ||
        (status = order_inputs(moments, centred, q, error)))
        goto cleanup;
    /* Many inputs that do not vary at all may leave more by rounding than the damping makes up for. */
    double damping = damping_of(moments, centred);
    do {
        fill(moments, centred, damping, q, h);
        damping *= 10;
        status = lutra_cholesky(h, k, pool, error);
    } while (status == LUTRA_ERROR_ARGUMENT && isfinite(damping));
    if (status == LUTRA_OK)
        take_factor(h, q);
cleanup:
    free(h);
    return status;
}

void lutra_quadratic_free(lutra_quadratic *q)
{
    free(q->order);
    free(q->moment);
    free(q->factor);
    free(q->pivot);
    *q = (lutra_quadratic){0};
}
