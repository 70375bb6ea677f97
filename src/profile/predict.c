/* SPDX-License-Identifier: Apache-2.0 */
/* Time, traffic and energy of each step on a described device: the roofline (Williams et al. 2009) with what
 * the kernels lose against it. */
#include <stdlib.h>

#include "base/memory.h"
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
    const lutra_model *model;
    const lutra_vit *vit;
    lutra_mode mode;
    size_t n_threads, batch;
    uint64_t *beyond[LUTRA_MAX_CACHES]; /* [n_steps] each: bytes that come from beyond the cache */
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
    const bool gelu = step->activation != LUTRA_IDENTITY;
    if (t->mode == LUTRA_MODE_INT8) {
        w->vector_work = rows * n * (e->output_i8 + (gelu ? e->gelu_i8 : 0));
        w->peak_macs = device->macs_per_cycle_i8 * (matrix->dense ? e->share_dense_i8 : e->share_i8);
        w->vector_work += rows * k * e->quantise + n * k * (matrix->dense ? e->dense_i8 : e->index_i8);
    } else {
        w->vector_work = rows * n * (e->output + (gelu ? e->gelu : 0));
        w->peak_macs = e->share_f32 * (t->mode == LUTRA_MODE_BF16 ? device->macs_per_cycle_bf16
                                                                  : device->macs_per_cycle_f32);
        w->vector_work += n * k * (matrix->dense ? e->dense_f32 : e->index_f32);
    }
}

static void ask_attention(const target *t, const lutra_step_info *info, work *w)
{
    const lutra_efficiency *e = &t->device->efficiency;
    const bool bf16 = lutra_step_mode(info, t->mode) == LUTRA_MODE_BF16;
    const double scores = (double)info->m * (double)info->n;
    w->macs = (double)t->batch * (double)info->macs;
    w->vector_work = (double)t->batch * scores * (double)t->vit->n_heads * (bf16 ? e->score_bf16 : e->score);
    w->peak_macs = bf16 ? t->device->macs_per_cycle_bf16 * e->share_attention_bf16
                        : t->device->macs_per_cycle_f32 * e->share_attention;
}

