/* SPDX-License-Identifier: Apache-2.0 */
/* Every task runs exactly once, on a worker of its own number, and its writes are seen when run returns. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread_pool.h"

#if defined(__SANITIZE_THREAD__)
#define IN_THREAD_SANITIZER true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IN_THREAD_SANITIZER true
#endif
#endif
#ifndef IN_THREAD_SANITIZER
#define IN_THREAD_SANITIZER false
#endif

/* The linker's --wrap sends pthread_create here: threads beyond `threads_allowed` cannot be created. */
static atomic_size_t threads_allowed = SIZE_MAX;
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument)
{
    if (atomic_load(&threads_allowed) == 0)
        return EAGAIN;
    atomic_fetch_sub(&threads_allowed, 1);
    return __real_pthread_create(thread, attributes, run, argument);
}

#define MAX_TASKS 1000

typedef struct count_job {
    size_t n_threads;
    unsigned runs[MAX_TASKS]; /* plain, not atomic: ThreadSanitizer sees a task that runs twice at once */
    _Atomic(unsigned) in_use[LUTRA_MAX_THREADS];
    atomic_bool worker_out_of_range, worker_shared;
} count_job;

static void count_task(void *argument, size_t task, size_t worker)
{
    count_job *job = argument;
    if (worker >= job->n_threads) {
        atomic_store(&job->worker_out_of_range, true);
        return;
    }
    if (atomic_fetch_add(&job->in_use[worker], 1) != 0)
        atomic_store(&job->worker_shared, true);
    job->runs[task]++;
    atomic_fetch_sub(&job->in_use[worker], 1);
}

static void run_and_check(lutra_thread_pool *pool, size_t n_threads, size_t n_tasks)
{
    count_job *job = calloc(1, sizeof *job);
    assert_non_null(job);
    job->n_threads = n_threads;
    lutra_thread_pool_run(pool, n_tasks, count_task, job);
    for (size_t i = 0; i < MAX_TASKS; i++)
        assert_int_equal(job->runs[i], i < n_tasks);
    assert_false(job->worker_out_of_range);
    assert_false(job->worker_shared);
    free(job);
}

#define N_SHARERS 3

typedef struct share_job {
    pthread_barrier_t all_there;
    size_t workers[2 * N_SHARERS]; /* of each task */
} share_job;

/* Nobody goes on before each worker has come, and so nobody takes what another would have begun with. */
static void meet(void *argument, size_t task, size_t worker)
{
    share_job *job = argument;
    job->workers[task] = worker;
    pthread_barrier_wait(&job->all_there);
}

static void workers_begin_with_their_own_share(void **state)
{
    (void)state;
    lutra_thread_pool *pool;
    share_job job;
    assert_int_equal(lutra_thread_pool_create(N_SHARERS, &pool, NULL), LUTRA_OK);
    assert_int_equal(pthread_barrier_init(&job.all_there, NULL, N_SHARERS), 0);
    for (size_t round = 0; round < 100; round++) {
        lutra_thread_pool_run(pool, 2 * N_SHARERS, meet, &job);
        for (size_t i = 0; i < 2 * N_SHARERS; i += 2)
            assert_int_equal(job.workers[i], i / 2);
    }
    pthread_barrier_destroy(&job.all_there);
    lutra_thread_pool_free(pool);
}

typedef struct mask_job {
    pthread_barrier_t all_there;
    sigset_t blocked[N_SHARERS]; /* of each worker */
} mask_job;

static void note_mask(void *argument, size_t task, size_t worker)
{
    mask_job *job = argument;
    (void)task;
    pthread_sigmask(SIG_BLOCK, NULL, &job->blocked[worker]);
    pthread_barrier_wait(&job->all_there);
}

