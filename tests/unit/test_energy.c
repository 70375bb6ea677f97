/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of a known power, as the meters of a made-up machine tell it, and what they tell where they fail. */
#include "fake_machine.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profile/energy.h"

/* ---- a known power ------------------------------------------------------------------------------ */

/* A batch of two pictures in 40 ms. */
static lutra_status work(void *user, lutra_error *error)
{
    fake *f = user;
    (void)error;
    f->is_busy = true;
    fake_pass(f, 0);
    fake_pass(f, 0.04);
    f->is_busy = false;
    fake_pass(f, 0);
    return LUTRA_OK;
}

static void measures(fake *f, const char *source)
{
    const lutra_load load = {.user = f, .run = work};
    const lutra_energy_options options = {.idle_seconds = 5, .busy_seconds = 30, .batch = 2};
    lutra_meter *meter;
    lutra_energy energy;
    lutra_error error = {0};
    f->drift = 0.01; /* the machine draws 0.4 W more at the end than at the begin */
    if (lutra_meter_open_in(&f->world, source, &meter, &error))
        fail_msg("%s", error.message);
    assert_string_equal(lutra_meter_name(meter), source);
    if (lutra_measure_energy_in(&f->world, meter, &load, &options, &energy, &error))
        fail_msg("%s", error.message);
    const double mj = 1e3 * f->busy_watts * 0.04 / 2;
    const double drawn = f->idle_watts + f->drift * 20; /* in the middle */
    assert_true(fabs(energy.mj - mj) < 0.02 * mj);
    assert_true(energy.mj_p10 <= energy.mj_p90);
    assert_true(fabs(energy.mj_p10 - mj) < 0.02 * mj + 1e3 * f->drift * 15 * 0.02);
    assert_true(fabs(energy.mj_raw - mj - 1e3 * drawn * 0.02) < 0.02 * (mj + 1e3 * drawn * 0.02));
    assert_true(fabs(energy.idle_watts - drawn) < 0.02 * drawn);
    assert_true(energy.seconds >= 30 && energy.seconds < 31);
    assert_true(fabs((double)energy.n_pictures - 2 * energy.seconds / 0.04) < 3);
    assert_false(energy.is_throttled);
    lutra_meter_close(meter);
}

static void rapl_measures(void **state)
{
    fake_make_rapl(*state, 1e9);
    measures(*state, "rapl");
}

/* 45 s at 3 to 8 W: the package's counter wraps three times. */
static void rapl_measures_over_wrap_around(void **state)
{
    fake_make_rapl(*state, 6e7);
    measures(*state, "rapl");
}

static void perf_measures(void **state)
{
    fake_make_perf(*state);
    measures(*state, "perf");
}

static void hwmon_measures(void **state)
{
    fake_make_ina3221(*state);
    measures(*state, "hwmon");
}

static void hwmon_measures_power(void **state)
{
    fake_make_ina226(*state);
    measures(*state, "hwmon");
}

static void pmic_measures(void **state)
{
    fake_make_pmic(*state);
    measures(*state, "pmic");
}

/* In 10 us. */
static lutra_status work_shortly(void *user, lutra_error *error)
{
    fake *f = user;
    (void)error;
    f->is_busy = true;
    fake_pass(f, 1e-5);
    f->is_busy = false;
    return LUTRA_OK;
}

/* A program's reading of the power is of the runs, and what it takes itself is none of them. */
static void short_runs_are_not_read_one_by_one(void **state)
{
    fake *f = *state;
    const lutra_load load = {.user = f, .run = work_shortly};
    const lutra_energy_options options = {.idle_seconds = 2, .busy_seconds = 5};
    lutra_meter *meter;
    lutra_energy energy;
    fake_make_pmic(f);
    f->run_seconds = 0.01;
    assert_int_equal(lutra_meter_open_in(&f->world, "pmic", &meter, NULL), LUTRA_OK);
    assert_int_equal(lutra_measure_energy_in(&f->world, meter, &load, &options, &energy, NULL), LUTRA_OK);
    assert_in_range(f->n_runs, 50, 110); /* each 0.1 s */
    assert_true(fabs(energy.mj / (1e3 * f->busy_watts * 1e-5) - 1) < 0.02);
    assert_true(fabs(energy.busy_watts - f->idle_watts - f->busy_watts) < 0.02 * f->busy_watts);
    assert_true(fabs((double)energy.n_pictures - 5e5) < 1e3);
    lutra_meter_close(meter);
}

