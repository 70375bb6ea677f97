/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model's budget: its matrices' sensitivities, what each width of theirs takes, and, for a budget of loss,
 * the search along the curve for the point where the measured loss is what was asked for.
 */
#ifndef LUTRA_COMPRESS_SPENDING_H
#define LUTRA_COMPRESS_SPENDING_H

#include "base/thread_pool.h"
#include "compress/budget.h"
#include "compress/job.h"

typedef struct lutra_spending {
    const lutra_cluster_options *options;
    lutra_widths *widths; /* [n_matrices] */
    lutra_curve curve;
    /* The search: points below `low` lose too much, `high` and those above it do not. */
    size_t point, low, high;
    double ratio; /* of the measured loss to the curve's */
    size_t n_rounds;
} lutra_spending;

/* Measures the sensitivities, or takes them from options->known; they go to `tensors` [n_matrices]. `source`
 * is the source's sum. To be freed either way. */
lutra_status lutra_spending_create(lutra_spending *spending, const lutra_model *model,
                                   const lutra_cluster_options *options, const char *source, lutra_job *job,
                                   lutra_thread_pool *pool, lutra_tensor_report *tensors, lutra_error *error);
void lutra_spending_free(lutra_spending *spending);

/* `spending->point` was tried and lost `kl`: true where another is to be tried, which it then is; false where
 * this one is to be kept, or, if it lost too much, none is good enough. */
bool lutra_spending_next(lutra_spending *spending, double kl);

#endif
