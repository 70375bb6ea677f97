/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/thread_pool.h"
#include "profile/peak.h"

#define BURSTS 16 /* of which the fastest counts: the first may find the wide units asleep */

typedef struct peak_job {
    lutra_peak peak;
    pthread_barrier_t start;
    double macs_per_second[LUTRA_MAX_THREADS];
} peak_job;

/* Threads wait for each other, so each does one task, all at the same time. */
static void measure_thread(void *job, size_t task, size_t worker)
{
    peak_job *p = job;
    double least = 0;
    (void)worker;
    pthread_barrier_wait(&p->start);
    for (size_t i = 0; i < BURSTS; i++) {
        const double begin = lutra_seconds();
        p->peak.run(NULL);
        const double took = lutra_seconds() - begin;
        least = i == 0 || took < least ? took : least;
    }
    p->macs_per_second[task] = p->peak.macs / least;
}

lutra_status lutra_measure_peak(lutra_mode mode, size_t n_threads, double *gmacs, lutra_error *error)
{
    peak_job job;
    lutra_thread_pool *pool = NULL;
    const char *level = NULL;
    lutra_status status = lutra_isa(&level, error);
    *gmacs = 0;
    if (status || !lutra_peak_of(level, mode, &job.peak))
        return status;
    if ((status = lutra_thread_pool_create(n_threads, &pool, error)))
        return status;
    pthread_barrier_init(&job.start, NULL, (unsigned)n_threads);
    lutra_thread_pool_run(pool, n_threads, measure_thread, &job);
    pthread_barrier_destroy(&job.start);
    lutra_thread_pool_free(pool);
    for (size_t i = 0; i < n_threads; i++)
        *gmacs += 1e-9 * job.macs_per_second[i];
    /* Threads that share a CPU each had bursts in which it was theirs alone. */
    const size_t n_cpus = lutra_cpu_count();
    if (n_threads > n_cpus)
        *gmacs *= (double)n_cpus / (double)n_threads;
    return LUTRA_OK;
}
