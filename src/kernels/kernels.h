/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The levels of kernels, and how one is chosen at run time. Each operation lies in a folder of its own with
 * its interface (gemm/gemm.h), its reference and one file per level; kernels.inc lists them all.
 */
#ifndef LUTRA_KERNELS_H
#define LUTRA_KERNELS_H

#include "base/error.h"

typedef struct lutra_kernels lutra_kernels;

/* The table of the best supported level, or of the one that LUTRA_ISA names. */
lutra_status lutra_kernels_select(const lutra_kernels **kernels, lutra_error *error);

/* The `index`-th level of the list, supported here or not; NULL beyond the last. */
const lutra_kernels *lutra_kernels_level(size_t index);
bool lutra_kernels_supported(const lutra_kernels *kernels);
const char *lutra_kernels_name(const lutra_kernels *kernels);

#endif
