/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_MODEL_FINITE_H
#define LUTRA_MODEL_FINITE_H

#include "format/safetensors.h"

/* LUTRA_ERROR_FORMAT names the tensor and the byte of the first NaN or infinity in a tensor of F64, F32, F16
 * or BF16, or of the first double that no finite float holds. */
lutra_status lutra_check_finite(const lutra_tensor *tensor, lutra_error *error);

#endif
