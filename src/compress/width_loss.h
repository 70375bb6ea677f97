/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the model's output suffers where one matrix alone is clustered: measured at a few widths, from
 * that matrix's product on; for other widths it is estimated (budget.h). The matrix is calibrated, in the
 * quick way, on other pictures than those that judge: calibration helps some matrices far more than others.
 */
#ifndef LUTRA_COMPRESS_WIDTH_LOSS_H
#define LUTRA_COMPRESS_WIDTH_LOSS_H

#include "base/thread_pool.h"
#include "compress/job.h"

/* Fills the sensitivity of `tensors` [n_matrices of the model]: 32 of the calibration pictures of `options`,
 * taken evenly, judge (half of fewer than 64), and matrices are calibrated for the others. The model has
 * classes. */
lutra_status lutra_measure_width_losses(const lutra_model *model, const lutra_cluster_options *options,
                                        lutra_job *job, lutra_thread_pool *pool, lutra_tensor_report *tensors,
                                        lutra_error *error);

#endif
