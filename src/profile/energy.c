/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Idle, run, idle: what the machine draws without the runs is taken to change evenly from the first idle time
 * to the second, so that their mean is what it would have drawn meanwhile. While it runs, the meter is read
 * beside the runs: between two of them it would see what the machine draws in a pause, which the reading
 * itself makes longer where it has to start a program.
 */
#include "profile/energy.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/default_threads.h"
#include "base/sort.h"

#define IDLE_SECONDS 10.0
#define BUSY_SECONDS 30.0
#define SETTLING 0.1     /* of an idle time, that does not count: clocks and fans come down */
#define STEP_SECONDS 0.1 /* between two readings */
#define LEAST_READINGS 5 /* of an idle time, however short: one alone is no power */
#define MAX_ZONES 32
#define PARTS 10

typedef struct protocol {
    const lutra_world *world;
    lutra_meter *meter;
    const lutra_load *load;
    double idle_seconds, busy_seconds, batch;
    lutra_progress progress;
    void *progress_user;
    const size_t *cpus; /* [n_cpus] that the runs are on */
    size_t n_cpus;
    double began;
    lutra_energy *energy;
    lutra_error *error;
} protocol;

typedef struct part {
    double seconds, joules, pictures;
} part;

static double now(const protocol *p)
{
    return p->world->now(p->world->user);
}

static lutra_status report(const protocol *p, const char *what)
{
    const double whole = 2 * p->idle_seconds + p->busy_seconds, done = fmin(now(p) - p->began, whole);
    if (!p->progress || p->progress(p->progress_user, what, (uint64_t)(1e3 * done), (uint64_t)(1e3 * whole)))
        return LUTRA_OK;
    return lutra_fail(p->error, LUTRA_ERROR_CANCELLED, NULL, LUTRA_NO_OFFSET, "cancelled");
}

/* ---- what else tells of the state of the machine ------------------------------------------------ */

static double hottest(const lutra_world *world)
{
    double celsius = NAN;
    for (int zone = 0; zone < MAX_ZONES; zone++) {
        char path[64];
        double value;
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
        if (lutra_sys_number(world, path, &value) == 0 && !(1e-3 * value <= celsius))
            celsius = 1e-3 * value;
    }
    return celsius;
}

/* A number of one CPU's, below its folder in /sys; NaN: not to be read. */
static double of_cpu(const protocol *p, size_t index, const char *what)
{
    char path[128];
    double value;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/%s", p->cpus[index], what);
    return lutra_sys_number(p->world, path, &value) ? NAN : value;
}

/* Of the fastest, which some of the runs' threads are on: others may idle. */
static double clock_mhz(const protocol *p)
{
    double khz = NAN;
    for (size_t i = 0; i < p->n_cpus; i++)
        khz = fmax(khz, of_cpu(p, i, "cpufreq/scaling_cur_freq"));
    return 1e-3 * khz;
}

static double throttlings(const protocol *p)
{
    double sum = 0;
    for (size_t i = 0; i < p->n_cpus; i++)
        sum += fmax(0, of_cpu(p, i, "thermal_throttle/core_throttle_count"));
    return sum;
}

/* ---- phases ------------------------------------------------------------------------------------- */

/* A meter that stays silent fails by itself (LUTRA_METER_PATIENCE). */
static lutra_status await_meter(const protocol *p)
{
    lutra_status status = LUTRA_OK;
    double joules;
    while (status == LUTRA_OK && !lutra_meter_speaks(p->meter)) {
        p->world->wait(p->world->user, STEP_SECONDS);
        status = lutra_meter_read(p->meter, &joules, p->error);
    }
    return status;
}

static lutra_status idle(const protocol *p, double *watts)
{
    const double begin = now(p);
    double from = begin, from_joules = 0, joules = 0;
    lutra_status status;
    for (size_t n_settled = 0; n_settled < LEAST_READINGS || now(p) - begin < p->idle_seconds;) {
        p->world->wait(p->world->user, STEP_SECONDS);
        if ((status = lutra_meter_read(p->meter, &joules, p->error)) || (status = report(p, "idle")))
            return status;
        if (now(p) - begin < SETTLING * p->idle_seconds)
            continue;
        if (n_settled++ == 0) {
            from = now(p);
            from_joules = joules;
        }
    }
    *watts = (joules - from_joules) / (now(p) - from);
    return LUTRA_OK;
}

/* What reads the meter beside the runs. */
typedef struct sampler {
    lutra_meter *meter;
    pthread_mutex_t mutex; /* of the meter */
    atomic_size_t n_readings;
    atomic_bool failed; /* `error` says why, from then on */
    lutra_error error;
} sampler;

static void sample(void *argument)
{
    sampler *s = argument;
    double joules;
    if (atomic_load(&s->failed))
        return;
    pthread_mutex_lock(&s->mutex);
    const lutra_status status = lutra_meter_read(s->meter, &joules, &s->error);
    pthread_mutex_unlock(&s->mutex);
    if (status)
        atomic_store(&s->failed, true);
    atomic_fetch_add(&s->n_readings, 1);
}

static lutra_status joules_until_now(sampler *s, double *joules, lutra_error *error)
{
    pthread_mutex_lock(&s->mutex);
    const lutra_status status = lutra_meter_tell(s->meter, joules, error);
    pthread_mutex_unlock(&s->mutex);
    return status;
}

