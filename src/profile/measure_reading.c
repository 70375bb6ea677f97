/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/size.h"
#include "base/thread_pool.h"
#include "profile/measure.h"
#include "profile/read_loop.h"

#define BURSTS 12                     /* of which the fastest counts */
#define BURST_BYTES ((size_t)4 << 20) /* read at least in a burst */
#define ADDITIONS ((size_t)1 << 20)

typedef struct reading {
    pthread_barrier_t start;
    lutra_read_loop *read;
    const char *memory; /* [n_threads][bytes] */
    size_t bytes, passes;
    double seconds[LUTRA_MAX_THREADS][BURSTS];
} reading;

static void read_bursts(void *job, size_t task, size_t worker)
{
    reading *r = job;
    const char *memory = r->memory + task * r->bytes;
    (void)worker;
    r->read(memory, r->bytes);
    for (size_t burst = 0; burst < BURSTS; burst++) {
        pthread_barrier_wait(&r->start);
        const double begin = lutra_seconds();
        for (size_t pass = 0; pass < r->passes; pass++)
            r->read(memory, r->bytes);
        r->seconds[task][burst] = lutra_seconds() - begin;
    }
}

/* A burst lasts until its last thread is done. */
static double fastest(const reading *r, size_t n_threads)
{
    double least = 0;
    for (size_t burst = 0; burst < BURSTS; burst++) {
        double longest = 0;
        for (size_t i = 0; i < n_threads; i++)
            longest = r->seconds[i][burst] > longest ? r->seconds[i][burst] : longest;
        least = burst == 0 || longest < least ? longest : least;
    }
    return least;
}

lutra_status lutra_measure_reading(size_t n_threads, size_t bytes, double *bytes_per_second,
                                   lutra_error *error)
{
    lutra_thread_pool *pool = NULL;
    reading *r = NULL;
    void *memory = NULL;
    const char *level;
    size_t all;
    lutra_status status = lutra_isa(&level, error);
    if (status)
        return status;
    bytes = lutra_larger(lutra_round_up(bytes, LUTRA_READ_LOOP_BYTES), LUTRA_READ_LOOP_BYTES);
    if (!lutra_size_multiply(n_threads, bytes, &all))
        return lutra_fail_memory(error, SIZE_MAX, "memory to read");
    if ((status = lutra_allocate(1, sizeof *r, "times of reading", &r, error)) ||
        (status = lutra_allocate(all, 1, "memory to read", &memory, error)) ||
        (status = lutra_thread_pool_create(n_threads, &pool, error)))
        goto cleanup;
    memset(memory, 1, all); /* pages never written all share one page of zeros */
    r->read = lutra_read_loop_of(level);
    r->memory = memory;
    r->bytes = bytes;
    r->passes = bytes < BURST_BYTES ? BURST_BYTES / bytes : 1;
    pthread_barrier_init(&r->start, NULL, (unsigned)n_threads);
    lutra_thread_pool_run(pool, n_threads, read_bursts, r);
    pthread_barrier_destroy(&r->start);
    *bytes_per_second = (double)(all * r->passes) / fastest(r, n_threads);
cleanup:
    lutra_thread_pool_free(pool);
    free(memory);
    free(r);
    return status;
}

double lutra_measure_clock(void)
{
    double least = 0;
    size_t sum = 0, summand = 1;
    __asm__ volatile("" : "+r"(summand)); /* some processors add a number that they see for nothing */
    for (size_t burst = 0; burst < BURSTS; burst++) {
        const double begin = lutra_seconds();
        for (size_t i = 0; i < ADDITIONS / 16; i++)
            for (size_t j = 0; j < 16; j++) {
                sum += summand;
                __asm__ volatile("" : "+r"(sum)); /* neither folded nor reordered */
            }
        const double took = lutra_seconds() - begin;
        least = burst == 0 || took < least ? took : least;
    }
    return (double)ADDITIONS / least;
}
