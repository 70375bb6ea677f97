/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/memory.h"

#if defined(__x86_64__) || defined(__i386__)
#define pause_cpu() __builtin_ia32_pause()
#else
#define pause_cpu() ((void)0)
#endif

/* A model's steps follow each other within microseconds, a wake-up by the kernel costs 5 to 50 of them: a
 * worker looks for the next job this often (some 20 us) before it goes to sleep. */
#define SPINS_BEFORE_SLEEP 2000

struct lutra_thread_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work_came, work_done;
    /* A job is published by increasing `generation`; each worker takes part in each job once. */
    atomic_uint generation;
    atomic_size_t next_task;
    atomic_size_t n_busy; /* workers that have not finished the current job */
    size_t n_tasks;
    lutra_task *task;
    void *job;
    bool stopping; /* guarded by the generation, as the job is */
    size_t n_threads, n_started;
    struct worker {
        lutra_thread_pool *pool;
        size_t index;
        pthread_t thread;
    } workers[LUTRA_MAX_THREADS]; /* [0] is the caller and has no thread */
};

static void take_tasks(lutra_thread_pool *pool, size_t worker)
{
    size_t task;
    while ((task = atomic_fetch_add_explicit(&pool->next_task, 1, memory_order_relaxed)) < pool->n_tasks)
        pool->task(pool->job, task, worker);
}

static unsigned wait_for_generation_after(lutra_thread_pool *pool, unsigned seen)
{
    for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
        unsigned generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (generation != seen)
            return generation;
        pause_cpu();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen)
        pthread_cond_wait(&pool->work_came, &pool->mutex);
    unsigned generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
    pthread_mutex_unlock(&pool->mutex);
    return generation;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    lutra_thread_pool *pool = worker->pool;
    unsigned seen = 0;
    for (;;) {
        seen = wait_for_generation_after(pool, seen);
        if (pool->stopping)
            return NULL;
        take_tasks(pool, worker->index);
        if (atomic_fetch_sub_explicit(&pool->n_busy, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->work_done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

static void publish(lutra_thread_pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add_explicit(&pool->generation, 1, memory_order_release);
    pthread_cond_broadcast(&pool->work_came);
    pthread_mutex_unlock(&pool->mutex);
}

void lutra_thread_pool_run(lutra_thread_pool *pool, size_t n_tasks, lutra_task *task, void *job)
{
    if (pool->n_threads == 1 || n_tasks <= 1) {
        for (size_t i = 0; i < n_tasks; i++)
            task(job, i, 0);
        return;
    }
    pool->task = task;
    pool->job = job;
    pool->n_tasks = n_tasks;
    atomic_store_explicit(&pool->next_task, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->n_busy, pool->n_threads - 1, memory_order_relaxed);
    publish(pool);
    take_tasks(pool, 0);
    for (int i = 0; i < SPINS_BEFORE_SLEEP; i++) {
        if (atomic_load_explicit(&pool->n_busy, memory_order_acquire) == 0)
            return;
        pause_cpu();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->n_busy, memory_order_acquire) != 0)
        pthread_cond_wait(&pool->work_done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void lutra_thread_pool_free(lutra_thread_pool *pool)
{
    if (!pool)
        return;
    pool->stopping = true;
    publish(pool);
    for (size_t i = 1; i <= pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->work_done);
    pthread_cond_destroy(&pool->work_came);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

lutra_status lutra_thread_pool_create(size_t n_threads, lutra_thread_pool **result, lutra_error *error)
{
    lutra_thread_pool *pool = NULL;
    *result = NULL;
    if (n_threads < 1 || n_threads > LUTRA_MAX_THREADS)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu threads: the number must be between 1 and %d", n_threads, LUTRA_MAX_THREADS);
    lutra_status status = lutra_allocate(1, sizeof *pool, "the thread pool", &pool, error);
    if (status)
        return status;
    /* With default attributes these cannot fail on Linux. */
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work_came, NULL);
    pthread_cond_init(&pool->work_done, NULL);
    pool->n_threads = n_threads;
    for (size_t i = 1; i < n_threads; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .index = i};
        int failure = pthread_create(&pool->workers[i].thread, NULL, work, &pool->workers[i]);
        if (failure) {
            lutra_thread_pool_free(pool);
            return lutra_fail(error, LUTRA_ERROR_MEMORY, NULL, LUTRA_NO_OFFSET,
                              "cannot start thread %zu of %zu (error %d)", i + 1, n_threads, failure);
        }
        pool->n_started = i;
    }
    *result = pool;
    return LUTRA_OK;
}

size_t lutra_thread_pool_size(const lutra_thread_pool *pool)
{
    return pool->n_threads;
}
