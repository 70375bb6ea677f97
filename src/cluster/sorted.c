/* SPDX-License-Identifier: Apache-2.0 */
/* The exact alternative to the histogram: every distinct value is a bin of its own. */
#include "cluster/histogram.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "cluster/float_key.h"

#define DIGIT_BITS 11
#define N_DIGITS 2048u
#define N_PASSES 3 /* 33 bits hold 32 */

typedef struct item {
    uint32_t key;
    float root; /* the scale of its row; the weight is its square */
} item;

typedef struct collection {
    item *items;
    size_t n;
} collection;

static void collect_row(void *collection_, const float *x, size_t k, double weight)
{
    collection *c = collection_;
    const float root = (float)sqrt(weight); /* exact: the weight is the square of a float */
    for (size_t i = 0; i < k; i++)
        c->items[c->n++] = (item){lutra_float_to_key(x[i]), root};
}

/* Stable, from the lowest digit up; the sorted items end in `other` (an odd number of passes). */
static void radix_sort(item *items, item *other, size_t n)
{
    for (unsigned pass = 0; pass < N_PASSES; pass++) {
        size_t start[N_DIGITS] = {0}, at = 0;
        for (size_t i = 0; i < n; i++)
            start[items[i].key >> pass * DIGIT_BITS & (N_DIGITS - 1)]++;
        for (size_t digit = 0; digit < N_DIGITS; digit++) {
            const size_t count = start[digit];
            start[digit] = at;
            at += count;
        }
        for (size_t i = 0; i < n; i++)
            other[start[items[i].key >> pass * DIGIT_BITS & (N_DIGITS - 1)]++] = items[i];
        item *swapped = items;
        items = other;
        other = swapped;
    }
}

static size_t count_distinct(const item *items, size_t n)
{
    size_t distinct = n > 0;
    for (size_t i = 1; i < n; i++)
        distinct += items[i].key != items[i - 1].key;
    return distinct;
}

static void make_bins(const item *items, size_t n, lutra_bins *result)
{
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || items[i].key != items[i - 1].key)
            result->bins[++last].edge = (double)lutra_key_to_float(items[i].key);
        result->bins[last].weight += (double)items[i].root * items[i].root;
    }
}

lutra_status lutra_sort_values(const lutra_values *values, lutra_bins *result, lutra_error *error)
{
    collection c = {0};
    item *sorted = NULL;
    *result = (lutra_bins){0};
    lutra_status status;
    if (values->n_values >= UINT32_MAX)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                          "%" PRIu64 " weights are too many to be sorted for exact clustering",
                          values->n_values);
    if ((status =
             lutra_allocate((size_t)values->n_values, sizeof *sorted, "sorted weights", &c.items, error)) ||
        (status = lutra_allocate((size_t)values->n_values, sizeof *sorted, "sorted weights", &sorted, error)))
        goto cleanup;
    for (size_t chunk = 0; chunk < values->n_chunks; chunk++)
        lutra_values_for_chunk(values, chunk, 0, collect_row, &c);
    radix_sort(c.items, sorted, c.n);
    free(c.items);
    c.items = NULL;
    result->n = count_distinct(sorted, c.n);
    status = lutra_allocate(result->n, sizeof *result->bins, "sorted weights", &result->bins, error);
    if (status == LUTRA_OK)
        make_bins(sorted, c.n, result);
cleanup:
    free(c.items);
    free(sorted);
    return status;
}
