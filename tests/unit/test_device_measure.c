/* SPDX-License-Identifier: Apache-2.0 */
/* A device's description is made of what its parts measure: with parts that take no time and tell what they
 * are told to. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "profile/device.h"
#include "profile/measure.h"

#define CLOCK 2e9
#define ROUNDS 5 /* of the peaks, of which one is the best */
#define PEAKS 4  /* in a round */

/* How often each was called, and which call of all fails, counted from 0, and with what. */
static struct {
    int peaks, readings, calibrations;
    int bad_call;
    lutra_status failure;
    double share; /* of each that lutra_calibrate finds */
} parts;

static int n_calls(void)
{
    return parts.peaks + parts.readings + parts.calibrations;
}

static lutra_status answer(int *calls)
{
    const bool is_bad = n_calls() == parts.bad_call;
    ++*calls;
    return is_bad ? parts.failure : LUTRA_OK;
}

double __wrap_lutra_measure_clock(void);
lutra_status __wrap_lutra_measure_peak(lutra_mode mode, size_t n_threads, double *gmacs, lutra_error *error);
lutra_status __wrap_lutra_measure_reading(size_t n_threads, size_t bytes, double *bytes_per_second,
                                          lutra_error *error);
lutra_status __wrap_lutra_calibrate(const lutra_device *device, lutra_efficiency *efficiency,
                                    lutra_error *error);

double __wrap_lutra_measure_clock(void)
{
    return CLOCK;
}

/* 32, 64 and 128 multiply-adds a cycle in the third round, fewer in the others; of f32 half as many on each
 * of several threads. */
lutra_status __wrap_lutra_measure_peak(lutra_mode mode, size_t n_threads, double *gmacs, lutra_error *error)
{
    const double slower = parts.peaks / PEAKS == 2 ? 1 : 0.8;
    const double a_cycle = mode == LUTRA_MODE_F32 ? 32 : mode == LUTRA_MODE_BF16 ? 64 : 128;
    const bool of_all = parts.peaks % PEAKS == PEAKS - 1;
    (void)error;
    *gmacs = CLOCK * 1e-9 * a_cycle * slower * (of_all ? 0.5 * (double)n_threads : 1);
    return answer(&parts.peaks);
}

/* Each reading is slower than the one before, that of all threads as well. */
lutra_status __wrap_lutra_measure_reading(size_t n_threads, size_t bytes, double *bytes_per_second,
                                          lutra_error *error)
{
    (void)error;
    assert_true(n_threads > 0 && bytes > 0);
    *bytes_per_second = 1e11 / (1 + parts.readings);
    return answer(&parts.readings);
}

lutra_status __wrap_lutra_calibrate(const lutra_device *device, lutra_efficiency *efficiency,
                                    lutra_error *error)
{
    (void)error;
    assert_true(device->dram_all_cores > 0);
#define EFFICIENCY(name, value, help) efficiency->name = parts.share;
#include "profile/efficiency.inc"
#undef EFFICIENCY
    return answer(&parts.calibrations);
}

static void is_about(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-9 * expected))
        fail_msg("%g for %g", value, expected);
}

static int begin(void **state)
{
    (void)state;
    memset(&parts, 0, sizeof parts);
    parts.bad_call = -1;
    parts.share = 0.5;
    return 0;
}

static int n_readings_of(const lutra_device *device)
{
    return (int)device->n_caches + 2;
}

static void what_is_measured_arrives(void **state)
{
    (void)state;
    lutra_device device;
    assert_int_equal(lutra_device_measure(&device, NULL, NULL, NULL), LUTRA_OK);
    assert_int_equal(parts.peaks, ROUNDS * PEAKS);
    is_about(device.clock, CLOCK);
    is_about(device.macs_per_cycle_f32, 32);
    is_about(device.macs_per_cycle_bf16, 64);
    is_about(device.macs_per_cycle_i8, 128);
    is_about(device.clock_all, CLOCK / 2);
    assert_int_equal(parts.readings, n_readings_of(&device));
    for (size_t i = 0; i < device.n_caches; i++)
        is_about(device.caches[i].bytes_per_second, 1e11 / (1 + (double)i));
    /* All cores together are no slower than one of them. */
    is_about(device.dram_one_core, 1e11 / (1 + (double)device.n_caches));
    is_about(device.dram_all_cores, device.dram_one_core);
    assert_true(device.efficiency_is_own);
    is_about(device.efficiency.gelu, 0.5);
}

static void predictions_go_by_the_librarys_own(void)
{
    lutra_device device;
    assert_int_equal(lutra_device_measure(&device, NULL, NULL, NULL), LUTRA_OK);
    assert_int_equal(parts.calibrations, 1);
    assert_false(device.efficiency_is_own);
    assert_memory_equal(&device.efficiency, &lutra_default_efficiency, sizeof device.efficiency);
}

/* Too busy a machine, and times that came to nothing. */
static void kernels_that_tell_nothing(void **state)
{
    (void)state;
    lutra_device device;
    lutra_device_look(&device);
    parts.bad_call = ROUNDS * PEAKS + n_readings_of(&device);
    parts.failure = LUTRA_ERROR_UNSUPPORTED;
    predictions_go_by_the_librarys_own();
    begin(NULL);
    parts.share = 0;
    predictions_go_by_the_librarys_own();
}

static void what_fails_is_passed_on(void **state)
{
    (void)state;
    lutra_device device;
    lutra_device_look(&device);
    const int all = ROUNDS * PEAKS + n_readings_of(&device) + 1;
    for (int i = 0; i < all; i++) {
        begin(NULL);
        parts.bad_call = i;
        parts.failure = LUTRA_ERROR_MEMORY;
        assert_int_equal(lutra_device_measure(&device, NULL, NULL, NULL), LUTRA_ERROR_MEMORY);
        assert_int_equal(n_calls(), i + 1);
    }
}

static bool until(void *user, const char *what, uint64_t done, uint64_t total)
{
    assert_non_null(what);
    assert_int_equal(total, 4);
    return done < *(const uint64_t *)user;
}

/* Before each part, and when all is measured. */
static void cancelled_at_any_point(void **state)
{
    (void)state;
    for (uint64_t end = 0; end <= 5; end++) {
        lutra_device device;
        begin(NULL);
        assert_int_equal(lutra_device_measure(&device, until, &end, NULL),
                         end <= 4 ? LUTRA_ERROR_CANCELLED : LUTRA_OK);
        assert_int_equal(parts.peaks, end > 0 ? ROUNDS * PEAKS : 0);
        assert_int_equal(parts.readings, end > 2   ? n_readings_of(&device)
                                         : end > 1 ? (int)device.n_caches
                                                   : 0);
        assert_int_equal(parts.calibrations, end > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_measured_arrives, begin),
        cmocka_unit_test_setup(kernels_that_tell_nothing, begin),
        cmocka_unit_test_setup(what_fails_is_passed_on, begin),
        cmocka_unit_test_setup(cancelled_at_any_point, begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
