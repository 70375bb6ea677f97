/* SPDX-License-Identifier: Apache-2.0 */
/* Time, traffic and energy of each step on a described device: the roofline (Williams et al. 2009) with what
 * the kernels lose against it. */
#include "base/error.h"
#include "format/dtype.h"
#include "model/mode.h"
#include "model/model_private.h"

/* What a step asks of a device. */
typedef struct work {
    double macs;                             /* of its product, in the mode */
    double peak_macs;                        /* that a core does in a cycle, with the kernels' share */
    double vector_work;                      /* all else, in multiply-adds of f32 */
    uint64_t weight_bytes, activation_bytes; /* read; read and written */
} work;

typedef struct target {
    const lutra_device *device;
    const lutra_vit *vit;
    lutra_mode mode;
    size_t n_threads, batch;
    double clock; /* of a core while n_threads work */
    /* Of the whole run, to tell what stays in which cache. */
    uint64_t weight_bytes, most_activation_bytes;
} target;

/* A matrix as the mode's products read it: dense weights are brought to int8 once, a byte each and a scale a
 * row. */
static uint64_t weight_bytes_in(lutra_mode mode, const lutra_step *step, const lutra_step_info *info)
{
    if (step->op != LUTRA_OP_GEMM || mode != LUTRA_MODE_INT8 || !step->linear.weight->matrix.dense)
        return info->weight_bytes;
    const lutra_matrix *matrix = &step->linear.weight->matrix;
    const uint64_t n_weights = (uint64_t)matrix->n * matrix->k;
    return info->weight_bytes - n_weights * lutra_dtype_size(matrix->dtype) + n_weights +
           matrix->n * sizeof(float);
}

static void ask_gemm(const target *t, const lutra_step *step, const lutra_step_info *info, work *w)
{
    const lutra_device *device = t->device;
    const lutra_efficiency *e = &device->efficiency;
    const lutra_matrix *matrix = &step->linear.weight->matrix;
    const double rows = (double)t->batch * (double)info->m, n = (double)info->n, k = (double)info->k;
    w->macs = rows * n * k;
    w->vector_work = rows * n * (e->output + (step->activation != LUTRA_IDENTITY ? e->gelu : 0));
    if (t->mode == LUTRA_MODE_INT8) {
        w->peak_macs = device->macs_per_cycle_i8 * (matrix->dense ? e->share_dense_i8 : e->share_i8);
        w->vector_work += rows * k * e->quantise + (matrix->dense ? 0 : n * k * e->index_i8);
    } else {
        w->peak_macs = e->share_f32 * (t->mode == LUTRA_MODE_BF16 ? device->macs_per_cycle_bf16
                                                                  : device->macs_per_cycle_f32);
        w->vector_work += n * k * (matrix->dense ? e->dense_f32 : e->index_f32);
    }
}

static work ask(const target *t, const lutra_step *step, const lutra_step_info *info)
{
    const lutra_efficiency *e = &t->device->efficiency;
    const double batch = (double)t->batch, numbers = (double)info->written_bytes / sizeof(float);
    work w = {.weight_bytes = weight_bytes_in(t->mode, step, info),
              .activation_bytes = t->batch * (info->read_bytes + info->written_bytes),
              .peak_macs = t->device->macs_per_cycle_f32 * e->share_attention};
    switch (step->op) {
    case LUTRA_OP_GEMM:
        ask_gemm(t, step, info, &w);
        break;
    case LUTRA_OP_ATTENTION:
        w.macs = batch * (double)info->macs;
        w.vector_work = batch * (double)info->m * (double)info->m * (double)t->vit->n_heads * e->score;
        break;
    case LUTRA_OP_LAYER_NORM:
        w.vector_work = batch * numbers * e->norm;
        break;
    case LUTRA_OP_PATCHES:
    case LUTRA_OP_TOKENS:
    case LUTRA_OP_MEAN:
    case LUTRA_OP_AVERAGE:
    case LUTRA_OP_COPY:
        w.vector_work = batch * (double)(info->read_bytes + info->written_bytes) / sizeof(float) * e->move;
        break;
    }
    return w;
}

/* Of a cache, what the threads have: those of other cores lie idle. */
static double cache_bytes(const target *t, const lutra_cache *cache)
{
    const size_t n = (t->n_threads + cache->shared_by - 1) / cache->shared_by;
    return (double)n * (double)cache->bytes;
}

