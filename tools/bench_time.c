/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every model in every mode takes one turn after the other, forwards and then backwards, and the machine's
 * peak is measured in every turn too: a clock that swings, or a neighbour, meets all of them alike.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "json.h"

#define LEAST_ROUNDS 50
#define LEAST_SECONDS 2.0
#define WARM_UP_SECONDS 0.2
#define WARM_UP_RUNS 2
#define MOST_PARTS 30 /* of a long run, of at least a second */
#define N_MODES 8     /* as many as lutra_mode has, or more */

typedef struct samples {
    double *at;
    size_t n, capacity;
} samples;

typedef struct runner {
    const bench_model *model;
    lutra_context *context;
    samples seconds;
    bench_result result;
} runner;

typedef struct timing {
    const tool_arguments *arguments;
    bench_limit limit;
    bool probes;     /* start-up and memory too */
    runner *runners; /* [n] */
    size_t n, threads, batch;
    uint8_t *pixels; /* [batch][most input_bytes] */
    float *output;   /* of the largest */
    samples peaks[N_MODES];
    bool has_mode[N_MODES];
    tool_evictor *evictor;
    tool_contention *contention;
    double began, part_began;
    size_t part_first; /* the first round of the part at hand */
} timing;

static bool add_sample(samples *s, double value)
{
    if (s->n == s->capacity) {
        const size_t capacity = s->capacity ? 2 * s->capacity : 64;
        double *at = realloc(s->at, capacity * sizeof *at);
        if (!at)
            return false;
        s->at = at;
        s->capacity = capacity;
    }
    s->at[s->n++] = value;
    return true;
}

/* The spread of samples `first`.. , which stay in their order: 0 without any. False when out of memory. */
static bool spread_from(const samples *s, size_t first, tool_spread *spread)
{
    const size_t n = s->n > first ? s->n - first : 0;
    *spread = (tool_spread){0};
    if (n == 0)
        return true;
    double *copy = malloc(n * sizeof *copy);
    if (!copy)
        return false;
    memcpy(copy, s->at + first, n * sizeof *copy);
    *spread = tool_spread_of(copy, n);
    free(copy);
    return true;
}

/* ---- before ------------------------------------------------------------------------------------ */

static tool_list modes_of(const tool_arguments *arguments)
{
    return arguments->modes.n ? arguments->modes : (tool_list){.at = {LUTRA_MODE_AUTO}, .n = 1};
}

/* Seeded noise: any picture takes as long as any other. */
static void fill_pixels(uint8_t *pixels, size_t n)
{
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes' generator */
        pixels[i] = (uint8_t)(state >> 24);
    }
}

static bool allocate(timing *t, const bench_models *models)
{
    size_t input = 1, output = 1;
    for (size_t i = 0; i < models->n; i++) {
        const lutra_model_info *info = models->at[i].info;
        const size_t n = info->n_classes ? info->n_classes : info->n_features;
        input = info->input_bytes > input ? info->input_bytes : input;
        output = n > output ? n : output;
    }
    /* calloc multiplies without overflow. */
    t->pixels = calloc(t->batch, input);
    t->output = calloc(t->batch, output * sizeof *t->output);
    const size_t n_runners = models->n * modes_of(t->arguments).n;
    t->runners = calloc(n_runners + 1, sizeof *t->runners); /* one to spare: none is no lack of memory */
    if (!t->pixels || !t->output || !t->runners)
        return false;
    fill_pixels(t->pixels, t->batch * input);
    return !t->arguments->cold || (t->evictor = tool_evictor_create()) != NULL;
}

/* AUTO becomes what it is for the first model, for all of them: dense ones come last, to be compared with it.
 */
static lutra_status choose_mode(const bench_models *models, lutra_mode *mode, lutra_error *error)
{
    const lutra_context_options options = {.n_threads = 1};
    lutra_context *context;
    if (*mode != LUTRA_MODE_AUTO)
        return LUTRA_OK;
    const lutra_status status = lutra_context_create(models->at[0].model, &options, &context, error);
    if (status == LUTRA_OK)
        *mode = lutra_context_mode(context);
    lutra_context_free(context);
    return status;
}

