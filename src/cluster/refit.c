/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "cluster/assign.h"
#include "cluster/search.h"

#define N_CHUNKS 16 /* of rows: each has its own sums, whoever computes them */
#define MAX_ENTRY 127
#define N_STEPS 25
#define STEP_SPREAD 0.25
#define MAX_SWEEPS 50

/* The cost as a function of the entries c: c^T normal c - 2 right^T c + ...; `numerator` / `denominator` is
 * the change of a scale that all rows share. */
typedef struct sums {
    double *normal, *right; /* [clusters][clusters], [clusters] */
    double numerator, denominator;
} sums;

typedef struct refit {
    lutra_search *s;
    size_t m; /* clusters */
    sums chunks[N_CHUNKS];
    float *rows;     /* [threads][m][k] H's rows, added up by index */
    double *squares; /* [threads][m][m] */
} refit;

static void refit_row(const refit *f, size_t row, sums *to, float *by_index, double *square)
{
    const lutra_search *s = f->s;
    const size_t k = s->k, m = f->m;
    const uint8_t *indices = s->indices + row * k;
    const float *gradient = s->gradient + row * k;
    double right[256] = {0}, along = 0, across = 0;
    memset(by_index, 0, m * k * sizeof *by_index);
    memset(square, 0, m * m * sizeof *square);
    for (size_t j = 0; j < k; j++) {
        float *sum = by_index + indices[j] * k;
        const float *moment = s->norm->moment + j * k;
        for (size_t i = 0; i < k; i++)
            sum[i] += moment[i];
        right[indices[j]] += (double)gradient[j];
    }
    for (size_t a = 0; a < m; a++)
        for (size_t i = 0; i < k; i++)
            square[a * m + indices[i]] += (double)by_index[a * k + i];
    const float *c = s->codebook.entries;
    double image[256];
    for (size_t a = 0; a < m; a++) {
        image[a] = 0;
        for (size_t b = 0; b < m; b++)
            image[a] += square[a * m + b] * (double)c[b];
        along += (double)c[a] * right[a];
        across += (double)c[a] * image[a];
    }
    const double old = (double)s->scale[row], fitted = old + along / across;
    const bool fits = across > 0 && fitted > 0 && fitted <= lutra_largest_scale(c, m);
    const double scale = s->per_row && fits ? fitted : old;
    s->scale[row] = (float)scale;
    for (size_t a = 0; a < m; a++) {
        to->right[a] += scale * (old * image[a] + right[a]);
        for (size_t b = 0; b < m; b++)
            to->normal[a * m + b] += scale * scale * square[a * m + b];
    }
}

static void refit_chunk(void *refit_, size_t chunk, size_t worker)
{
    refit *f = refit_;
    const size_t n = f->s->n, first = chunk * n / N_CHUNKS, end = (chunk + 1) * n / N_CHUNKS;
    for (size_t row = first; row < end; row++)
        if (f->s->scale[row] > 0)
            refit_row(f, row, &f->chunks[chunk], f->rows + worker * f->m * f->s->k,
                      f->squares + worker * f->m * f->m);
}

/* c^T normal c - 2 right^T c */
static double value_of(const sums *all, const double *c, size_t m, double *along, double *across)
{
    *along = *across = 0;
    for (size_t a = 0; a < m; a++) {
        double image = 0;
        for (size_t b = 0; b < m; b++)
            image += all->normal[a * m + b] * c[b];
        *along += all->right[a] * c[a];
        *across += image * c[a];
    }
    return *across - 2 * *along;
}

/* Free entries: coordinate descent from those there are converges to the least squares and leaves entries
 * that nothing uses where they are. With `step`: integers in units of it. */
static void descend_entries(const sums *all, double *c, size_t m, double step)
{
    for (int sweep = 0; sweep < MAX_SWEEPS; sweep++) {
        bool changed = false;
        for (size_t a = 0; a < m; a++) {
            const double diagonal = all->normal[a * m + a];
            double gradient = all->right[a];
            if (!(diagonal > 0))
                continue;
            for (size_t b = 0; b < m; b++)
                gradient -= all->normal[a * m + b] * c[b];
            double wanted = c[a] + gradient / diagonal;
            if (step > 0)
                wanted = step * fmax(-MAX_ENTRY, fmin(MAX_ENTRY, round(wanted / step)));
            changed = changed || fabs(wanted - c[a]) > 1e-7 * fabs(c[a]);
            c[a] = wanted;
        }
        if (!changed)
            return;
    }
}