static lutra_status run_once(const protocol *p, sampler *s)
{
    lutra_status status = p->load->run(p->load->user, p->error);
    if (status == LUTRA_OK)
        status = report(p, "running");
    if (status || !atomic_load(&s->failed))
        return status;
    if (p->error)
        *p->error = s->error;
    return s->error.status;
}

/* The parts begin once the machine has been seen at work. */
static lutra_status run_parts(const protocol *p, sampler *s, part *parts /* [PARTS] */)
{
    double joules, last_joules, begin, last, pictures = 0;
    lutra_status status;
    do
        status = run_once(p, s);
    while (status == LUTRA_OK && atomic_load(&s->n_readings) == 0);
    p->energy->mhz_before = clock_mhz(p);
    if (status || (status = joules_until_now(s, &last_joules, p->error)))
        return status;
    begin = last = now(p);
    for (size_t n = 0; n < PARTS;) {
        if ((status = run_once(p, s)))
            return status;
        pictures += p->batch;
        if (now(p) - begin < p->busy_seconds * (double)(n + 1) / PARTS)
            continue;
        if ((status = joules_until_now(s, &joules, p->error)))
            return status;
        const double moment = now(p); /* where a part ends and the next begins */
        parts[n++] = (part){.seconds = moment - last, .joules = joules - last_joules, .pictures = pictures};
        last = moment;
        last_joules = joules;
        pictures = 0;
    }
    p->energy->mhz_after = clock_mhz(p);
    return LUTRA_OK;
}

static lutra_status work(const protocol *p, part *parts /* [PARTS] */)
{
    sampler s = {.meter = p->meter, .mutex = PTHREAD_MUTEX_INITIALIZER};
    lutra_sampling *sampling;
    lutra_status status =
        p->world->begin_sampling(p->world->user, STEP_SECONDS, sample, &s, &sampling, p->error);
    if (status)
        return status;
    status = run_parts(p, &s, parts);
    p->world->end_sampling(p->world->user, sampling);
    return status;
}

static void conclude(lutra_energy *energy, const part *parts /* [PARTS] */)
{
    double mj[PARTS], joules = 0, pictures = 0;
    energy->seconds = 0;
    for (size_t i = 0; i < PARTS; i++) {
        mj[i] = 1e3 * (parts[i].joules - energy->idle_watts * parts[i].seconds) / parts[i].pictures;
        energy->seconds += parts[i].seconds;
        joules += parts[i].joules;
        pictures += parts[i].pictures;
    }
    lutra_sort(mj, PARTS);
    energy->mj_p10 = mj[PARTS / 10];
    energy->mj_p90 = mj[PARTS - 1 - PARTS / 10];
    energy->n_pictures = (size_t)pictures;
    energy->busy_watts = joules / energy->seconds;
    energy->mj_raw = 1e3 * joules / pictures;
    energy->mj = 1e3 * (joules - energy->idle_watts * energy->seconds) / pictures;
}

lutra_status lutra_measure_energy_in(const lutra_world *world, lutra_meter *meter, const lutra_load *load,
                                     const lutra_energy_options *options, lutra_energy *energy,
                                     lutra_error *error)
{
    const bool is_kept = options && options->n_cpus > 0;
    size_t working[LUTRA_MAX_CPUS];
    const protocol p = {
        .world = world,
        .meter = meter,
        .load = load,
        .idle_seconds = options && options->idle_seconds > 0 ? options->idle_seconds : IDLE_SECONDS,
        .busy_seconds = options && options->busy_seconds > 0 ? options->busy_seconds : BUSY_SECONDS,
        .batch = options && options->batch ? (double)options->batch : 1,
        .progress = options ? options->progress : NULL,
        .progress_user = options ? options->progress_user : NULL,
        .cpus = is_kept ? options->cpus : working,
        .n_cpus = is_kept ? options->n_cpus : lutra_working_cpus(world->root, working),
        .began = world->now(world->user),
        .energy = energy,
        .error = error};
    part parts[PARTS];
    double before, after;
    lutra_status status;
    *energy = (lutra_energy){.celsius_before = hottest(world)};
    const double throttled = throttlings(&p);
    if ((status = await_meter(&p)) || (status = idle(&p, &before)) || (status = work(&p, parts)))
        return status;
    energy->celsius_after = hottest(world);
    if ((status = idle(&p, &after)) || (status = lutra_meter_judge(meter, error)))
        return status;
    energy->is_throttled = throttlings(&p) > throttled || energy->mhz_after < 0.9 * energy->mhz_before;
    energy->idle_watts = (before + after) / 2;
    conclude(energy, parts);
    return LUTRA_OK;
}

/* ---- of a context's runs ------------------------------------------------------------------------ */

typedef struct inference {
    lutra_context *context;
    const uint8_t *pixels;
    size_t batch;
} inference;

static lutra_status infer(void *user, lutra_error *error)
{
    const inference *i = user;
    return lutra_context_run(i->context, i->pixels, i->batch, NULL, NULL, error);
}

lutra_status lutra_measure_energy(lutra_meter *meter, lutra_context *context, const uint8_t *pixels,
                                  const lutra_energy_options *options, lutra_energy *energy,
                                  lutra_error *error)
{
    inference i = {
        .context = context, .pixels = pixels, .batch = options && options->batch ? options->batch : 1};
    const lutra_load load = {.user = &i, .run = infer};
    return lutra_measure_energy_in(&lutra_real_world, meter, &load, options, energy, error);
}