static work ask(const target *t, const lutra_step *step, const lutra_step_info *info)
{
    const lutra_efficiency *e = &t->device->efficiency;
    const double batch = (double)t->batch, numbers = (double)info->written_bytes / sizeof(float);
    work w = {.weight_bytes = weight_bytes_in(t->mode, step, info),
              .activation_bytes = t->batch * (info->read_bytes + info->written_bytes),
              .peak_macs = t->device->macs_per_cycle_f32};
    switch (step->op) {
    case LUTRA_OP_GEMM:
        ask_gemm(t, step, info, &w);
        break;
    case LUTRA_OP_ATTENTION:
        ask_attention(t, info, &w);
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

static const char *const cache_names[LUTRA_MAX_CACHES] = {"L1", "L2", "L3", "L4"};

/* A level that takes longer than those before it. */
static void bind(lutra_step_prediction *p, uint64_t bytes, double rate, const char *level)
{
    if (rate > 0 && (double)bytes / rate > p->memory_seconds) {
        p->memory_seconds = (double)bytes / rate;
        p->bound = level;
    }
}

/* What each level must deliver is what the one before it does not hold, and the first one all. */
static void move_bytes(const target *t, size_t index, const work *w, lutra_step_prediction *p)
{
    const lutra_device *device = t->device;
    p->dram_bytes = w->weight_bytes + w->activation_bytes;
    for (size_t i = 0; i < device->n_caches; i++) {
        bind(p, p->dram_bytes, lutra_device_bandwidth(device, i, t->n_threads), cache_names[i]);
        p->dram_bytes = t->beyond[i][index];
    }
    bind(p, p->dram_bytes, lutra_device_bandwidth(device, device->n_caches, t->n_threads), "DRAM");
}

static void predict_step(const target *t, size_t index, lutra_step_prediction *p)
{
    const lutra_step *step = &t->model->plan.steps[index];
    lutra_step_info info;
    lutra_step_describe(t->vit, step, &info);
    const work w = ask(t, step, &info);
    const double cycles = w.macs / w.peak_macs + w.vector_work / t->device->macs_per_cycle_f32;
    *p = (lutra_step_prediction){
        .compute_seconds = cycles / lutra_device_cycles(t->device, t->n_threads),
        .macs = (uint64_t)w.macs,
        .weight_bytes = w.weight_bytes,
        .activation_bytes = w.activation_bytes,
    };
    move_bytes(t, index, &w, p);
    if (p->compute_seconds >= p->memory_seconds)
        p->bound = "compute";
    p->seconds = p->compute_seconds > p->memory_seconds ? p->compute_seconds : p->memory_seconds;
    p->millijoules = 1e-9 * (w.macs * lutra_device_mac_energy(t->device, &info, t->mode) +
                             (double)p->dram_bytes * t->device->pj_dram_byte);
}

/* The bytes from beyond each cache, step by step; of those whose next level's rate is not known, none. */
static lutra_status follow_traffic(target *t, uint64_t *bytes /* [n_caches][n_steps] */, lutra_error *error)
{
    const lutra_device *device = t->device;
    for (size_t i = 0; i < device->n_caches; i++) {
        const bool is_last = i + 1 == device->n_caches;
        t->beyond[i] = bytes + i * t->model->plan.n_steps;
        if (!is_last && device->caches[i + 1].bytes_per_second == 0)
            continue;
        const lutra_status status =
            lutra_model_traffic(t->model, t->mode, t->batch,
                                lutra_device_cache_bytes(device, i, t->n_threads), t->beyond[i], error);
        if (status)
            return status;
    }
    return LUTRA_OK;
}

lutra_mode lutra_device_mode(const lutra_device *device, const lutra_model *model)
{
    return lutra_choose_mode_of(model, true, device->macs_per_cycle_bf16 > device->macs_per_cycle_f32);
}

/* Whether all is there by which is divided: a machine that was only looked at has no peaks. */
static lutra_status check_device(const lutra_device *device, lutra_error *error)
{
    const lutra_efficiency *e = &device->efficiency;
    const double needed[] = {device->clock,
                             device->clock_all,
                             device->macs_per_cycle_f32,
                             device->macs_per_cycle_bf16,
                             device->macs_per_cycle_i8,
                             device->dram_one_core,
                             device->dram_all_cores,
                             e->share_f32,
                             e->share_i8,
                             e->share_dense_i8,
                             e->share_attention,
                             e->share_attention_bf16};
    bool is_complete = device->n_cores > 0 && device->n_caches <= LUTRA_MAX_CACHES;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        is_complete = is_complete && needed[i] > 0;
    for (size_t i = 0; is_complete && i < device->n_caches; i++)
        is_complete = device->caches[i].shared_by > 0;
    if (is_complete)
        return LUTRA_OK;
    return lutra_fail(
        error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
        "no prediction for '%s': its description lacks a clock, a peak, a rate of main memory or a "
        "number of cores",
        device->name);
}

lutra_status lutra_predict(const lutra_model *model, const lutra_device *device,
                           const lutra_prediction_options *options, lutra_step_prediction *steps,
                           lutra_error *error)
{
    target t = {.device = device,
                .model = model,
                .vit = &model->vit,
                .mode = options->mode,
                .n_threads = options->n_threads ? options->n_threads : device->n_cores,
                .batch = options->batch ? options->batch : 1};
    uint64_t *bytes = NULL;
    lutra_status status = check_device(device, error);
    if (status)
        return status;
    if (t.mode == LUTRA_MODE_AUTO)
        t.mode = lutra_device_mode(device, model);
    if (t.n_threads > device->n_cores)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu threads on %s, which has %zu cores", t.n_threads, device->name,
                          device->n_cores);
    status = lutra_allocate(device->n_caches * model->plan.n_steps, sizeof *bytes, "traffic", &bytes, error);
    if (status == LUTRA_OK)
        status = follow_traffic(&t, bytes, error);
    for (size_t i = 0; i < model->plan.n_steps && status == LUTRA_OK; i++)
        predict_step(&t, i, &steps[i]);
    free(bytes);
    return status;
}
