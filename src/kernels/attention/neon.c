/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vector/neon.h"

#include "kernels/attention/vector.h"