static void battery_measures(void **state)
{
    fake_make_battery(*state);
    measures(*state, "battery");
}

static void battery_measures_amperes(void **state)
{
    fake_make_amperes(*state);
    measures(*state, "battery");
}

/* ---- which one ---------------------------------------------------------------------------------- */

static void the_first_that_can_be_read(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    fake_make_battery(f);
    assert_int_equal(lutra_meter_open_in(&f->world, NULL, &meter, NULL), LUTRA_OK);
    assert_string_equal(lutra_meter_name(meter), "battery");
    lutra_meter_close(meter);
    fake_make_perf(f);
    assert_int_equal(lutra_meter_open_in(&f->world, NULL, &meter, NULL), LUTRA_OK);
    assert_string_equal(lutra_meter_name(meter), "perf");
    lutra_meter_close(meter);
}

static void refused(fake *f, const char *source, lutra_status status, const char *says)
{
    lutra_meter *meter;
    lutra_error error = {0};
    assert_int_equal(lutra_meter_open_in(&f->world, source, &meter, &error), status);
    assert_null(meter);
    if (!strstr(error.message, says))
        fail_msg("'%s' does not say '%s'", error.message, says);
}

static void there_is_none(void **state)
{
    fake *f = *state;
    refused(f, NULL, LUTRA_ERROR_UNSUPPORTED, "lutra device check");
    for (size_t i = 0; lutra_meter_source(i); i++)
        refused(f, lutra_meter_source(i), LUTRA_ERROR_UNSUPPORTED, "no ");
    refused(f, "oracle", LUTRA_ERROR_ARGUMENT, "'oracle'");
    f->printed = " VDD_CORE_A current(7)=A\n VDD_CORE_V volt(15)=0.5V\n";
    refused(f, "pmic", LUTRA_ERROR_UNSUPPORTED, "no rail");
    f->printed = NULL;
    fake_put(f, FAKE_RAPL "0/name", "psys\n"); /* has the packages in it, and more */
    refused(f, "rapl", LUTRA_ERROR_UNSUPPORTED, "no package");
}

static void permission_is_lacking(void **state)
{
    fake *f = *state;
    fake_make_perf(f);
    f->perf_failure = -EACCES;
    refused(f, "perf", LUTRA_ERROR_IO, "perf_event_paranoid");
    refused(f, NULL, LUTRA_ERROR_IO, "perf_event_paranoid");
    if (geteuid() == 0)
        return; /* to whom no file is forbidden */
    char path[512];
    fake_make_rapl(f, 1e9);
    snprintf(path, sizeof path, "%s" FAKE_RAPL "0/energy_uj", f->root);
    assert_int_equal(chmod(path, 0), 0);
    refused(f, "rapl", LUTRA_ERROR_IO, "sudo chmod");
}

static void descriptors_are_lacking(void **state)
{
    fake *f = *state;
    f->run_failure = -EMFILE;
    refused(f, "pmic", LUTRA_ERROR_MEMORY, "Too many open files");
    refused(f, NULL, LUTRA_ERROR_MEMORY, "Too many open files");
}

/* ---- what goes wrong on the way ------------------------------------------------------------------ */

static void a_file_vanishes(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    fake_make_rapl(f, 1e9);
    assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
    fake_put(f, FAKE_RAPL "0:2/energy_uj", "rubbish\n");
    fake_fails_to_read(meter, LUTRA_ERROR_IO, "does not hold a number");
    fake_take_away(f, FAKE_RAPL "0:2/energy_uj");
    fake_fails_to_read(meter, LUTRA_ERROR_IO, "0:2/energy_uj");
    lutra_meter_close(meter);
}

