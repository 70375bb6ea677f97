/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small matrix of any floats, clustered in any way: a matrix with a NaN or an infinity is refused, of every
 * other the codebook ascends, indices lie within it, what it decodes to is finite, no row with a scale of its
 * own is worse than zeros, the reported errors are those of the result, two threads give the same bytes as
 * one, and a codebook of free floats (whose optimum is promised) costs no more than evenly spread entries
 * would.
 */
#include "cluster/cluster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { MAX_WEIGHTS = 1024 };

typedef struct matrix {
    size_t n, k;
    float x[MAX_WEIGHTS]; /* [n][k] */
} matrix;

typedef struct result {
    lutra_clustering clustering;
    uint8_t indices[MAX_WEIGHTS];
    float scale[MAX_WEIGHTS];
} result;

static lutra_thread_pool *pools[2];

static void read_row(const void *matrix_, size_t row, float *out)
{
    const matrix *m = matrix_;
    memcpy(out, m->x + row * m->k, m->k * sizeof *out);
}

static lutra_clustering_options choose(fuzz_bytes *bytes, matrix *m)
{
    lutra_clustering_options options = {.n_clusters = 2 + fuzz_take(bytes)};
    const uint8_t flags = fuzz_take(bytes);
    options.per_row = flags & 1;
    options.i8_grid = flags & 2;
    options.exact = flags & 4;
    m->k = 1 + fuzz_take(bytes) % 64;
    /* Floats of any bits, or small multiples of a power of two: equal and evenly spread values are rare
     * among the former. */
    const bool plain = flags & 8;
    const float unit = ldexpf(1, (int)(flags >> 4) * 16 - 120);
    const size_t size = plain ? 1 : sizeof(float);
    const size_t n = bytes->size / size < MAX_WEIGHTS ? bytes->size / size : MAX_WEIGHTS;
    m->n = n / m->k;
    for (size_t i = 0; i < m->n * m->k; i++)
        if (plain)
            m->x[i] = (float)(int8_t)bytes->data[i] * unit;
        else
            memcpy(&m->x[i], bytes->data + i * size, size);
    return options;
}

static lutra_status cluster(const matrix *m, const lutra_clustering_options *options, size_t n_threads,
                            result *r, lutra_error *error)
{
    const lutra_row_source source = {m->n, m->k, read_row, m};
    lutra_thread_pool **pool = &pools[n_threads - 1];
    if (!*pool)
        fuzz_require(lutra_thread_pool_create(n_threads, pool, NULL) == LUTRA_OK);
    memset(r, 0, sizeof *r);
    r->clustering.indices = r->indices;
    r->clustering.scale = r->scale;
    return lutra_cluster_matrix(&source, options, *pool, &r->clustering, error);
}

static void check_codebook(const lutra_codebook *codebook, const lutra_clustering_options *options)
{
    fuzz_require(codebook->n_clusters >= 2 && codebook->n_clusters <= options->n_clusters);
    fuzz_require(codebook->optimality_gap >= 0);
    for (size_t i = 0; i < 256; i++) {
        const float entry = codebook->entries[i];
        fuzz_require(isfinite(entry));
        fuzz_require(i < codebook->n_clusters ? i == 0 || entry >= codebook->entries[i - 1]
                                              : fpclassify(entry) == FP_ZERO);
        if (options->i8_grid)
            fuzz_require(fabsf(entry) <= 127 && fabsf(rintf(entry) - entry) <= 0);
    }
}

static void check_result(const matrix *m, const lutra_clustering_options *options, const result *r)
{
    const lutra_clustering *c = &r->clustering;
    double error = 0, weight = 0;
    check_codebook(&c->codebook, options);
    for (size_t i = 0; i < m->n * m->k; i++) {
        fuzz_require(c->indices[i] < c->codebook.n_clusters);
        const float scale = c->scale[options->per_row ? i / m->k : 0];
        const float decoded = scale * c->codebook.entries[c->indices[i]];
        fuzz_require(isfinite(scale) && scale >= 0 && isfinite(decoded));
        const double difference = (double)m->x[i] - (double)decoded;
        error += difference * difference;
        weight += (double)m->x[i] * (double)m->x[i];
    }
    /* Sums of the same terms in another order. */
    fuzz_require(fabs(c->squared_error - error) <= 1e-9 * error);
    fuzz_require(fabs(c->squared_weight - weight) <= 1e-12 * weight);
}

/* But for roundings: of the scale and of weights to floats, the least of which are 2^-149 apart. */
static void check_rows(const matrix *m, const result *r)
{
    const lutra_clustering *c = &r->clustering;
    for (size_t row = 0; row < m->n; row++) {
        double error = 0, weight = 0;
        for (size_t i = row * m->k; i < (row + 1) * m->k; i++) {
            const double x = (double)m->x[i];
            const double difference = x - (double)(c->scale[row] * c->codebook.entries[c->indices[i]]);
            error += difference * difference;
            weight += x * x;
        }
        fuzz_require(error <= weight * (1 + 1e-6) + (double)m->k * 0x1p-296);
    }
}

/* The squared error with as many entries at even distances from the least to the greatest weight. */
static double even_error(const matrix *m, size_t n_entries)
{
    double low = INFINITY, high = -INFINITY, error = 0;
    for (size_t i = 0; i < m->n * m->k; i++) {
        low = fmin(low, (double)m->x[i]);
        high = fmax(high, (double)m->x[i]);
    }
    const double step = (high - low) / (double)(n_entries - 1);
    for (size_t i = 0; i < m->n * m->k; i++) {
        const double x = (double)m->x[i];
        const double difference = step > 0 ? x - (low + step * rint((x - low) / step)) : 0;
        error += difference * difference;
    }
    return error;
}

static bool all_finite(const matrix *m)
{
    for (size_t i = 0; i < m->n * m->k; i++)
        if (!isfinite(m->x[i]))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static matrix m;
    static result one, two;
    lutra_error error;
    fuzz_bytes bytes = {data, size};
    const lutra_clustering_options options = choose(&bytes, &m);
    const bool finite = all_finite(&m);
    const lutra_status status = cluster(&m, &options, 1, &one, &error);
    if (status) {
        fuzz_require(!finite || m.n == 0 || options.n_clusters > (options.i8_grid ? 255 : 256));
        fuzz_require_error(status, &error);
        return 0;
    }
    fuzz_require(finite);
    check_result(&m, &options, &one);
    if (options.per_row)
        check_rows(&m, &one);
    fuzz_require(cluster(&m, &options, 2, &two, &error) == LUTRA_OK);
    fuzz_require(memcmp(one.indices, two.indices, sizeof one.indices) == 0);
    fuzz_require(memcmp(one.scale, two.scale, sizeof one.scale) == 0);
    fuzz_require(memcmp(&one.clustering.codebook, &two.clustering.codebook, sizeof(lutra_codebook)) == 0);
    fuzz_require(memcmp(&one.clustering.squared_error, &two.clustering.squared_error, sizeof(double)) == 0);
    /* docs/clustering.md: at most a thousandth above the optimum; entries are rounded to floats, of which the
     * least are 2^-149 apart. */
    if (!options.per_row && !options.i8_grid)
        fuzz_require(one.clustering.squared_error <= 1.001 * even_error(&m, options.n_clusters) +
                                                         1e-12 * one.clustering.squared_weight +
                                                         (double)(m.n * m.k) * 0x1p-298);
    return 0;
}
