/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of kernels share: seeded random numbers, buffers between guard pages and canaries,
 * comparison within a bound, and timing.
 */
#ifndef LUTRA_TESTS_HARNESS_H
#define LUTRA_TESTS_HARNESS_H

#include <stdio.h>

#include "kernels/table.h"

#define MAX_BUFFERS 32

typedef struct harness {
    const lutra_kernels *kernels, *reference;
    const char *kernel;  /* the name at hand, for messages */
    char situation[256]; /* shapes and options of the case at hand, for messages */
    uint64_t random;
    size_t n_cases, n_failures;
    double peak_gmacs; /* of one core, f32 multiply-adds of the level, for benchmarks */
    double peak_i8_gmacs, peak_bf16_gmacs;
    struct buffer {
        unsigned char *map;           /* guard page, memory, guard page */
        size_t map_size, begin, size; /* what the test was given lies at map + begin */
    } buffers[MAX_BUFFERS];
    size_t n_buffers;
} harness;

/* Every case begins with its description and ends with the check of the canaries, which frees the buffers. */
void begin_case(harness *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
void end_case(harness *h);
void fail_case(harness *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* `size` bytes at a multiple of `alignment`, as near before an inaccessible page as that allows; the rest of
 * the pages around is canaries. Filled with random bytes. */
void *guarded(harness *h, size_t size, size_t alignment);

uint64_t random_bits(harness *h);
size_t random_below(harness *h, size_t n);
float random_float(harness *h, float low, float high);

/* Kinds of numbers that tests are run with. */
typedef enum numbers { ORDINARY, DENORMAL, LARGE, GRID, N_NUMBERS } numbers;
const char *name_of_numbers(numbers kind);
/* `n` floats, aligned to 4 bytes and ending at the guard page. */
float *guarded_floats(harness *h, size_t n, numbers kind);

/* Fails the case unless |got - want| <= bound; says which element it was. */
void check_near(harness *h, double got, double want, double bound, size_t row, size_t column);

lutra_thread_pool *start_pool(size_t n_threads);

/* Seconds that one call takes: the least of several rounds of a few milliseconds. On one thread it is the
 * time that the processor spent on it, so that other programs do not count; on several it is the clock's. */
double time_call(void (*call)(void *), void *argument, size_t n_threads);

/* The same for several calls that take turns, so that a change of the machine's clock meets all of them. */
#define MAX_TIMED 4
void time_calls(size_t n_calls, void (*call)(void *), void *const *arguments, size_t n_threads,
                double *seconds);

/* Multiply-adds per second of one core by the instructions that the level has for a mode, in 1e9; 0 where
 * unknown. */
double measure_peak(const char *level, lutra_mode mode);

/* What every kernel and operation must bring. */
typedef void test_function(harness *h);

#define LUTRA_KERNEL(name, parameters) test_function test_##name, bench_##name;
#include "kernels/kernels.inc"
#define OPERATION(name) test_function test_##name, bench_##name;
#include "tests.inc"

#endif