static void workers_take_no_signals_but_their_own(void **state)
{
    (void)state;
    const int of_the_program[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGCHLD, SIGUSR1};
    const int their_own[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    lutra_thread_pool *pool;
    mask_job job;
    sigset_t before, after;
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    assert_int_equal(lutra_thread_pool_create(N_SHARERS, &pool, NULL), LUTRA_OK);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    assert_int_equal(pthread_barrier_init(&job.all_there, NULL, N_SHARERS), 0);
    lutra_thread_pool_run(pool, N_SHARERS, note_mask, &job);
    for (size_t worker = 1; worker < N_SHARERS; worker++) {
        for (size_t i = 0; i < sizeof of_the_program / sizeof *of_the_program; i++)
            assert_int_equal(sigismember(&job.blocked[worker], of_the_program[i]), 1);
        for (size_t i = 0; i < sizeof their_own / sizeof *their_own; i++)
            assert_int_equal(sigismember(&job.blocked[worker], their_own[i]), 0);
    }
    for (int i = 1; i < SIGRTMIN; i++)
        assert_int_equal(sigismember(&after, i), sigismember(&before, i));
    pthread_barrier_destroy(&job.all_there);
    lutra_thread_pool_free(pool);
}

static void every_task_runs_once(void **state)
{
    (void)state;
    const size_t threads[] = {1, 2, 3, 8, LUTRA_MAX_THREADS};
    const size_t tasks[] = {0, 1, 2, 3, 7, 64, 65, MAX_TASKS};
    for (size_t t = 0; t < sizeof threads / sizeof *threads; t++) {
        lutra_thread_pool *pool;
        assert_int_equal(lutra_thread_pool_create(threads[t], &pool, NULL), LUTRA_OK);
        assert_int_equal(lutra_thread_pool_size(pool), threads[t]);
        for (size_t n = 0; n < sizeof tasks / sizeof *tasks; n++)
            run_and_check(pool, threads[t], tasks[n]);
        lutra_thread_pool_free(pool);
    }
}

/* Jobs that follow at once find the workers spinning, those after a pause find them asleep. */
static void many_jobs_follow_each_other(void **state)
{
    (void)state;
    lutra_thread_pool *pool;
    assert_int_equal(lutra_thread_pool_create(4, &pool, NULL), LUTRA_OK);
    volatile unsigned pause = 0;
    for (size_t i = 0; i < 400; i++) {
        run_and_check(pool, 4, 2 + i % 9);
        if (i % 8 == 0)
            for (unsigned spin = 0; spin < 200000; spin++)
                pause = spin;
    }
    (void)pause;
    lutra_thread_pool_free(pool);
}

typedef struct chain {
    uint64_t *now, *next; /* [MAX_TASKS] */
} chain;

static void advance(void *argument, size_t task, size_t worker)
{
    (void)worker;
    chain *links = argument;
    links->next[task] = links->now[task] + links->now[(task + 1) % MAX_TASKS] + 1;
}

static uint64_t chain_of_jobs(size_t n_threads)
{
    static uint64_t buffers[2][MAX_TASKS];
    memset(buffers, 0, sizeof buffers);
    lutra_thread_pool *pool;
    assert_int_equal(lutra_thread_pool_create(n_threads, &pool, NULL), LUTRA_OK);
    for (size_t i = 0; i < 50; i++) {
        chain links = {.now = buffers[i % 2], .next = buffers[(i + 1) % 2]};
        lutra_thread_pool_run(pool, MAX_TASKS, advance, &links);
    }
    lutra_thread_pool_free(pool);
    return buffers[0][0];
}

/* After 50 steps of x <- 2 x + 1 from 0, each entry is 2^50 - 1, if every job saw all of the one before. */
static void a_job_sees_the_one_before(void **state)
{
    (void)state;
    assert_int_equal(chain_of_jobs(1), (UINT64_C(1) << 50) - 1);
    assert_int_equal(chain_of_jobs(5), (UINT64_C(1) << 50) - 1);
}

typedef struct sum_job {
    uint64_t results[64];
} sum_job;

/* The tasks' lengths differ a hundredfold, and the longest come last. */
static void sum_unequally(void *argument, size_t task, size_t worker)
{
    (void)worker;
    sum_job *job = argument;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < 100 + 150 * (uint64_t)task; i++)
        sum = sum * 6364136223846793005u + i;
    job->results[task] = sum;
}

static void unequal_tasks_give_the_same_on_any_number_of_threads(void **state)
{
    (void)state;
    sum_job alone = {{0}};
    for (size_t i = 0; i < 64; i++)
        sum_unequally(&alone, i, 0);
    for (size_t n_threads = 1; n_threads <= LUTRA_MAX_THREADS; n_threads += 7) {
        lutra_thread_pool *pool;
        assert_int_equal(lutra_thread_pool_create(n_threads, &pool, NULL), LUTRA_OK);
        for (size_t round = 0; round < 20; round++) {
            sum_job job = {{0}};
            lutra_thread_pool_run(pool, 64, sum_unequally, &job);
            assert_memory_equal(&job, &alone, sizeof job);
        }
        lutra_thread_pool_free(pool);
    }
}

/* A caller with a pool of its own, as a second context in another thread is. */
static void *run_own_pool(void *argument)
{
    bool *all_right = argument;
    lutra_thread_pool *pool;
    sum_job alone = {{0}};
    for (size_t i = 0; i < 64; i++)
        sum_unequally(&alone, i, 0);
    *all_right = lutra_thread_pool_create(3, &pool, NULL) == LUTRA_OK;
    for (size_t round = 0; round < 200 && *all_right; round++) {
        sum_job job = {{0}};
        lutra_thread_pool_run(pool, 1 + round % 64, sum_unequally, &job);
        *all_right = memcmp(&job, &alone, (1 + round % 64) * sizeof *job.results) == 0;
    }
    lutra_thread_pool_free(pool);
    return NULL;
}

