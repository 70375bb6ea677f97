/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models with random weights: sums and products of integers turned into floats, without a function of the
 * maths library, so that a seed gives the same file on every machine.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "compress/job.h"
#include "format/json.h"
#include "model/vit.h"

#define PIECE_ELEMENTS ((size_t)1 << 18)

typedef struct random_job {
    lutra_job job;
    const lutra_vit_arch *arch;
    lutra_writer *writer;
    uint64_t state;
    size_t n_tensors, at; /* the tensor at hand while they are written */
    float *values;        /* [PIECE_ELEMENTS] */
} random_job;

/* SplitMix64 (G. Steele, D. Lea, C. Flood: Fast splittable pseudorandom number generators, OOPSLA 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Mean 0, variance 1: the sum of four 15-bit numbers is nearly normal, and one value in 16 is three times as
 * large, for the long tails that trained weights have. */
static float random_normal(uint64_t *state)
{
    const uint64_t r = next_random(state);
    const int32_t sum = (int32_t)(r & 0x7fff) + (int32_t)(r >> 15 & 0x7fff) + (int32_t)(r >> 30 & 0x7fff) +
                        (int32_t)(r >> 45 & 0x7fff) - 2 * 0x7fff;
    const float unit = (float)sum * (float)(1.0 / 18918.0); /* its standard deviation: sqrt(4 / 12) 2^15 */
    const float whole = unit * 0.81649658f;                 /* sqrt(1 / (15/16 + 9/16)) */
    return r >> 60 ? whole : 3 * whole;
}

static uint64_t n_elements_of(const lutra_tensor_spec *spec)
{
    uint64_t n = 1;
    for (size_t i = 0; i < spec->rank; i++)
        n *= spec->shape[i];
    return n;
}

static lutra_status declare_tensor(void *job, const lutra_tensor_spec *spec, lutra_error *error)
{
    random_job *c = job;
    size_t slot;
    c->n_tensors++;
    c->job.total += n_elements_of(spec);
    return lutra_writer_declare(c->writer, spec->name, LUTRA_F32, spec->rank, spec->shape, &slot, error);
}

/* Mean and spread as trained vision transformers have them: matrices that neither amplify nor quench, those
 * that end a residual branch smaller with depth; norms near one; biases and embeddings small. */
static void spread_of(const random_job *c, const lutra_tensor_spec *spec, float *mean, float *spread)
{
    *mean = 0;
    *spread = 0.02f;
    switch (spec->role) {
    case LUTRA_NORM1_WEIGHT:
    case LUTRA_NORM2_WEIGHT:
    case LUTRA_NORM_WEIGHT:
        *mean = 1;
        *spread = 0.1f;
        return;
    case LUTRA_SCALE1:
    case LUTRA_SCALE2:
        *mean = 0.5f;
        *spread = 0.1f;
        return;
    case LUTRA_PROJ_WEIGHT:
    case LUTRA_FC2_WEIGHT:
        *spread = (float)sqrt(1.0 / (2.0 * (double)c->arch->depth * (double)spec->shape[1]));
        return;
    default:
        if (spec->is_matrix)
            *spread = (float)sqrt((double)spec->shape[0] / (double)n_elements_of(spec));
    }
}

static lutra_status write_tensor(void *job, const lutra_tensor_spec *spec, lutra_error *error)
{
    random_job *c = job;
    const size_t slot = c->at++;
    const uint64_t n = n_elements_of(spec);
    lutra_status status = LUTRA_OK;
    float mean, spread;
    spread_of(c, spec, &mean, &spread);
    for (uint64_t first = 0; first < n && status == LUTRA_OK; first += PIECE_ELEMENTS) {
        const size_t count = n - first < PIECE_ELEMENTS ? (size_t)(n - first) : PIECE_ELEMENTS;
        for (size_t i = 0; i < count; i++)
            c->values[i] = mean + spread * random_normal(&c->state);
        status = lutra_writer_write(c->writer, slot, (size_t)first * sizeof(float), c->values,
                                    count * sizeof(float), error);
        if (status == LUTRA_OK)
            status = lutra_job_advance(&c->job, spec->name, count, error);
    }
    return status;
}

static lutra_status begin(random_job *c, lutra_error *error)
{
    lutra_vit_settings settings;
    lutra_vit_settings_init(&settings);
    lutra_vit_settings_from_arch(c->arch, &settings);
    settings.preprocessing.height = settings.preprocessing.width = c->arch->image_size;
    json_t *json = lutra_vit_settings_to_lutra(&settings);
    char *description;
    lutra_status status =
        lutra_json_text(json, JSON_COMPACT, "the output's description", &description, error);
    if (status == LUTRA_OK)
        status = lutra_begin_dense(c->writer, description, error);
    free(description);
    json_decref(json);
    lutra_vit_settings_free(&settings);
    return status;
}

lutra_status lutra_random_file(const char *arch, uint64_t seed, const char *output, lutra_progress progress,
                               void *progress_user, lutra_error *error)
{
    random_job c = {.job = {.progress = progress, .user = progress_user},
                    .arch = lutra_vit_arch_find(arch, strlen(arch)),
                    .state = seed};
    if (!c.arch)
        return lutra_vit_arch_unknown(arch, NULL, error);
    lutra_status status = lutra_allocate(PIECE_ELEMENTS, sizeof(float), "random weights", &c.values, error);
    if (status || (status = lutra_writer_create(output, &c.writer, error)) ||
        (status = lutra_vit_arch_tensors(c.arch, declare_tensor, &c, error)) || (status = begin(&c, error)) ||
        (status = lutra_vit_arch_tensors(c.arch, write_tensor, &c, error)))
        goto cleanup;
    status = lutra_writer_commit(c.writer, NULL, error);
cleanup:
    lutra_writer_free(c.writer);
    free(c.values);
    return status;
}