/* The integers and their step. */
static double fit_integers(const sums *all, const double *free_c, size_t m, double *best)
{
    double least = INFINITY, best_step = 1;
    for (int i = 0; i < N_STEPS; i++) {
        const double step = 1 + STEP_SPREAD * (2.0 * i / (N_STEPS - 1) - 1);
        double c[256], along, across;
        for (size_t a = 0; a < m; a++)
            c[a] = step * fmax(-MAX_ENTRY, fmin(MAX_ENTRY, round(free_c[a] / step)));
        descend_entries(all, c, m, step);
        value_of(all, c, m, &along, &across);
        if (across > 0 && along > 0 && -along * along / across < least) {
            least = -along * along / across;
            best_step = step * along / across;
            for (size_t a = 0; a < m; a++)
                best[a] = round(c[a] / step);
        }
    }
    return least < INFINITY ? best_step : 0;
}

/* Ascending again, and the indices with them. */
static void sort_entries(lutra_search *s)
{
    const size_t m = s->codebook.n_clusters;
    size_t place[256];
    uint8_t moved[256];
    float entries[256];
    for (size_t i = 0; i < m; i++) {
        size_t j = i;
        for (; j > 0 && s->codebook.entries[place[j - 1]] > s->codebook.entries[i]; j--)
            place[j] = place[j - 1];
        place[j] = i;
    }
    for (size_t i = 0; i < m; i++) {
        moved[place[i]] = (uint8_t)i;
        entries[i] = s->codebook.entries[place[i]];
    }
    memcpy(s->codebook.entries, entries, m * sizeof *entries);
    for (size_t i = 0; i < s->n * s->k; i++)
        s->indices[i] = moved[s->indices[i]];
}

static void refit_entries(lutra_search *s, const sums *all)
{
    const size_t m = s->codebook.n_clusters;
    double c[256], integers[256], step = 1;
    for (size_t a = 0; a < m; a++)
        c[a] = (double)s->codebook.entries[a];
    descend_entries(all, c, m, 0);
    for (size_t a = 0; a < m; a++)
        if (!(fabs(c[a]) <= (double)FLT_MAX)) /* the sums were too large: the entries stay */
            return;
    if (s->codebook.is_i8) {
        step = fit_integers(all, c, m, integers);
        if (step == 0)
            return;
        memcpy(c, integers, m * sizeof *c);
    }
    for (size_t a = 0; a < m; a++)
        s->codebook.entries[a] = (float)c[a];
    sort_entries(s);
    const double most = lutra_largest_scale(s->codebook.entries, m);
    for (size_t row = 0; row < s->n; row++)
        s->scale[row] = (float)fmin(step * (double)s->scale[row], most);
}

lutra_status lutra_refit(lutra_search *s, lutra_error *error)
{
    static const char what[] = "the fit of a codebook";
    const size_t m = s->codebook.n_clusters, n_threads = lutra_thread_pool_size(s->pool);
    refit f = {.s = s, .m = m};
    double *all = NULL;
    lutra_status status;
    if ((status = lutra_allocate((size_t)N_CHUNKS * (m + 1) * m, sizeof *all, what, &all, error)) ||
        (status = lutra_allocate(n_threads * m * s->k, sizeof *f.rows, what, &f.rows, error)) ||
        (status = lutra_allocate(n_threads * m * m, sizeof *f.squares, what, &f.squares, error)))
        goto cleanup;
    for (size_t i = 0; i < N_CHUNKS; i++) {
        f.chunks[i].normal = all + i * (m + 1) * m;
        f.chunks[i].right = f.chunks[i].normal + m * m;
    }
    lutra_thread_pool_run(s->pool, N_CHUNKS, refit_chunk, &f);
    for (size_t i = 1; i < N_CHUNKS; i++)
        for (size_t j = 0; j < (m + 1) * m; j++)
            all[j] += f.chunks[i].normal[j];
    refit_entries(s, &f.chunks[0]);
    lutra_search_measure(s);
cleanup:
    free(all);
    free(f.rows);
    free(f.squares);
    return status;
}
