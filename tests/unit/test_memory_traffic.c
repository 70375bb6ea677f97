/* SPDX-License-Identifier: Apache-2.0 */
/* Streams through memory on a machine with several last caches: none of them is to hold what is streamed. */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "memory_traffic.h"

#define MIB ((size_t)1 << 20)

/* Four of the last ones, of two cores each. */
static const lutra_device device = {
    .n_cores = 8,
    .n_caches = 2,
    .caches = {{.bytes = MIB, .shared_by = 1}, {.bytes = 24 * MIB, .shared_by = 2}}};

void __wrap_lutra_device_look(lutra_device *looked_at);
void __wrap_lutra_device_look(lutra_device *looked_at)
{
    *looked_at = device;
}

static size_t n_streamed; /* pieces of memory that are larger than a cache */

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    n_streamed += size > 24 * MIB;
    return __real_malloc(size);
}

static void caches_of_threads(void **state)
{
    static const lutra_device unknown = {.n_cores = 8};
    (void)state;
    assert_int_equal(tool_cache_bytes(&device, 1), 24 * MIB);
    assert_int_equal(tool_cache_bytes(&device, 3), 48 * MIB);
    assert_int_equal(tool_cache_bytes(&device, 8), 96 * MIB);
    assert_int_equal(tool_cache_bytes(&unknown, 8), 8 * MIB);
}

static void each_cpu_reads_twice_its_cache(void **state)
{
    (void)state;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    tool_evictor *evictor = tool_evictor_create();
    assert_non_null(evictor);
    assert_int_equal(tool_evict(evictor), (size_t)CPU_COUNT(&allowed) * 48 * MIB);
    tool_evictor_free(evictor);
}

static void each_thread_has_more_than_a_cache(void **state)
{
    (void)state;
    n_streamed = 0;
    tool_contention *contention = tool_contention_start(3);
    assert_non_null(contention);
    assert_int_equal(n_streamed, 3);
    tool_contention_stop(contention);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(caches_of_threads),
        cmocka_unit_test(each_cpu_reads_twice_its_cache),
        cmocka_unit_test(each_thread_has_more_than_a_cache),
    };
    return cmocka_run_group_tests_name("memory_traffic", tests, NULL, NULL);
}
