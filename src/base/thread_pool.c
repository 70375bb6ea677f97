/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"

#if defined(__x86_64__) || defined(__i386__)
#define pause_cpu() __builtin_ia32_pause()
#else
#define pause_cpu() ((void)0)
#endif

/* A model's steps follow each other within microseconds, a wake-up by the kernel costs 5 to 100 of them, most
 * in a virtual machine. Who sleeps too soon makes the other wait for his wake-up, who then sleeps himself: at
 * each step again. So who waits looks this often (some 20 us), then this often again while whoever else wants
 * the processor gets it (some 500 us where nobody does), before he goes to sleep. */
#define LOOKS_ALONE 2000
#define LOOKS_YIELDING 1500

struct lutra_thread_pool {
    /* A worker's share of the tasks: the number of the job << 32 | how many of them nobody has taken yet. Who
     * lowers the count has taken a task, and until it is finished the job's fields stay; nobody else
     * may read them. So a job ends with its last task: a worker that the system has put aside, or that sleeps
     * still, holds nobody up. */
    struct share {
        _Alignas(LUTRA_ALIGNMENT) _Atomic(uint64_t) ticket;
    } shares[LUTRA_MAX_THREADS];
    pthread_mutex_t mutex;
    pthread_cond_t work_came, work_done;
    atomic_uint job_number; /* of the latest job */
    atomic_bool stopping;
    bool pinned;
    atomic_size_t n_unfinished; /* tasks */
    size_t n_tasks;
    lutra_task *task;
    void *job;
    size_t n_threads, n_started;
    pid_t process;                      /* whose threads the workers are */
    cpu_set_t caller_stays, caller_was; /* where the calling thread is kept, and where it may run else */
    struct worker {
        lutra_thread_pool *pool;
        size_t index;
        pthread_t thread;
    } workers[LUTRA_MAX_THREADS]; /* [0] is the caller and has no thread */
};

static uint32_t job_of(uint64_t ticket)
{
    return (uint32_t)(ticket >> 32);
}

static uint32_t tasks_left(uint64_t ticket)
{
    return (uint32_t)ticket;
}

/* The first task of a worker's share. */
static size_t share_begin(size_t n_tasks, size_t n_threads, size_t worker)
{
    return (size_t)((uint64_t)n_tasks * worker / n_threads);
}

/* Of `job` alone: of the next one he begins with his own. */
static void take_share(lutra_thread_pool *pool, uint32_t job, size_t whose, size_t worker)
{
    struct share *share = &pool->shares[whose];
    uint64_t ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
    while (job_of(ticket) == job && tasks_left(ticket) > 0) {
        if (!atomic_compare_exchange_weak_explicit(&share->ticket, &ticket, ticket - 1, memory_order_acquire,
                                                   memory_order_acquire))
            continue; /* with the ticket as it is now */
        const size_t end = share_begin(pool->n_tasks, pool->n_threads, whose + 1);
        pool->task(pool->job, end - tasks_left(ticket), worker);
        if (atomic_fetch_sub_explicit(&pool->n_unfinished, 1, memory_order_acq_rel) == 1 && worker != 0) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->work_done);
            pthread_mutex_unlock(&pool->mutex);
        }
        ticket = atomic_load_explicit(&share->ticket, memory_order_acquire);
    }
}

/* His own share first, then what others have left. */
static void take_tasks(lutra_thread_pool *pool, uint32_t job, size_t worker)
{
    for (size_t i = 0; i < pool->n_threads; i++)
        take_share(pool, job, (worker + i) % pool->n_threads, worker);
}

/* Passes a moment; false when it is time to sleep. */
static bool wait_on(int *n_looks)
{
    if (*n_looks < LOOKS_ALONE)
        pause_cpu();
    else
        sched_yield();
    return ++*n_looks < LOOKS_ALONE + LOOKS_YIELDING;
}