/* When runs follow each other, a cache that holds all weights and the activations of one step keeps them; in
 * a smaller one each weight is pushed out by those behind it before it is used again. */
static bool keeps_weights(const target *t, const lutra_cache *cache)
{
    return (double)(t->weight_bytes + t->most_activation_bytes) <= cache_bytes(t, cache);
}

static bool keeps_activations(const target *t, const lutra_cache *cache, const work *w)
{
    return (double)w->activation_bytes <= cache_bytes(t, cache);
}

static const char *const cache_names[] = {"L1", "L2", "L3", "L4"};

/* The level that takes the longest to deliver what does not come from the level before it -> memory_seconds.
 */
static void move_bytes(const target *t, const work *w, lutra_step_prediction *p)
{
    const lutra_device *device = t->device;
    uint64_t bytes = w->weight_bytes + w->activation_bytes; /* that a level must deliver */
    for (size_t i = 0; i < device->n_caches; i++) {
        const lutra_cache *cache = &device->caches[i];
        const double rate = cache->bytes_per_second * (double)t->n_threads;
        if (rate > 0 && (double)bytes / rate > p->memory_seconds) {
            p->memory_seconds = (double)bytes / rate;
            p->bound = cache_names[i];
        }
        bytes = keeps_weights(t, cache) ? 0 : w->weight_bytes;
        bytes += keeps_activations(t, cache, w) ? 0 : w->activation_bytes;
    }
    p->dram_bytes = bytes;
    const double rate = t->n_threads == 1 ? device->dram_one_core : device->dram_all_cores;
    if ((double)bytes / rate > p->memory_seconds) {
        p->memory_seconds = (double)bytes / rate;
        p->bound = "DRAM";
    }
}

static double pj_of_macs(const target *t, const lutra_step *step, double macs)
{
    const bool in_int8 = step->op == LUTRA_OP_GEMM && t->mode == LUTRA_MODE_INT8;
    return macs * (in_int8 ? t->device->pj_mac_i8 : t->device->pj_mac_f32);
}

static void predict_step(const target *t, const lutra_step *step, lutra_step_prediction *p)
{
    lutra_step_info info;
    lutra_step_describe(t->vit, step, &info);
    const work w = ask(t, step, &info);
    const double cycles = w.macs / w.peak_macs + w.vector_work / t->device->macs_per_cycle_f32;
    *p = (lutra_step_prediction){
        .compute_seconds = cycles / (t->clock * (double)t->n_threads),
        .macs = (uint64_t)w.macs,
        .weight_bytes = w.weight_bytes,
        .activation_bytes = w.activation_bytes,
    };
    move_bytes(t, &w, p);
    if (p->compute_seconds >= p->memory_seconds)
        p->bound = "compute";
    p->seconds = p->compute_seconds > p->memory_seconds ? p->compute_seconds : p->memory_seconds;
    p->millijoules = 1e-9 * (pj_of_macs(t, step, w.macs) + (double)p->dram_bytes * t->device->pj_dram_byte);
}

lutra_status lutra_predict(const lutra_model *model, const lutra_device *device,
                           const lutra_prediction_options *options, lutra_step_prediction *steps,
                           lutra_error *error)
{
    target t = {.device = device,
                .vit = &model->vit,
                .mode = options->mode,
                .n_threads = options->n_threads ? options->n_threads : device->n_cores,
                .batch = options->batch ? options->batch : 1};
    if (t.mode == LUTRA_MODE_AUTO)
        t.mode = lutra_choose_mode_of(model, true, device->macs_per_cycle_bf16 > device->macs_per_cycle_f32);
    if (t.n_threads > device->n_cores)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu threads on %s, which has %zu cores", t.n_threads, device->name,
                          device->n_cores);
    t.clock = t.n_threads == 1 ? device->clock : device->clock_all;
    for (size_t i = 0; i < model->plan.n_steps; i++) {
        lutra_step_info info;
        lutra_step_describe(&model->vit, &model->plan.steps[i], &info);
        const uint64_t activations = t.batch * (info.read_bytes + info.written_bytes);
        t.weight_bytes += weight_bytes_in(t.mode, &model->plan.steps[i], &info);
        if (activations > t.most_activation_bytes)
            t.most_activation_bytes = activations;
    }
    for (size_t i = 0; i < model->plan.n_steps; i++)
        predict_step(&t, &model->plan.steps[i], &steps[i]);
    return LUTRA_OK;
}
