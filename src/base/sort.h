/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers in ascending order, for medians and other quantiles. */
#ifndef LUTRA_BASE_SORT_H
#define LUTRA_BASE_SORT_H

#include <stddef.h>

void lutra_sort(double *numbers, size_t n); /* none of them is NaN */

#endif
