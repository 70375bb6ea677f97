/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vector/neon.h"

#include "kernels/layer_norm/vector.h"
