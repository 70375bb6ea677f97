/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of cache misses and of memory controllers, on a made-up machine. */
#include "fake_machine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "profile/counter.h"

static void misses_are_counted(void **state)
{
    fake *f = *state;
    lutra_counter *counter;
    lutra_error error = {0};
    uint64_t bytes;
    assert_int_equal(lutra_counter_open_in(&f->world, &counter, NULL), LUTRA_OK);
    assert_int_equal(lutra_counter_read(counter, &bytes, NULL), LUTRA_OK);
    assert_int_equal(bytes, 64000);
    lutra_counter_close(counter);
    f->perf_failure = -EACCES;
    assert_int_equal(lutra_counter_open_in(&f->world, &counter, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "perf_event_paranoid"));
}

/* Other events, which another processor may count, are not taken for them. */
static void no_misses_are_counted(void **state)
{
    static const int failures[] = {ENOENT, EINVAL, EOPNOTSUPP, ENODEV, ENOSYS};
    fake *f = *state;
    lutra_counter *counter;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        lutra_error error = {0};
        f->perf_failure = -failures[i];
        assert_int_equal(lutra_counter_open_in(&f->world, &counter, &error), LUTRA_ERROR_UNSUPPORTED);
        assert_null(counter);
        assert_non_null(strstr(error.message, "misses of the last cache"));
    }
}

static void misses_of_a_part_of_the_time(void **state)
{
    fake *f = *state;
    lutra_counter *counter;
    lutra_error error = {0};
    uint64_t bytes;
    assert_int_equal(lutra_counter_open_in(&f->world, &counter, NULL), LUTRA_OK);
    f->is_shared = true;
    assert_int_equal(lutra_counter_read(counter, &bytes, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "a part of the time"));
    lutra_counter_close(counter);
    assert_int_equal(lutra_counter_open_in(&f->world, &counter, NULL), LUTRA_ERROR_UNSUPPORTED);
}

#define IMC "/sys/bus/event_source/devices/uncore_imc"
#define MIB_OF_A_LINE "6.103515625e-5\n"

static void put_event(const fake *f, const char *device, const char *event, const char *config)
{
    char path[128];
    snprintf(path, sizeof path, IMC "%s/type", device);
    fake_put(f, path, "13\n");
    snprintf(path, sizeof path, IMC "%s/cpumask", device);
    fake_put(f, path, "0,1\n");
    snprintf(path, sizeof path, IMC "%s/events/%s", device, event);
    fake_put(f, path, "%s\n", config);
    snprintf(path, sizeof path, IMC "%s/events/%s.scale", device, event);
    fake_put(f, path, MIB_OF_A_LINE);
}

/* Of `n` events on two packages, after 2 seconds in which each counted 2000 lines. */
static void moves(fake *f, size_t n)
{
    lutra_counter *counter;
    uint64_t before, after;
    assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, NULL), LUTRA_OK);
    assert_int_equal(lutra_counter_read(counter, &before, NULL), LUTRA_OK);
    assert_int_equal(before, 0);
    f->time += 2;
    assert_int_equal(lutra_counter_read(counter, &after, NULL), LUTRA_OK);
    assert_in_range(after, 2 * n * 2000 * 64 - 1, 2 * n * 2000 * 64); /* a scale is no whole number */
    lutra_counter_close(counter);
}

static void memory_controllers_count(void **state)
{
    fake *f = *state;
    put_event(f, "_0", "cas_count_read", "event=0x04,umask=0x03");
    put_event(f, "_0", "cas_count_write", "event=0x05,umask=0x0c");
    put_event(f, "_3", "cas_count_read", "event=0x04,umask=0x03");
    /* The same bytes once more. */
    put_event(f, "_free_running_0", "data_read", "event=0x01");
    moves(f, 3);
}

static void a_clients_memory_controller_counts(void **state)
{
    fake *f = *state;
    put_event(f, "", "data_reads", "event=0x01");
    moves(f, 1);
}

static void no_memory_controller(void **state)
{
    fake *f = *state;
    lutra_counter *counter;
    lutra_error error = {0};
    assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_null(counter);
    assert_non_null(strstr(error.message, "uncore_imc"));
    put_event(f, "_1", "cas_count_read", "event=0x04,umask=0x03");
    f->perf_failure = -EACCES;
    assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "perf_event_paranoid=0"));
    f->perf_failure = 0;
    fake_take_away(f, IMC "_1/cpumask");
    assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "cpumask"));
}

/* What stands in /sys beyond what can be: none of it is made a number of another kind. */
static void odd_memory_controllers(void **state)
{
    static const struct {
        const char *file, *text, *says;
    } cases[] = {{IMC "/type", "-1\n", "has -1 for its type"},
                 {IMC "/type", "1e300\n", "has 1e+300 for its type"},
                 {IMC "/cpumask", "9223372036854775807\n", "no CPUs"},
                 {IMC "/cpumask", "0-4294967296\n", "no CPUs"},
                 {IMC "/cpumask", "7-3\n", "no CPUs"},
                 {IMC "/events/data_reads.scale", "-6.103515625e-5\n", "no scale"},
                 {IMC "/events/data_reads.scale", "0\n", "no scale"}};
    fake *f = *state;
    lutra_counter *counter;
    lutra_error error;
    uint64_t bytes;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_event(f, "", "data_reads", "event=0x01");
        fake_put(f, cases[i].file, "%s", cases[i].text);
        assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, &error), LUTRA_ERROR_IO);
        assert_null(counter);
        if (!strstr(error.message, cases[i].says))
            fail_msg("'%s' does not say '%s'", error.message, cases[i].says);
        fake_take_away(f, cases[i].file);
    }
    put_event(f, "", "data_reads", "event=0x01");
    fake_put(f, IMC "/events/data_reads.scale", "1e300\n");
    assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, NULL), LUTRA_OK);
    f->time += 2;
    assert_int_equal(lutra_counter_read(counter, &bytes, &error), LUTRA_ERROR_IO);
    assert_int_equal(bytes, 0);
    lutra_counter_close(counter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(misses_are_counted),
        FAKE_TEST(no_misses_are_counted),
        FAKE_TEST(misses_of_a_part_of_the_time),
        FAKE_TEST(memory_controllers_count),
        FAKE_TEST(a_clients_memory_controller_counts),
        FAKE_TEST(no_memory_controller),
        FAKE_TEST(odd_memory_controllers),
    };
    return cmocka_run_group_tests_name("counter", tests, NULL, NULL);
}
