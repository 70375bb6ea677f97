/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_MODEL_POSITION_H
#define LUTRA_MODEL_POSITION_H

#include "base/error.h"

/* Resamples a position embedding to another grid as PyTorch's bicubic F.interpolate(align_corners=False):
 * `from` [from_height * from_width][dim] -> `to` [to_height * to_width][dim]. `antialias` widens the kernel
 * when the grid shrinks and uses a = -0.5 instead of -0.75, as PyTorch does. Takes no more memory than the
 * larger grid does. Errors: MEMORY. */
lutra_status lutra_resample_positions(const float *from, size_t from_height, size_t from_width, float *to,
                                      size_t to_height, size_t to_width, size_t dim, bool antialias,
                                      lutra_error *error);

#endif
