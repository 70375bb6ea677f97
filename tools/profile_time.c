/* SPDX-License-Identifier: Apache-2.0 */
/* The models take turns, one run each, so that a clock that swings meets them alike. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"

#define LEAST_ROUNDS 50
#define LEAST_SECONDS 2.0
#define WARM_UP_SECONDS 0.2

typedef struct subject {
    profile_result *result;
    lutra_context *context;
    double *runs;  /* [capacity] seconds */
    double *steps; /* [capacity][n_steps] seconds */
    size_t n, capacity;
} subject;

typedef struct timing {
    const tool_arguments *arguments;
    subject subjects[PROFILE_MAX_MODELS];
    size_t n;
    uint8_t *pixels;                             /* [batch][most input_bytes] */
    lutra_counter *counters[PROFILE_N_COUNTERS]; /* NULL: the hardware does not count here */
    double began;
} timing;

static void keep_time(void *user, const lutra_step_result *result)
{
    subject *s = user;
    s->steps[s->n * s->result->n_steps + result->index] = result->seconds;
}

static bool make_room(subject *s)
{
    if (s->n < s->capacity)
        return true;
    const size_t capacity = s->capacity ? 2 * s->capacity : 64;
    double *runs = realloc(s->runs, capacity * sizeof *runs);
    s->runs = runs ? runs : s->runs;
    double *steps = realloc(s->steps, capacity * s->result->n_steps * sizeof *steps);
    s->steps = steps ? steps : s->steps;
    if (!runs || !steps)
        return false;
    s->capacity = capacity;
    return true;
}

/* One that fails on the way is none from then on. */
static void read_counters(timing *t, uint64_t *bytes /* [PROFILE_N_COUNTERS] */)
{
    for (size_t i = 0; i < PROFILE_N_COUNTERS; i++)
        if (t->counters[i] && lutra_counter_read(t->counters[i], &bytes[i], NULL)) {
            lutra_counter_close(t->counters[i]);
            t->counters[i] = NULL;
        }
}

/* Runs once; the times are those of sample s->n. */
static int run_once(timing *t, subject *s)
{
    lutra_error error;
    if (!make_room(s))
        return tool_out_of_memory();
    uint64_t before[PROFILE_N_COUNTERS] = {0}, after[PROFILE_N_COUNTERS] = {0};
    read_counters(t, before);
    const double begin = tool_seconds();
    if (lutra_context_run(s->context, t->pixels, s->result->batch, NULL, NULL, &error))
        return tool_fail(&error);
    s->runs[s->n] = tool_seconds() - begin;
    read_counters(t, after);
    for (size_t i = 0; i < PROFILE_N_COUNTERS; i++)
        s->result->counted_bytes[i] += after[i] - before[i];
    return TOOL_DONE;
}

static int prepare(timing *t, const bench_models *models, profile_results *results)
{
    const tool_arguments *arguments = t->arguments;
    const size_t batch = arguments->batch ? arguments->batch : 1;
    lutra_mode mode = arguments->mode; /* AUTO becomes what it is for the first model, for all of them */
    size_t input = 1;
    lutra_error error;
    for (size_t i = 0; i < models->n; i++) {
        profile_result *result = &results->at[results->n++];
        subject *s = &t->subjects[t->n++];
        const lutra_context_options options = {.n_threads = arguments->n_threads,
                                               .max_batch = batch,
                                               .mode = mode,
                                               .cpus = arguments->cpus,
                                               .n_cpus = arguments->n_cpus};
        *result = (profile_result){.model = &models->at[i], .batch = batch};
        result->n_steps = lutra_model_n_steps(result->model->model);
        result->steps = calloc(result->n_steps + 1, sizeof *result->steps);
        if (!result->steps)
            return tool_out_of_memory();
        s->result = result;
        if (lutra_context_create(result->model->model, &options, &s->context, &error))
            return tool_fail(&error);
        mode = result->mode = lutra_context_mode(s->context);
        result->threads = lutra_context_threads(s->context);
        result->isa = lutra_context_isa(s->context);
        lutra_context_observe(s->context, keep_time, s);
        for (size_t j = 0; j < result->n_steps; j++)
            if (lutra_context_step_info(s->context, j, &result->steps[j].info, &error))
                return tool_fail(&error);
        input = result->model->info->input_bytes > input ? result->model->info->input_bytes : input;
    }
    if (!(t->pixels = calloc(batch, input))) /* which multiplies without overflow */
        return tool_out_of_memory();
    for (size_t i = 0; i < batch * input; i++)
        t->pixels[i] = (uint8_t)(i * 2654435761u >> 24); /* any picture takes as long as any other */
    return TOOL_DONE;
}