/* Be it the first thing that a meter says or a later one. */
static void what_is_no_power(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    fake_make_ina226(f);
    assert_int_equal(lutra_meter_open_in(&f->world, "hwmon", &meter, NULL), LUTRA_OK);
    fake_put(f, "/sys/class/hwmon/hwmon1/power1_input", "-5000000\n");
    fake_fails_to_read(meter, LUTRA_ERROR_FORMAT, "gave -5");
    lutra_meter_close(meter);
    refused(f, "hwmon", LUTRA_ERROR_FORMAT, "gave -5");
    fake_make_ina3221(f);
    fake_put(f, "/sys/class/hwmon/hwmon3/in1_input", "1e300\n");
    fake_put(f, "/sys/class/hwmon/hwmon3/curr1_input", "1e300\n");
    refused(f, "hwmon", LUTRA_ERROR_FORMAT, "gave inf");
}

static void a_counter_falls_beyond_its_range(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    f->joules = 50;
    fake_make_rapl(f, 1e9);
    fake_put(f, FAKE_RAPL "0/max_energy_range_uj", "10\n");
    assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
    fake_put(f, FAKE_RAPL "0/energy_uj", "0\n");
    fake_fails_to_read(meter, LUTRA_ERROR_FORMAT, "more than its range of 10");
    lutra_meter_close(meter);
}

static void the_charger_is_plugged_in(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    fake_make_battery(f);
    assert_int_equal(lutra_meter_open_in(&f->world, "battery", &meter, NULL), LUTRA_OK);
    fake_put(f, "/sys/class/power_supply/BAT0/status", "Charging\n");
    fake_fails_to_read(meter, LUTRA_ERROR_UNSUPPORTED, "only while it is discharging");
    lutra_meter_close(meter);
    refused(f, "battery", LUTRA_ERROR_UNSUPPORTED, "BAT0 is Charging");
}

/* A gauge that does not move tells nothing of so short a time. */
static void too_few_values(void **state)
{
    fake *f = *state;
    const lutra_load load = {.user = f, .run = work};
    const lutra_energy_options options = {.idle_seconds = 5, .busy_seconds = 30, .batch = 2};
    lutra_meter *meter;
    lutra_energy energy;
    lutra_error error = {0};
    fake_make_battery(f);
    f->show = NULL;
    assert_int_equal(lutra_meter_open_in(&f->world, "battery", &meter, NULL), LUTRA_OK);
    assert_int_equal(lutra_measure_energy_in(&f->world, meter, &load, &options, &energy, &error),
                     LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "fewer than the 20"));
    lutra_meter_close(meter);
}

/* However short the idle times are asked to be, something is measured in them. */
static void short_idle_times(void **state)
{
    static const double idle_seconds[] = {1e-9, 0.05, 0.1, 0.11};
    fake *f = *state;
    const lutra_load load = {.user = f, .run = work};
    fake_make_rapl(f, 1e9);
    for (size_t i = 0; i < sizeof idle_seconds / sizeof *idle_seconds; i++) {
        const lutra_energy_options options = {.idle_seconds = idle_seconds[i], .busy_seconds = 1, .batch = 2};
        lutra_meter *meter;
        lutra_energy energy;
        assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
        assert_int_equal(lutra_measure_energy_in(&f->world, meter, &load, &options, &energy, NULL), LUTRA_OK);
        assert_true(fabs(energy.idle_watts - f->idle_watts) < 1e-4);
        lutra_meter_close(meter);
    }
}

/* While nothing but the runs reads it. */
static lutra_status work_while_the_sensor_vanishes(void *user, lutra_error *error)
{
    fake *f = user;
    (void)error;
    if (f->time > 20 && f->show) {
        f->show = NULL;
        fake_take_away(f, FAKE_RAPL "0/energy_uj");
    }
    fake_pass(f, 0.04);
    return LUTRA_OK;
}

static void a_file_vanishes_in_a_run(void **state)
{
    fake *f = *state;
    const lutra_load load = {.user = f, .run = work_while_the_sensor_vanishes};
    lutra_meter *meter;
    lutra_energy energy;
    lutra_error error = {0};
    fake_make_rapl(f, 1e9);
    assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
    assert_int_equal(lutra_measure_energy_in(&f->world, meter, &load, NULL, &energy, &error), LUTRA_ERROR_IO);
    assert_non_null(strstr(error.message, "0/energy_uj"));
    assert_true(f->time < 20.5); /* at the next reading */
    lutra_meter_close(meter);
}

