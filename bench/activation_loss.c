/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What int8 activations cost, step by step:
 *
 *     ninja -C build bench/activation-loss
 *     build/bench/activation-loss CLUSTERED.safetensors DENSE.safetensors PICTURE...
 *
 * Prints tab-separated lines: a product of the plan, and for a run in which that product alone takes 8-bit
 * activations the KL divergence (in nats, the mean over the pictures, with its standard error) from a run in
 * f32, and by how much the divergence from the dense model grows; then the same for all products of a kind
 * ("mlp.fc2" of every block), and for all of them. The second is what counts, the first is what few pictures
 * can tell: errors of clustering and of activations add up or cancel out by chance.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model_private.h"
#include "model/steps.h"

/* The products that take 8-bit activations in one run. */
typedef struct trial {
    char name[96];
    bool *int8; /* [n_steps] */
    size_t first;
    double sum[2], squares[2]; /* of the KL from f32, and of the growth of that from the dense model */
} trial;

typedef struct measurement {
    const lutra_model *model;
    lutra_context *f32, *int8, *dense;
    size_t n_floats; /* in the arena of each context: all have one thread */
    float *before;   /* [n_steps][n_floats] what lies in the arena before each step, all in f32 */
    trial *trials;
    size_t n_trials, n_pictures;
} measurement;

static _Noreturn void stop(const char *what)
{
    fprintf(stderr, "activation-loss: %s\n", what);
    exit(1);
}

static void check(lutra_status status, const lutra_error *error)
{
    if (status)
        stop(error->message);
}

static void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n, size);
    if (!memory)
        stop("out of memory");
    return memory;
}

static float *arena_of(lutra_context *context)
{
    size_t n_floats;
    return lutra_context_arena(context, &n_floats);
}

static lutra_context *open_context(const lutra_model *model, lutra_mode mode)
{
    const lutra_context_options options = {.n_threads = 1, .max_batch = 1, .mode = mode};
    lutra_context *context;
    lutra_error error;
    check(lutra_context_create(model, &options, &context, &error), &error);
    return context;
}

static lutra_model *open_model(const char *path)
{
    lutra_model *model;
    lutra_error error;
    check(lutra_model_open(path, NULL, &model, &error), &error);
    return model;
}

/* "blocks.3.mlp.fc2" -> "mlp.fc2" */
static const char *kind_of(const char *name)
{
    const char *digit = strpbrk(name, "0123456789");
    return digit && digit[strspn(digit, "0123456789")] == '.' ? digit + strspn(digit, "0123456789") + 1
                                                              : name;
}

static trial *trial_named(measurement *m, const char *format, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, format, name);
    for (size_t i = 0; i < m->n_trials; i++)
        if (strcmp(m->trials[i].name, full) == 0)
            return &m->trials[i];
    trial *t = &m->trials[m->n_trials++];
    *t = (trial){.int8 = allocate(m->model->plan.n_steps, sizeof *t->int8), .first = SIZE_MAX};
    snprintf(t->name, sizeof t->name, "%s", full);
    return t;
}

static void add_step(trial *t, size_t step)
{
    t->int8[step] = true;
    t->first = step < t->first ? step : t->first;
}

static void list_trials(measurement *m)
{
    const lutra_plan *plan = &m->model->plan;
    m->trials = allocate(2 * plan->n_steps + 1, sizeof *m->trials);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].op == LUTRA_OP_GEMM)
            add_step(trial_named(m, "%s", plan->steps[i].name), i);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].op == LUTRA_OP_GEMM)
            add_step(trial_named(m, "every %s", kind_of(plan->steps[i].name)), i);
    for (size_t i = 0; i < plan->n_steps; i++)
        if (plan->steps[i].op == LUTRA_OP_GEMM)
            add_step(trial_named(m, "%s", "all"), i);
}

static void log_softmax(const float *logits, size_t n, double *log_p)
{
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - largest);
    for (size_t i = 0; i < n; i++)
        log_p[i] = (double)logits[i] - largest - log(sum);
}

