/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/spending.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "compress/cluster_config.h"
#include "compress/cluster_output.h"
#include "compress/width_loss.h"

/* Of the loss of all matrices together to the sum of what was measured of each: a first guess, on which only
 * the number of rounds depends. */
#define FIRST_RATIO 0.8
/* A loss in this part of what is allowed is good enough, and this one is aimed at. */
#define NEAR_ENOUGH 0.85
#define AIM 0.93
#define MAX_ROUNDS 6

static bool is_sound(const lutra_tensor_report *tensor)
{
    size_t below = 1;
    for (size_t i = 0; i < LUTRA_N_WIDTH_LOSSES; i++) {
        const lutra_width_loss *loss = &tensor->sensitivity[i];
        if (loss->n_clusters <= below || !(loss->kl >= 0 && loss->kl < INFINITY))
            return false;
        below = loss->n_clusters;
    }
    return true;
}

/* The sensitivities that an earlier report of the same source has; whether it has all. */
static bool recall(const lutra_cluster_report *known, const char *source, size_t n,
                   lutra_tensor_report *tensors)
{
    if (!known || strcmp(known->source_sha256, source) != 0 || known->n_tensors != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const lutra_tensor_report *tensor = &known->tensors[i];
        if (!tensor->is_measured || strcmp(tensor->name, tensors[i].name) != 0 || !is_sound(tensor))
            return false;
        memcpy(tensors[i].sensitivity, tensor->sensitivity, sizeof tensor->sensitivity);
        tensors[i].is_measured = true;
    }
    return true;
}

/* With integers, 8 bits could tell apart what the grid does not hold: 7 are the most. */
static void fill_widths(const lutra_cluster_options *options, const lutra_matrix *matrix,
                        const lutra_tensor_report *tensor, lutra_widths *widths)
{
    widths->n_weights = (uint64_t)matrix->n * matrix->k;
    widths->n_widths = options->codebook == LUTRA_CODEBOOK_F32 ? 8 : 7;
    for (size_t i = 0; i < widths->n_widths; i++) {
        widths->at[i].n_clusters = (size_t)2 << i;
        widths->at[i].bytes = lutra_clustered_bytes(options, matrix, widths->at[i].n_clusters);
    }
    lutra_estimate_widths(tensor->sensitivity, LUTRA_N_WIDTH_LOSSES, widths);
}

lutra_status lutra_spending_create(lutra_spending *s, const lutra_model *model,
                                   const lutra_cluster_options *options, const char *source, lutra_job *job,
                                   lutra_thread_pool *pool, lutra_tensor_report *tensors, lutra_error *error)
{
    const size_t n = lutra_model_n_matrices(model);
    lutra_status status;
    *s = (lutra_spending){.options = options, .ratio = FIRST_RATIO};
    for (size_t i = 0; i < n; i++)
        snprintf(tensors[i].name, sizeof tensors[i].name, "%s", lutra_model_matrix(model, i)->name);
    if (!recall(options->known, source, n, tensors) &&
        (status = lutra_measure_width_losses(model, options, job, pool, tensors, error)))
        return status;
    if ((status = lutra_allocate(n, sizeof *s->widths, "a budget", &s->widths, error)))
        return status;
    for (size_t i = 0; i < n; i++)
        fill_widths(options, &lutra_model_matrix(model, i)->matrix, &tensors[i], &s->widths[i]);
    if ((status = lutra_curve_create(s->widths, n, &s->curve, error)))
        return status;
    s->high = s->curve.n_upgrades + 1;
    s->point = lutra_curve_find(&s->curve, AIM * options->budget / s->ratio);
    return LUTRA_OK;
}

void lutra_spending_free(lutra_spending *s)
{
    lutra_curve_free(&s->curve);
    free(s->widths);
    *s = (lutra_spending){0};
}

bool lutra_spending_next(lutra_spending *s, double kl)
{
    const double allowed = s->options->budget;
    const size_t top = s->curve.n_upgrades;
    s->n_rounds++;
    s->ratio = kl / s->curve.points[s->point].kl;
    if (kl <= allowed)
        s->high = s->point;
    else
        s->low = s->point + 1;
    if (kl <= allowed && kl >= NEAR_ENOUGH * allowed)
        return false;
    if (s->n_rounds >= MAX_ROUNDS && s->low < s->high) /* the best that is known, or all there is */
        s->low = s->high <= top ? s->high : top;
    if (s->low >= s->high) {
        const size_t last = s->point;
        s->point = s->high <= top ? s->high : top;
        return s->point != last;
    }
    s->point = lutra_curve_find(&s->curve, AIM * allowed / s->ratio);
    s->point = s->point < s->low ? s->low : s->point >= s->high ? s->high - 1 : s->point;
    return true;
}