/* What the hardware counts here is forgotten. With a number of runs asked for, the first is the warm-up and
 * no more: a tool that counts what runs do then knows how many there were. */
static int warm_up(timing *t)
{
    int result = TOOL_DONE;
    for (size_t i = 0; i < t->n && !result; i++) {
        const double begin = tool_seconds();
        do
            result = run_once(t, &t->subjects[i]);
        while (!result && !t->arguments->repeat && tool_seconds() - begin < WARM_UP_SECONDS);
        memset(t->subjects[i].result->counted_bytes, 0, sizeof t->subjects[i].result->counted_bytes);
    }
    return result;
}

static double part_done(const timing *t, size_t n_rounds)
{
    const double rounds =
        (double)n_rounds / (double)(t->arguments->repeat ? t->arguments->repeat : LEAST_ROUNDS);
    return t->arguments->repeat ? rounds : fmin(rounds, (tool_seconds() - t->began) / LEAST_SECONDS);
}

static int time_rounds(timing *t, tool_progress *progress)
{
    int result = warm_up(t);
    double done = 0;
    t->began = tool_seconds();
    for (size_t round = 0; !result && done < 1;) {
        for (size_t i = 0; i < t->n && !result; i++) {
            subject *s = &t->subjects[round % 2 ? t->n - 1 - i : i];
            result = run_once(t, s);
            s->n++;
        }
        done = part_done(t, ++round);
        if (!result && !tool_progress_update(progress, "steps", (uint64_t)(1000 * fmin(done, 1)), 1000)) {
            tool_error("interrupted");
            result = TOOL_INTERRUPTED;
        }
    }
    tool_progress_hide(progress);
    return result;
}

static int finish(const timing *t, subject *s)
{
    profile_result *result = s->result;
    double *samples = malloc(s->n * sizeof *samples);
    if (!samples)
        return tool_out_of_memory();
    for (size_t i = 0; i < result->n_steps; i++) {
        for (size_t run = 0; run < s->n; run++)
            samples[run] = s->steps[run * result->n_steps + i];
        result->steps[i].numbers.seconds = tool_spread_of(samples, s->n);
    }
    result->seconds = tool_spread_of(s->runs, s->n);
    result->n_runs = s->n;
    for (size_t i = 0; i < PROFILE_N_COUNTERS; i++) {
        result->is_counted[i] = t->counters[i] != NULL;
        result->counted_bytes[i] /= s->n;
    }
    free(samples);
    return TOOL_DONE;
}

int profile_time(const bench_models *models, const tool_arguments *arguments, tool_progress *progress,
                 profile_results *results)
{
    timing t = {.arguments = arguments};
    /* What threads do is counted only if they come later. */
    if (lutra_counter_open(&t.counters[PROFILE_MISSES], NULL))
        t.counters[PROFILE_MISSES] = NULL;
    if (lutra_counter_open_memory(&t.counters[PROFILE_CONTROLLERS], NULL))
        t.counters[PROFILE_CONTROLLERS] = NULL;
    int result = prepare(&t, models, results);
    if (!result)
        result = time_rounds(&t, progress);
    for (size_t i = 0; i < t.n; i++) {
        if (!result)
            result = finish(&t, &t.subjects[i]);
        lutra_context_free(t.subjects[i].context);
        free(t.subjects[i].runs);
        free(t.subjects[i].steps);
    }
    for (size_t i = 0; i < PROFILE_N_COUNTERS; i++)
        lutra_counter_close(t.counters[i]);
    free(t.pixels);
    return result;
}

void profile_results_free(profile_results *results)
{
    for (size_t i = 0; i < results->n; i++)
        free(results->at[i].steps);
    results->n = 0;
}
