/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vector/avx2.h"

#include "kernels/layer_norm/vector.h"
