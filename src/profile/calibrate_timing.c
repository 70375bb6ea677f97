/* SPDX-License-Identifier: Apache-2.0 */
/* What is timed is counted in cycles at the clock that the peak shows right before, since clocks swing. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "base/sort.h"
#include "profile/calibrate.h"

#define TURNS 60

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Cycles of one turn. */
static lutra_status count_turn(const lutra_calibration *b, const lutra_timing *timing, double *cycles)
{
    double gmacs;
    const lutra_status status = lutra_measure_peak(LUTRA_MODE_F32, 1, &gmacs, b->error);
    if (status)
        return status;
    if (gmacs <= 0)
        return lutra_fail(
            b->error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
            "the peak of this level of kernels is not known, so nothing can be held against it");
    const double began = now();
    timing->run(b, timing->job);
    *cycles = (now() - began) * 1e9 * gmacs / b->device->macs_per_cycle_f32;
    return LUTRA_OK;
}

/* Neighbours slow now the peak, now what is held against it: neither the fewest cycles nor the most are true.
 */
lutra_status lutra_count_cycles(const lutra_calibration *b, lutra_timing *timings, size_t n)
{
    double *turns = NULL; /* [n][TURNS] */
    lutra_status status = lutra_allocate(n * TURNS, sizeof *turns, "calibration", &turns, b->error);
    for (size_t i = 0; i < n && status == LUTRA_OK; i++)
        timings[i].run(b, timings[i].job);
    for (size_t i = 0; i < n * TURNS && status == LUTRA_OK; i++)
        status = count_turn(b, &timings[i % n], &turns[i % n * TURNS + i / n]);
    for (size_t i = 0; i < n && status == LUTRA_OK; i++) {
        double *own = turns + i * TURNS;
        lutra_sort(own, TURNS);
        timings[i].cycles = (own[(TURNS - 1) / 2] + own[TURNS / 2]) / 2;
    }
    free(turns);
    return status;
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 16;
}

unsigned lutra_bell(uint32_t *state, unsigned limit)
{
    enum { N = 6, NARROWER = 3, WIDE = 16 };
    unsigned sum = 0;
    for (int i = 0; i < N; i++)
        sum += next_random(state) % limit;
    const unsigned wide = sum / N;
    return next_random(state) % WIDE == 0 ? wide : (limit - limit / NARROWER) / 2 + wide / NARROWER;
}

lutra_status lutra_undetermined(const lutra_calibration *b)
{
    return lutra_fail(b->error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                      "the times of the kernels do not determine what they cost");
}
