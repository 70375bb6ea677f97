/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_FORMAT_DTYPE_H
#define LUTRA_FORMAT_DTYPE_H

#include "lutra/lutra.h"

/* From safetensors' name ("BF16"); false where unknown. */
bool lutra_dtype_parse(const char *name, lutra_dtype *dtype);

/* True for the types that weights come in: F64, F32, F16, BF16. */
bool lutra_dtype_is_weight(lutra_dtype dtype);

#endif
