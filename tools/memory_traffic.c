/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* pthread_setaffinity_np */
#include "memory_traffic.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "terminal.h"

#define MIB ((size_t)1 << 20)

uint64_t tool_cache_bytes(const lutra_device *device, size_t n_threads)
{
    return device->n_caches ? lutra_device_cache_bytes(device, device->n_caches - 1, n_threads) : 8 * MIB;
}

/* Of this machine, however many there are of it. */
static size_t one_cache(void)
{
    lutra_device device;
    lutra_device_look(&device);
    return (size_t)tool_cache_bytes(&device, 1);
}

/* A sum that is kept, so that the reads are not optimised away. */
static void read_all(const uint64_t *memory /* [bytes / 8] */, size_t bytes, volatile uint64_t *sink)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes / sizeof *memory; i++)
        sum += memory[i];
    *sink = sum;
}

/* Written once: pages that were never written all share one page of zeros. */
static uint64_t *written_memory(size_t bytes)
{
    uint64_t *memory = malloc(bytes);
    if (memory)
        memset(memory, 0x5a, bytes);
    return memory;
}

/* ---- emptying the caches ----------------------------------------------------------------------- */

struct tool_evictor {
    uint64_t *memory; /* [bytes / 8]: all CPUs read the same, and each cache takes it in */
    size_t bytes, n_cpus;
    size_t *cpus; /* [n_cpus] */
};

typedef struct eviction {
    const uint64_t *memory;
    size_t bytes;
    size_t cpu;
    pthread_t thread;
    bool started;
    volatile uint64_t sink;
} eviction;

tool_evictor *tool_evictor_create(void)
{
    tool_evictor *evictor = calloc(1, sizeof *evictor);
    cpu_set_t allowed;
    if (!evictor)
        return NULL;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) == 0) {
        CPU_ZERO(&allowed);
        CPU_SET(0, &allowed);
    }
    evictor->cpus = calloc((size_t)CPU_COUNT(&allowed), sizeof *evictor->cpus);
    for (size_t cpu = 0; evictor->cpus && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            evictor->cpus[evictor->n_cpus++] = cpu;
    evictor->bytes = 2 * one_cache();
    if (evictor->n_cpus)
        evictor->memory = written_memory(evictor->bytes);
    if (!evictor->memory) {
        tool_evictor_free(evictor);
        return NULL;
    }
    return evictor;
}

void tool_evictor_free(tool_evictor *evictor)
{
    if (!evictor)
        return;
    free(evictor->memory);
    free(evictor->cpus);
    free(evictor);
}

static void *evict_one(void *argument)
{
    eviction *e = argument;
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(e->cpu, &only);
    pthread_setaffinity_np(pthread_self(), sizeof only, &only);
    read_all(e->memory, e->bytes, &e->sink);
    return NULL;
}

size_t tool_evict(tool_evictor *evictor)
{
    eviction *evictions = calloc(evictor->n_cpus, sizeof *evictions);
    bool done = evictions != NULL;
    for (size_t i = 0; done && i < evictor->n_cpus; i++) {
        eviction *e = &evictions[i];
        e->memory = evictor->memory;
        e->bytes = evictor->bytes;
        e->cpu = evictor->cpus[i];
        done = e->started = pthread_create(&e->thread, NULL, evict_one, e) == 0;
    }
    for (size_t i = 0; evictions && i < evictor->n_cpus; i++)
        if (evictions[i].started)
            pthread_join(evictions[i].thread, NULL);
    free(evictions);
    return done ? evictor->n_cpus * evictor->bytes : 0;
}

/* ---- contention -------------------------------------------------------------------------------- */

#define PIECE_BYTES MIB

typedef struct reader {
    tool_contention *contention;
    uint64_t *memory; /* [contention->share] bytes */
    pthread_t thread;
    bool started;
    uint64_t bytes; /* read so far; of the thread until it has ended */
    volatile uint64_t sink;
} reader;

struct tool_contention {
    atomic_bool stop;
    double began;
    size_t share, n;
    reader *readers; /* [n] */
};

static void *read_until_stopped(void *argument)
{
    reader *r = argument;
    const size_t share = r->contention->share;
    for (size_t at = 0; !atomic_load_explicit(&r->contention->stop, memory_order_relaxed);
         at = (at + PIECE_BYTES) % share) {
        read_all(r->memory + at / sizeof *r->memory, PIECE_BYTES, &r->sink);
        r->bytes += PIECE_BYTES;
    }
    return NULL;
}

tool_contention *tool_contention_start(size_t n_threads)
{
    tool_contention *contention = calloc(1, sizeof *contention);
    if (!contention)
        return NULL;
    contention->share = (one_cache() / PIECE_BYTES + 16) * PIECE_BYTES;
    contention->readers = calloc(n_threads, sizeof *contention->readers);
    bool started = contention->readers != NULL;
    for (size_t i = 0; started && i < n_threads; i++) {
        reader *r = &contention->readers[contention->n++];
        r->contention = contention;
        r->memory = written_memory(contention->share);
        started = r->started = r->memory && pthread_create(&r->thread, NULL, read_until_stopped, r) == 0;
    }
    contention->began = tool_seconds();
    if (started)
        return contention;
    tool_contention_stop(contention);
    return NULL;
}

double tool_contention_stop(tool_contention *contention)
{
    uint64_t bytes = 0;
    if (!contention)
        return 0;
    const double seconds = tool_seconds() - contention->began;
    atomic_store(&contention->stop, true);
    for (size_t i = 0; i < contention->n; i++) {
        reader *r = &contention->readers[i];
        if (r->started)
            pthread_join(r->thread, NULL);
        bytes += r->bytes;
        free(r->memory);
    }
    free(contention->readers);
    free(contention);
    return seconds > 0 ? (double)bytes / seconds : 0;
}