/* What is measured in a process of its own goes first, before threads run in this one. */
static int prepare(timing *t, const bench_models *models)
{
    const tool_list modes = modes_of(t->arguments);
    lutra_error error;
    for (size_t i = 0; i < models->n; i++)
        for (size_t j = 0; j < modes.n; j++) {
            runner *r = &t->runners[t->n++];
            lutra_mode mode = (lutra_mode)modes.at[j];
            r->model = r->result.model = &models->at[i];
            r->result.chose_mode = mode == LUTRA_MODE_AUTO;
            if (choose_mode(models, &mode, &error))
                return tool_fail(&error);
            r->result.settings = (bench_settings){mode, t->threads, t->batch};
            t->has_mode[mode] = true;
            if (t->probes &&
                bench_probe_run(r->model, &r->result.settings, t->pixels, &r->result.probe, &error))
                return tool_fail(&error);
        }
    for (size_t i = 0; i < t->n; i++) {
        runner *r = &t->runners[i];
        const lutra_context_options options = {.n_threads = t->threads,
                                               .max_batch = t->batch,
                                               .mode = r->result.settings.mode,
                                               .cpus = t->arguments->cpus,
                                               .n_cpus = t->arguments->n_cpus};
        if (lutra_context_create(r->model->model, &options, &r->context, &error))
            return tool_fail(&error);
        r->result.isa = lutra_context_isa(r->context);
        r->result.weight_bytes = lutra_context_weight_bytes(r->context);
    }
    if (t->arguments->contend && !(t->contention = tool_contention_start(t->arguments->contend))) {
        tool_error("cannot start %zu threads with memory of their own", t->arguments->contend);
        return TOOL_FAILED;
    }
    return TOOL_DONE;
}

/* ---- turns ------------------------------------------------------------------------------------- */

static lutra_status run_once(const timing *t, const runner *r, double *seconds, lutra_error *error)
{
    const bool logits = r->model->info->n_classes > 0;
    const double begin = tool_seconds();
    const lutra_status status = lutra_context_run(r->context, t->pixels, t->batch, logits ? t->output : NULL,
                                                  logits ? NULL : t->output, error);
    *seconds = tool_seconds() - begin;
    return status;
}

static int warm_up(timing *t)
{
    lutra_error error;
    double seconds;
    const size_t least = t->probes ? WARM_UP_RUNS : 1;
    for (size_t i = 0; i < t->n; i++) {
        const double begin = tool_seconds();
        for (size_t runs = 0; runs < least || tool_seconds() - begin < WARM_UP_SECONDS; runs++)
            if (run_once(t, &t->runners[i], &seconds, &error))
                return tool_fail(&error);
    }
    return TOOL_DONE;
}

static int time_round(timing *t, size_t round)
{
    lutra_error error;
    double value;
    bool kept = true;
    for (size_t mode = 0; mode < N_MODES; mode++) {
        if (!t->has_mode[mode])
            continue;
        if (lutra_measure_peak((lutra_mode)mode, t->threads, &value, &error))
            return tool_fail(&error);
        kept &= add_sample(&t->peaks[mode], value);
    }
    for (size_t i = 0; i < t->n; i++) {
        runner *r = &t->runners[round % 2 ? t->n - 1 - i : i];
        if (t->evictor && !tool_evict(t->evictor)) {
            tool_error("cannot start the threads that empty the caches");
            return TOOL_FAILED;
        }
        if (run_once(t, r, &value, &error))
            return tool_fail(&error);
        kept &= add_sample(&r->seconds, value);
    }
    return kept ? TOOL_DONE : tool_out_of_memory();
}

/* ---- parts of a long run ----------------------------------------------------------------------- */

static double part_seconds(const tool_arguments *arguments)
{
    return fmax(1, arguments->duration / MOST_PARTS);
}

static int add_part(timing *t, runner *r, double end)
{
    bench_result *result = &r->result;
    tool_spread seconds, peak;
    if (!spread_from(&r->seconds, t->part_first, &seconds) ||
        !spread_from(&t->peaks[result->settings.mode], t->part_first, &peak))
        return tool_out_of_memory();
    bench_part *parts = realloc(result->parts, (result->n_parts + 1) * sizeof *parts);
    if (!parts)
        return tool_out_of_memory();
    result->parts = parts;
    bench_part *part = &parts[result->n_parts++];
    *part = (bench_part){.end = end,
                         .median = seconds.median,
                         .peak_gmacs = peak.median,
                         .n_runs = r->seconds.n - t->part_first};
    if (!t->arguments->json)
        bench_print_part(result, part);
    return TOOL_DONE;
}

/* Ends the part at hand where its time is over. */
static int divide(timing *t, tool_progress *progress, size_t n_rounds)
{
    const double now = tool_seconds();
    const bool last = now - t->began >= t->arguments->duration;
    int result = TOOL_DONE;
    if (t->arguments->duration <= 0 || (!last && now - t->part_began < part_seconds(t->arguments)))
        return TOOL_DONE;
    tool_progress_hide(progress);
    for (size_t i = 0; i < t->n && !result; i++)
        result = add_part(t, &t->runners[i], now - t->began);
    t->part_began = now;
    t->part_first = n_rounds;
    return result;
}

static bench_limit limit_of(const tool_arguments *arguments)
{
    if (arguments->duration > 0)
        return (bench_limit){.least = 1, .most = SIZE_MAX, .seconds = arguments->duration};
    if (arguments->repeat > 0)
        return (bench_limit){.least = arguments->repeat, .most = arguments->repeat, .seconds = LEAST_SECONDS};
    return (bench_limit){.least = LEAST_ROUNDS, .most = SIZE_MAX, .seconds = LEAST_SECONDS};
}