static void two_pools_work_at_once(void **state)
{
    (void)state;
    bool all_right[2];
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, run_own_pool, &all_right[1]), 0);
    run_own_pool(&all_right[0]);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_true(all_right[0]);
    assert_true(all_right[1]);
}

typedef struct place_job {
    size_t cpus[2];
    atomic_bool elsewhere;
} place_job;

static void note_place(void *argument, size_t task, size_t worker)
{
    place_job *job = argument;
    cpu_set_t mine;
    (void)task;
    sched_getaffinity(0, sizeof mine, &mine);
    if (CPU_COUNT(&mine) != 1 || !CPU_ISSET(job->cpus[worker % 2], &mine))
        atomic_store(&job->elsewhere, true);
}

/* The first CPU of this process, from the last on where `from_last`. */
static size_t a_cpu(const cpu_set_t *allowed, bool from_last)
{
    for (size_t i = 0; i < CPU_SETSIZE; i++) {
        const size_t cpu = from_last ? CPU_SETSIZE - 1 - i : i;
        if (CPU_ISSET(cpu, allowed))
            return cpu;
    }
    fail();
    return 0;
}

static void pinned_threads_stay_and_the_caller_goes_back(void **state)
{
    (void)state;
    lutra_thread_pool *pool;
    lutra_error error;
    cpu_set_t before, after;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    place_job job = {.cpus = {a_cpu(&before, false), a_cpu(&before, true)}};
    assert_int_equal(lutra_thread_pool_create(4, &pool, NULL), LUTRA_OK);
    assert_int_equal(lutra_thread_pool_pin(pool, job.cpus, 2, &error), LUTRA_OK);
    for (size_t i = 0; i < 10; i++) {
        lutra_thread_pool_enter(pool);
        lutra_thread_pool_run(pool, 100, note_place, &job);
        lutra_thread_pool_leave(pool);
        assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&before, &after));
    }
    assert_false(job.elsewhere);

    const size_t none[] = {CPU_SETSIZE}, many[LUTRA_MAX_THREADS + 1] = {0};
    assert_int_equal(lutra_thread_pool_pin(pool, none, 1, &error), LUTRA_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "CPU 1024"));
    assert_int_equal(lutra_thread_pool_pin(pool, many, LUTRA_MAX_THREADS + 1, &error), LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_thread_pool_pin(pool, many, 0, &error), LUTRA_ERROR_ARGUMENT);
    lutra_thread_pool_free(pool);
}

static void numbers_out_of_range_are_refused(void **state)
{
    (void)state;
    const size_t numbers[] = {0, LUTRA_MAX_THREADS + 1, SIZE_MAX};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        lutra_error error;
        lutra_thread_pool *pool = (lutra_thread_pool *)&error;
        assert_int_equal(lutra_thread_pool_create(numbers[i], &pool, &error), LUTRA_ERROR_ARGUMENT);
        assert_null(pool);
        assert_non_null(strstr(error.message, "threads"));
    }
}

static void threads_that_cannot_start_are_an_error(void **state)
{
    (void)state;
    for (size_t allowed = 0; allowed < 4; allowed++) {
        lutra_error error;
        lutra_thread_pool *pool = NULL;
        atomic_store(&threads_allowed, allowed);
        lutra_status status = lutra_thread_pool_create(5, &pool, &error);
        atomic_store(&threads_allowed, SIZE_MAX);
        assert_int_equal(status, LUTRA_ERROR_MEMORY);
        assert_null(pool);
        assert_non_null(strstr(error.message, "cannot start thread"));
    }
}

/* A child of fork() has the pool without its threads, and leaves it so. */
static void a_forked_child_frees_it(void **state)
{
    (void)state;
    if (IN_THREAD_SANITIZER)
        skip(); /* does not follow a fork of several threads */
    lutra_thread_pool *pool;
    assert_int_equal(lutra_thread_pool_create(4, &pool, NULL), LUTRA_OK);
    run_and_check(pool, 4, 100);
    const pid_t child = fork();
    if (child == 0) {
        lutra_thread_pool_free(pool);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    run_and_check(pool, 4, 100);
    lutra_thread_pool_free(pool);
}

static void freeing_nothing_is_fine(void **state)
{
    (void)state;
    lutra_thread_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(workers_begin_with_their_own_share),
        cmocka_unit_test(workers_take_no_signals_but_their_own),
        cmocka_unit_test(many_jobs_follow_each_other),
        cmocka_unit_test(a_job_sees_the_one_before),
        cmocka_unit_test(unequal_tasks_give_the_same_on_any_number_of_threads),
        cmocka_unit_test(two_pools_work_at_once),
        cmocka_unit_test(pinned_threads_stay_and_the_caller_goes_back),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(threads_that_cannot_start_are_an_error),
        cmocka_unit_test(a_forked_child_frees_it),
        cmocka_unit_test(freeing_nothing_is_fine),
    };
    return cmocka_run_group_tests_name("thread_pool", tests, NULL, NULL);
}
