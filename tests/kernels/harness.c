/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CANARY 0xc5

void begin_case(harness *h, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(h->situation, sizeof h->situation, format, arguments);
    va_end(arguments);
    h->n_cases++;
}

void fail_case(harness *h, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (h->n_failures++ < 20)
        printf("FAIL %s %s (%s): %s\n", h->kernels->name, h->kernel, h->situation, text);
}

static void check_canaries(harness *h, const struct buffer *buffer, size_t page)
{
    const size_t end = buffer->map_size - page;
    for (size_t i = page; i < end; i++) {
        if (i >= buffer->begin && i < buffer->begin + buffer->size) {
            i = buffer->begin + buffer->size - 1;
            continue;
        }
        if (buffer->map[i] != CANARY) {
            fail_case(h, "wrote byte %td of a buffer of %zu bytes", (ptrdiff_t)i - (ptrdiff_t)buffer->begin,
                      buffer->size);
            return;
        }
    }
}

void end_case(harness *h)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t i = 0; i < h->n_buffers; i++) {
        check_canaries(h, &h->buffers[i], page);
        munmap(h->buffers[i].map, h->buffers[i].map_size);
    }
    h->n_buffers = 0;
}

void *guarded(harness *h, size_t size, size_t alignment)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t inner = (size + alignment + 64 + page - 1) / page * page;
    unsigned char *map =
        mmap(NULL, inner + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || h->n_buffers == MAX_BUFFERS) {
        fprintf(stderr, "cannot map a buffer of %zu bytes\n", size);
        exit(2);
    }
    mprotect(map, page, PROT_NONE);
    mprotect(map + page + inner, page, PROT_NONE);
    memset(map + page, CANARY, inner);
    const size_t begin = (page + inner - size) / alignment * alignment;
    for (size_t i = 0; i < size; i++)
        map[begin + i] = (unsigned char)(random_bits(h) >> 56);
    h->buffers[h->n_buffers++] =
        (struct buffer){.map = map, .map_size = inner + 2 * page, .begin = begin, .size = size};
    return map + begin;
}

/* SplitMix64 (Steele, Lea and Flood 2014). */
uint64_t random_bits(harness *h)
{
    uint64_t z = h->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t random_below(harness *h, size_t n)
{
    return (size_t)(random_bits(h) % n);
}

float random_float(harness *h, float low, float high)
{
    return low + (high - low) * ((float)(random_bits(h) >> 40) * 0x1p-24f);
}

const char *name_of_numbers(numbers kind)
{
    static const char *const names[] = {"ordinary", "denormal", "large", "grid"};
    return names[kind];
}

static float number(harness *h, numbers kind)
{
    switch (kind) {
    case DENORMAL:
        return random_float(h, -1.0f, 1.0f) * 0x1p-127f;
    case LARGE:
        return random_float(h, -1.0f, 1.0f) * 1e15f;
    case GRID: /* an int8 codebook's ends, zero, and anything between */
        return (float)(random_below(h, 4)   ? (int)random_below(h, 255) - 127
                       : random_below(h, 2) ? 127
                                            : -127);
    default:
        return random_float(h, -2.0f, 2.0f);
    }
}

float *guarded_floats(harness *h, size_t n, numbers kind)
{
    float *floats = guarded(h, n * sizeof *floats, sizeof *floats);
    for (size_t i = 0; i < n; i++)
        floats[i] = number(h, kind);
    return floats;
}

void check_near(harness *h, double got, double want, double bound, size_t row, size_t column)
{
    /* Written so that a NaN fails; two equal infinities pass. */
    if (!(fabs(got - want) <= bound) && !(got == want))
        fail_case(h, "[%zu][%zu] is %.9g, should be %.9g, may be off by %.3g, is by %.3g", row, column, got,
                  want, bound, fabs(got - want));
}

lutra_thread_pool *start_pool(size_t n_threads)
{
    lutra_thread_pool *pool = NULL;
    lutra_error error;
    if (lutra_thread_pool_create(n_threads, &pool, &error) != LUTRA_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    return pool;
}

static double now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#define ROUNDS 15
#define ROUND_SECONDS 3e-3

void time_calls(size_t n_calls, void (*call)(void *), void *const *arguments, size_t n_threads,
                double *seconds)
{
    const clockid_t clock = n_threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    size_t repeats[MAX_TIMED];
    for (size_t i = 0; i < n_calls; i++) {
        double begin = now(clock), took = 0;
        for (repeats[i] = 0; took < ROUND_SECONDS; repeats[i]++) {
            call(arguments[i]);
            took = now(clock) - begin;
        }
        seconds[i] = INFINITY;
    }
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < n_calls; i++) {
            const double begin = now(clock);
            for (size_t j = 0; j < repeats[i]; j++)
                call(arguments[i]);
            seconds[i] = fmin(seconds[i], (now(clock) - begin) / (double)repeats[i]);
        }
}

double time_call(void (*call)(void *), void *argument, size_t n_threads)
{
    double seconds;
    time_calls(1, call, &argument, n_threads, &seconds);
    return seconds;
}
