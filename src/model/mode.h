/* SPDX-License-Identifier: Apache-2.0 */
/* The compute mode where nobody names one. */
#ifndef LUTRA_MODEL_MODE_H
#define LUTRA_MODEL_MODE_H

#include "kernels/kernels.h"

/* What LUTRA_MODE_AUTO is for this model at this level, or on a machine that multiplies these types; the same
 * on every call. */
lutra_mode lutra_choose_mode(const lutra_model *model, const lutra_kernels *kernels);
lutra_mode lutra_choose_mode_of(const lutra_model *model, bool multiplies_i8, bool multiplies_bf16);

#endif