/* The first of its CPUs does. */
static void slow_down(fake *f)
{
    fake_show_rapl(f);
    fake_put(f, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "%.0f\n",
             f->time < 20 ? 2.4e6 : 1.5e6);
    fake_put(f, "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "%d\n", f->time > 20);
    fake_put(f, "/sys/devices/system/cpu/cpu4/cpufreq/scaling_cur_freq", "2200000\n");
    fake_put(f, "/sys/devices/system/cpu/cpu5/cpufreq/scaling_cur_freq", "600000\n");
    fake_put(f, "/sys/class/thermal/thermal_zone1/temp", "%.0f\n", 40000 + 1000 * f->time);
}

static void throttling_is_told(void **state)
{
    fake *f = *state;
    const lutra_load load = {.user = f, .run = work};
    static const size_t first[] = {0}, others[] = {5, 4};
    lutra_energy_options options = {
        .idle_seconds = 5, .busy_seconds = 30, .batch = 2, .cpus = first, .n_cpus = 1};
    lutra_meter *meter;
    lutra_energy energy;
    fake_make_rapl(f, 1e9);
    f->show = slow_down;
    f->show(f);
    assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
    assert_int_equal(lutra_measure_energy_in(&f->world, meter, &load, &options, &energy, NULL), LUTRA_OK);
    assert_true(energy.is_throttled);
    assert_true(energy.mhz_before == 2400 && energy.mhz_after == 1500);
    assert_true(energy.celsius_before == 40 && energy.celsius_after > 70);
    f->time = 0;
    options.cpus = others;
    options.n_cpus = 2;
    assert_int_equal(lutra_measure_energy_in(&f->world, meter, &load, &options, &energy, NULL), LUTRA_OK);
    assert_false(energy.is_throttled);
    assert_true(energy.mhz_before == 2200 && energy.mhz_after == 2200);
    lutra_meter_close(meter);
}

/* ---- in the real world -------------------------------------------------------------------------- */

static lutra_status yield(void *user, lutra_error *error)
{
    (void)user;
    (void)error;
    sched_yield();
    return LUTRA_OK;
}

static void a_thread_reads_beside_the_runs(void **state)
{
    const lutra_load load = {.run = yield};
    const lutra_energy_options options = {.idle_seconds = 0.5, .busy_seconds = 0.5};
    lutra_meter *meter;
    lutra_energy energy;
    lutra_error error = {0};
    (void)state;
    assert_int_equal(lutra_meter_open(NULL, "while echo 5; do sleep 0.05; done", &meter, &error), LUTRA_OK);
    if (lutra_measure_energy_in(&lutra_real_world, meter, &load, &options, &energy, &error))
        fail_msg("%s", error.message);
    assert_true(energy.idle_watts > 0 && energy.busy_watts > 0);
    assert_true(energy.seconds >= 0.5 && energy.n_pictures > 0);
    lutra_meter_close(meter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(rapl_measures),
        FAKE_TEST(rapl_measures_over_wrap_around),
        FAKE_TEST(perf_measures),
        FAKE_TEST(hwmon_measures),
        FAKE_TEST(hwmon_measures_power),
        FAKE_TEST(pmic_measures),
        FAKE_TEST(short_runs_are_not_read_one_by_one),
        FAKE_TEST(battery_measures),
        FAKE_TEST(battery_measures_amperes),
        FAKE_TEST(the_first_that_can_be_read),
        FAKE_TEST(there_is_none),
        FAKE_TEST(permission_is_lacking),
        FAKE_TEST(descriptors_are_lacking),
        FAKE_TEST(a_file_vanishes),
        FAKE_TEST(what_is_no_power),
        FAKE_TEST(a_counter_falls_beyond_its_range),
        FAKE_TEST(the_charger_is_plugged_in),
        FAKE_TEST(too_few_values),
        FAKE_TEST(short_idle_times),
        FAKE_TEST(a_file_vanishes_in_a_run),
        FAKE_TEST(throttling_is_told),
        cmocka_unit_test(a_thread_reads_beside_the_runs),
    };
    return cmocka_run_group_tests_name("energy", tests, NULL, NULL);
}
