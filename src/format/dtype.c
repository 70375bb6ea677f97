/* SPDX-License-Identifier: Apache-2.0 */
#include "format/dtype.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [LUTRA_F64] = {"F64", 8},   [LUTRA_F32] = {"F32", 4},         [LUTRA_F16] = {"F16", 2},
    [LUTRA_BF16] = {"BF16", 2}, [LUTRA_I64] = {"I64", 8},         [LUTRA_I32] = {"I32", 4},
    [LUTRA_I16] = {"I16", 2},   [LUTRA_I8] = {"I8", 1},           [LUTRA_U64] = {"U64", 8},
    [LUTRA_U32] = {"U32", 4},   [LUTRA_U16] = {"U16", 2},         [LUTRA_U8] = {"U8", 1},
    [LUTRA_BOOL] = {"BOOL", 1}, [LUTRA_F8_E4M3] = {"F8_E4M3", 1}, [LUTRA_F8_E5M2] = {"F8_E5M2", 1},
};

#define N_DTYPES (sizeof dtypes / sizeof *dtypes)

const char *lutra_dtype_name(lutra_dtype dtype)
{
    return (size_t)dtype < N_DTYPES ? dtypes[dtype].name : "unknown";
}

size_t lutra_dtype_size(lutra_dtype dtype)
{
    return (size_t)dtype < N_DTYPES ? dtypes[dtype].size : 0;
}

bool lutra_dtype_parse(const char *name, lutra_dtype *dtype)
{
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *dtype = (lutra_dtype)i;
            return true;
        }
    }
    return false;
}

bool lutra_dtype_is_weight(lutra_dtype dtype)
{
    return dtype == LUTRA_F64 || dtype == LUTRA_F32 || dtype == LUTRA_F16 || dtype == LUTRA_BF16;
}
