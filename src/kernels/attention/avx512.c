/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vector/avx512.h"

#include "kernels/attention/vector.h"
