/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster/values.h"

#include <stdlib.h>

#include "base/memory.h"

/* Large enough that a chunk's own histogram costs little beside its values. */
#define VALUES_PER_CHUNK 131072
#define MAX_CHUNKS 16

lutra_status lutra_values_create(const lutra_row_source *sources, size_t n_sources, const float *scale,
                                 const lutra_thread_pool *pool, lutra_values *values, lutra_error *error)
{
    *values = (lutra_values){.sources = sources, .n_sources = n_sources, .scale = scale};
    for (size_t i = 0; i < n_sources; i++) {
        values->n_rows += sources[i].n;
        values->n_values += (uint64_t)sources[i].n * sources[i].k;
        if (sources[i].k > values->max_k)
            values->max_k = sources[i].k;
    }
    const uint64_t chunks = values->n_values / VALUES_PER_CHUNK + 1;
    values->n_chunks = chunks < MAX_CHUNKS ? (size_t)chunks : MAX_CHUNKS;
    if (values->n_chunks > values->n_rows)
        values->n_chunks = values->n_rows;
    /* A cache line more: the threads' rows do not share one. */
    return lutra_allocate(lutra_thread_pool_size(pool) * (values->max_k + LUTRA_ALIGNMENT), sizeof(float),
                          "rows of weights", &values->buffers, error);
}

void lutra_values_free(lutra_values *values)
{
    free(values->buffers);
    values->buffers = NULL;
}

static size_t first_row_of(const lutra_values *values, size_t chunk)
{
    const size_t each = values->n_rows / values->n_chunks, rest = values->n_rows % values->n_chunks;
    return chunk * each + (chunk < rest ? chunk : rest);
}

/* Division in double precision: the reciprocal of a denormal scale has no float. */
static void divide(float *x, size_t k, double scale)
{
    const double inverse = 1 / scale;
    for (size_t i = 0; i < k; i++)
        x[i] = (float)(x[i] * inverse);
}

void lutra_values_for_chunk(const lutra_values *values, size_t chunk, size_t worker, lutra_use_row *use,
                            void *job)
{
    float *x = values->buffers + worker * (values->max_k + LUTRA_ALIGNMENT);
    const size_t end = first_row_of(values, chunk + 1);
    size_t source = 0, row = first_row_of(values, chunk);
    size_t left = end - row;
    for (; left > 0 && row >= values->sources[source].n; source++)
        row -= values->sources[source].n;
    for (; left > 0; left--) {
        const lutra_row_source *from = &values->sources[source];
        const double scale = values->scale ? (double)values->scale[row] : 1;
        if (scale > 0) {
            from->read(from->matrix, row, x);
            if (values->scale)
                divide(x, from->k, scale);
            use(job, x, from->k, scale * scale);
        }
        row++;
        while (left > 1 && row >= values->sources[source].n) {
            source++;
            row = 0;
        }
    }
}
