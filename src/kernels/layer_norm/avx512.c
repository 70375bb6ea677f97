/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vector/avx512.h"

#include "kernels/layer_norm/vector.h"