static uint32_t wait_for_job_after(lutra_thread_pool *pool, uint32_t seen)
{
    uint32_t job = seen;
    int n_looks = 0;
    do {
        job = atomic_load_explicit(&pool->job_number, memory_order_acquire);
        if (job != seen)
            return job;
    } while (wait_on(&n_looks));
    pthread_mutex_lock(&pool->mutex);
    while ((job = atomic_load_explicit(&pool->job_number, memory_order_acquire)) == seen)
        pthread_cond_wait(&pool->work_came, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
    return job;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    lutra_thread_pool *pool = worker->pool;
    uint32_t seen = 0;
    for (;;) {
        seen = wait_for_job_after(pool, seen);
        if (atomic_load_explicit(&pool->stopping, memory_order_acquire))
            return NULL;
        take_tasks(pool, seen, worker->index);
    }
}

/* The number of the job. */
static uint32_t publish(lutra_thread_pool *pool, size_t n_tasks)
{
    pthread_mutex_lock(&pool->mutex);
    const uint32_t job = atomic_load_explicit(&pool->job_number, memory_order_relaxed) + 1;
    for (size_t i = 0; i < pool->n_threads; i++) {
        const size_t begin = share_begin(n_tasks, pool->n_threads, i);
        const size_t n = share_begin(n_tasks, pool->n_threads, i + 1) - begin;
        atomic_store_explicit(&pool->shares[i].ticket, (uint64_t)job << 32 | n, memory_order_release);
    }
    atomic_store_explicit(&pool->job_number, job, memory_order_release);
    pthread_cond_broadcast(&pool->work_came);
    pthread_mutex_unlock(&pool->mutex);
    return job;
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
    atomic_store_explicit(&pool->n_unfinished, n_tasks, memory_order_relaxed);
    take_tasks(pool, publish(pool, n_tasks), 0);
    int n_looks = 0;
    do {
        if (atomic_load_explicit(&pool->n_unfinished, memory_order_acquire) == 0)
            return;
    } while (wait_on(&n_looks));
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->n_unfinished, memory_order_acquire) != 0)
        pthread_cond_wait(&pool->work_done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

void lutra_thread_pool_free(lutra_thread_pool *pool)
{
    if (!pool)
        return;
    if (pool->process != getpid()) {
        free(pool); /* in a child of fork(): the workers, and who waits on what, stayed behind */
        return;
    }
    atomic_store_explicit(&pool->stopping, true, memory_order_release);
    publish(pool, 0);
    for (size_t i = 1; i <= pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->work_done);
    pthread_cond_destroy(&pool->work_came);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

/* Workers take no signals: a program's handlers run in its own threads, where it waits to be interrupted.
 * Only what a thread brings upon itself reaches it or nobody: blocked, such a signal kills the program,
 * whatever handler it has (of a mapped file that was cut short, SIGBUS). */
static int start_worker(struct worker *worker)
{
    static const int own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const int failure = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
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
    pool->process = getpid();
    for (size_t i = 1; i < n_threads; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .index = i};
        const int failure = start_worker(&pool->workers[i]);
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

/* Whether the set holds `cpu` now. */
static bool set_of(size_t cpu, cpu_set_t *set)
{
    CPU_ZERO(set);
    if (cpu < CPU_SETSIZE)
        CPU_SET(cpu, set);
    return cpu < CPU_SETSIZE;
}

lutra_status lutra_thread_pool_pin(lutra_thread_pool *pool, const size_t *cpus, size_t n_cpus,
                                   lutra_error *error)
{
    if (n_cpus < 1 || n_cpus > LUTRA_MAX_THREADS)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "%zu CPUs: the number must be between 1 and %d", n_cpus, LUTRA_MAX_THREADS);
    cpu_set_t allowed, set;
    CPU_ZERO(&allowed);
    sched_getaffinity(0, sizeof allowed, &allowed);
    for (size_t i = 0; i < n_cpus; i++)
        if (!set_of(cpus[i], &set) || !CPU_ISSET(cpus[i], &allowed))
            return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                              "CPU %zu: there is none such that this process may use", cpus[i]);
    for (size_t i = 1; i < pool->n_threads; i++) {
        set_of(cpus[i % n_cpus], &set);
        const int failure = pthread_setaffinity_np(pool->workers[i].thread, sizeof set, &set);
        if (failure)
            return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                              "CPU %zu: cannot keep a thread there (error %d)", cpus[i % n_cpus], failure);
    }
    set_of(cpus[0], &pool->caller_stays);
    pool->pinned = true;
    return LUTRA_OK;
}

void lutra_thread_pool_enter(lutra_thread_pool *pool)
{
    if (pool->pinned && sched_getaffinity(0, sizeof pool->caller_was, &pool->caller_was) == 0)
        sched_setaffinity(0, sizeof pool->caller_stays, &pool->caller_stays);
}

void lutra_thread_pool_leave(lutra_thread_pool *pool)
{
    if (pool->pinned)
        sched_setaffinity(0, sizeof pool->caller_was, &pool->caller_was);
}

size_t lutra_thread_pool_size(const lutra_thread_pool *pool)
{
    return pool->n_threads;
}