/* Of the answer in the f32 context from `truth`; log_p becomes it. */
static double divergence(const measurement *m, const double *truth, double *log_p)
{
    const size_t n = m->model->vit.n_classes;
    double kl = 0;
    log_softmax(lutra_context_operand(m->f32, &m->model->plan.logits), n, log_p);
    for (size_t i = 0; i < n; i++)
        kl += exp(truth[i]) * (truth[i] - log_p[i]);
    return kl;
}

/* From the first step that is other than in f32 on. */
static void run_trial(const measurement *m, const trial *t, const uint8_t *pixels)
{
    const size_t n_steps = m->model->plan.n_steps, bytes = m->n_floats * sizeof(float);
    memcpy(arena_of(m->f32), m->before + t->first * m->n_floats, bytes);
    for (size_t i = t->first; i < n_steps; i++) {
        if (!t->int8[i]) {
            lutra_context_step(m->f32, i, pixels, 1, NULL, NULL);
            continue;
        }
        memcpy(arena_of(m->int8), arena_of(m->f32), bytes);
        lutra_context_step(m->int8, i, pixels, 1, NULL, NULL);
        memcpy(arena_of(m->f32), arena_of(m->int8), bytes);
    }
}

static void add(trial *t, int which, double value)
{
    t->sum[which] += value;
    t->squares[which] += value * value;
}

static void print_mean(const trial *t, int which, size_t n)
{
    const double mean = t->sum[which] / (double)n;
    printf("\t%.3g\t%.2g", mean, sqrt((t->squares[which] / (double)n - mean * mean) / (double)n));
}

static void measure(measurement *m, const uint8_t *pixels)
{
    const size_t n_steps = m->model->plan.n_steps, n = m->model->vit.n_classes;
    float *logits = allocate(n, sizeof *logits);
    double *dense = allocate(n, sizeof *dense), *log_p = allocate(n, sizeof *log_p);
    double *f32 = allocate(n, sizeof *f32);
    lutra_error error;
    check(lutra_context_run(m->dense, pixels, 1, logits, NULL, &error), &error);
    log_softmax(logits, n, dense);
    for (size_t i = 0; i < n_steps; i++) {
        memcpy(m->before + i * m->n_floats, arena_of(m->f32), m->n_floats * sizeof(float));
        lutra_context_step(m->f32, i, pixels, 1, NULL, NULL);
    }
    const double exact = divergence(m, dense, f32);
    for (size_t i = 0; i < m->n_trials; i++) {
        run_trial(m, &m->trials[i], pixels);
        add(&m->trials[i], 0, divergence(m, f32, log_p));
        add(&m->trials[i], 1, divergence(m, dense, log_p) - exact);
    }
    m->n_pictures++;
    free(logits);
    free(dense);
    free(log_p);
    free(f32);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        stop("usage: activation-loss CLUSTERED.safetensors DENSE.safetensors PICTURE...");
    lutra_model *model = open_model(argv[1]), *dense = open_model(argv[2]);
    if (model->vit.n_classes == 0 || model->vit.n_classes != dense->vit.n_classes)
        stop("the models have no classes in common");
    measurement m = {.model = model,
                     .f32 = open_context(model, LUTRA_MODE_F32),
                     .int8 = open_context(model, LUTRA_MODE_INT8),
                     .dense = open_context(dense, LUTRA_MODE_F32)};
    lutra_context_arena(m.f32, &m.n_floats);
    m.before = allocate(model->plan.n_steps, m.n_floats * sizeof(float));
    uint8_t *pixels = allocate(model->vit.height * model->vit.width, 3);
    list_trials(&m);
    for (int i = 3; i < argc; i++) {
        lutra_error error;
        check(lutra_image_read(argv[i], &lutra_model_get_info(model)->preprocessing, pixels, &error), &error);
        measure(&m, pixels);
    }
    for (size_t i = 0; i < m.n_trials; i++) {
        printf("%s", m.trials[i].name);
        print_mean(&m.trials[i], 0, m.n_pictures);
        print_mean(&m.trials[i], 1, m.n_pictures);
        printf("\n");
        free(m.trials[i].int8);
    }
    free(m.trials);
    free(m.before);
    free(pixels);
    lutra_context_free(m.f32);
    lutra_context_free(m.int8);
    lutra_context_free(m.dense);
    lutra_model_close(model);
    lutra_model_close(dense);
    return 0;
}
