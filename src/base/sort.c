/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sort.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void lutra_sort(double *numbers, size_t n)
{
    qsort(numbers, n, sizeof *numbers, compare);
}