/* Done, in thousandths. */
static uint64_t progress_of(const timing *t, size_t n_rounds)
{
    const bench_limit *limit = &t->limit;
    const double n = (double)n_rounds, elapsed = tool_seconds() - t->began;
    const double enough = fmin(n / (double)limit->least, elapsed / limit->seconds);
    return (uint64_t)(1000 * fmin(1, fmax(enough, n / (double)limit->most)));
}

static int time_rounds(timing *t, tool_progress *progress)
{
    char what[64];
    int result = warm_up(t);
    snprintf(what, sizeof what, "%zu thread%s, batch %zu", t->threads, t->threads == 1 ? "" : "s", t->batch);
    t->began = t->part_began = tool_seconds();
    uint64_t done = 0;
    for (size_t n_rounds = 0; !result && done < 1000;) {
        result = time_round(t, n_rounds++);
        if (!result)
            result = divide(t, progress, n_rounds);
        done = progress_of(t, n_rounds);
        if (!result && !tool_progress_update(progress, what, done, 1000)) {
            tool_error("interrupted");
            result = TOOL_INTERRUPTED;
        }
    }
    tool_progress_hide(progress);
    return result;
}

/* ---- after ------------------------------------------------------------------------------------- */

static int add_ratio(bench_result *result, const samples *clustered, const runner *dense)
{
    double *ratios = malloc(clustered->n * sizeof *ratios);
    if (!ratios)
        return tool_out_of_memory();
    for (size_t i = 0; i < clustered->n; i++)
        ratios[i] = clustered->at[i] / dense->seconds.at[i];
    if (result->n_ratios < BENCH_MAX_RATIOS)
        result->ratios[result->n_ratios++] =
            (bench_ratio){dense->result.settings.mode, tool_median_interval(ratios, clustered->n)};
    free(ratios);
    return TOOL_DONE;
}

/* With the same arithmetic on dense weights, and with what one begins with: dense weights in f32. */
static bool is_compared(const runner *clustered, const runner *dense)
{
    const lutra_mode mode = dense->result.settings.mode;
    return clustered->model->info->n_clustered && !dense->model->info->n_clustered &&
           (mode == clustered->result.settings.mode || mode == LUTRA_MODE_F32);
}

static int finish(timing *t, bench_results *results)
{
    const double contention = tool_contention_stop(t->contention);
    int failed = TOOL_DONE;
    t->contention = NULL;
    for (size_t i = 0; i < t->n && !failed; i++) {
        runner *r = &t->runners[i];
        bench_result *result = &r->result;
        tool_spread peak;
        if (!spread_from(&r->seconds, 0, &result->seconds) ||
            !spread_from(&t->peaks[result->settings.mode], 0, &peak))
            return tool_out_of_memory();
        result->n_runs = r->seconds.n;
        result->peak_gmacs = peak.median;
        result->contention = contention;
        for (size_t j = 0; j < t->n && !failed; j++)
            if (is_compared(r, &t->runners[j]))
                failed = add_ratio(result, &r->seconds, &t->runners[j]);
    }
    bench_result *at = failed ? NULL : realloc(results->at, (results->n + t->n) * sizeof *at);
    if (!at)
        return failed ? failed : tool_out_of_memory();
    results->at = at;
    for (size_t i = 0; i < t->n; i++) {
        results->at[results->n++] = t->runners[i].result;
        t->runners[i].result.parts = NULL;
    }
    return TOOL_DONE;
}

static void release(timing *t)
{
    tool_contention_stop(t->contention);
    for (size_t i = 0; i < t->n; i++) {
        lutra_context_free(t->runners[i].context);
        free(t->runners[i].seconds.at);
        free(t->runners[i].result.parts);
    }
    for (size_t i = 0; i < N_MODES; i++)
        free(t->peaks[i].at);
    tool_evictor_free(t->evictor);
    free(t->runners);
    free(t->pixels);
    free(t->output);
}

int bench_time(const bench_models *models, const tool_arguments *arguments, size_t threads, size_t batch,
               const bench_limit *limit, tool_progress *progress, bench_results *results)
{
    timing t = {.arguments = arguments,
                .limit = limit ? *limit : limit_of(arguments),
                .probes = !limit,
                .threads = threads,
                .batch = batch};
    int result = allocate(&t, models) ? prepare(&t, models) : tool_out_of_memory();
    if (!result)
        result = time_rounds(&t, progress);
    if (!result)
        result = finish(&t, results);
    release(&t);
    return result;
}

void bench_results_free(bench_results *results)
{
    for (size_t i = 0; i < results->n; i++)
        free(results->at[i].parts);
    free(results->at);
    *results = (bench_results){0};
}
