/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool of threads that share out numbered tasks:
 *
 *     lutra_thread_pool_run(pool, n_panels, multiply_panel, &job);
 *
 * calls multiply_panel(&job, task, worker) once for each task in 0..n_panels-1, on any of the pool's threads,
 * and returns when all are done. Worker w of W begins with his share, the tasks from n w / W on: where jobs
 * follow each other and the same share means the same rows, they are still in his processor's caches. Tasks
 * are taken one by one, and who has done his share takes from the others', so unequal ones balance. The
 * calling thread works too, as worker 0; idle threads sleep.
 */
#ifndef LUTRA_BASE_THREAD_POOL_H
#define LUTRA_BASE_THREAD_POOL_H

#include "base/error.h"

/* So many tasks per thread that a slower thread leaves some to the others. */
#define LUTRA_TASKS_PER_THREAD ((size_t)3)

typedef struct lutra_thread_pool lutra_thread_pool;
typedef void lutra_task(void *job, size_t task, size_t worker);

/* `n_threads` in 1..LUTRA_MAX_THREADS, the caller's included. A thread that cannot be created is an error. */
lutra_status lutra_thread_pool_create(size_t n_threads, lutra_thread_pool **pool, lutra_error *error);
void lutra_thread_pool_free(lutra_thread_pool *pool); /* NULL is fine */
size_t lutra_thread_pool_size(const lutra_thread_pool *pool);

/* Keeps worker i on CPU cpus[i % n_cpus] alone, n_cpus in 1..LUTRA_MAX_THREADS: the pool's own threads from
 * now on, the calling one between enter and leave, which do nothing in other pools. A CPU that the process
 * may not use is an error. */
lutra_status lutra_thread_pool_pin(lutra_thread_pool *pool, const size_t *cpus, size_t n_cpus,
                                   lutra_error *error);
void lutra_thread_pool_enter(lutra_thread_pool *pool);
void lutra_thread_pool_leave(lutra_thread_pool *pool);

/* `n_tasks` < 2^32. Not to be called from within a task, nor from two threads at once. */
void lutra_thread_pool_run(lutra_thread_pool *pool, size_t n_tasks, lutra_task *task, void *job);

#endif
