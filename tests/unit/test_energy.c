/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Meters in a made-up world: files of /sys below a folder of our own, counters of perf from a table, a
 * program that prints what we say, and a clock that goes only when somebody waits or works.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "profile/counter.h"
#include "profile/energy.h"

#define RAPL "/sys/class/powercap/intel-rapl:"

typedef struct fake {
    lutra_world world;
    char root[256];
    double time;
    double idle_watts, drift, busy_watts; /* idle at time 0; a second; more while busy */
    bool is_busy;
    double joules;
    void (*show)(struct fake *f); /* writes what the sensors say */
    double range_uj;
    int perf_failure, run_failure;
    const char *printed; /* by the program; NULL: there is none */
    char text[512];
} fake;

static void put(const fake *f, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void put(const fake *f, const char *path, const char *format, ...)
{
    char whole[512];
    va_list arguments;
    snprintf(whole, sizeof whole, "%s%s", f->root, path);
    for (char *at = strchr(whole + strlen(f->root) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        mkdir(whole, 0700);
        *at = '/';
    }
    /* Written over, not cut off first: ext4 would wait for the disk each time. Whoever reads sees one line.
     */
    FILE *file = fopen(whole, "r+");
    if (!file)
        file = fopen(whole, "w");
    assert_non_null(file);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    fclose(file);
}

static void take_away(const fake *f, const char *path)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", f->root, path);
    assert_int_equal(unlink(whole), 0);
}

static double watts(const fake *f)
{
    return f->idle_watts + f->drift * f->time + (f->is_busy ? f->busy_watts : 0);
}

/* Power changes evenly, so the mean of its ends is exact. */
static void pass(fake *f, double seconds)
{
    const double before = watts(f);
    f->time += seconds;
    f->joules += seconds * (before + watts(f)) / 2;
    if (f->show)
        f->show(f);
}

static double now(void *user)
{
    return ((fake *)user)->time;
}

static void wait_seconds(void *user, double seconds)
{
    pass(user, seconds);
}

static int perf_open(void *user, uint32_t type, uint64_t config, int cpu)
{
    const fake *f = user;
    if (cpu == LUTRA_THIS_PROCESS) { /* cache misses */
        assert_int_equal(type, 0);
        assert_int_equal(config, 3);
        return f->perf_failure ? f->perf_failure : 99;
    }
    if (type == 13) { /* memory controllers: reads 0x0304, writes 0x0c05; a client's have another code */
        assert_true(config == 0x0304 || config == 0x0c05 || config == 1);
        return f->perf_failure ? f->perf_failure : 200 + (int)(config >> 8) + cpu;
    }
    assert_int_equal(type, 9);
    assert_int_equal(config, 2);
    return f->perf_failure ? f->perf_failure : 100 + cpu;
}

/* Two packages that share the power evenly, in counts of 2^-32 joules. */
static int perf_read(void *user, int descriptor, uint64_t *value)
{
    const fake *f = user;
    if (descriptor == 99) {
        *value = 1000;
        return 0;
    }
    if (descriptor >= 200) { /* 64 bytes each; it has counted before */
        *value = 777 + (uint64_t)(1000 * f->time);
        return 0;
    }
    assert_in_range(descriptor, 100, 101);
    *value = (uint64_t)(f->joules / 2 * 4294967296.0) + 12345;
    return 0;
}

static void perf_close(void *user, int descriptor)
{
    (void)user;
    (void)descriptor;
}

static int run(void *user, const char *const *arguments, char *text, size_t size)
{
    const fake *f = user;
    assert_string_equal(arguments[0], "vcgencmd");
    if (!f->printed)
        return f->run_failure ? f->run_failure : -ENOENT;
    snprintf(text, size, "%s", f->printed);
    return 0;
}

static int set_up(void **state)
{
    fake *f = calloc(1, sizeof *f);
    const char *folder = getenv("TMPDIR");
    assert_non_null(f);
    snprintf(f->root, sizeof f->root, "%s/lutra-energy-XXXXXX", folder ? folder : "/tmp");
    assert_non_null(mkdtemp(f->root));
    f->idle_watts = 3;
    f->busy_watts = 5;
    f->world = (lutra_world){.user = f,
                             .root = f->root,
                             .now = now,
                             .wait = wait_seconds,
                             .perf_open = perf_open,
                             .perf_read = perf_read,
                             .perf_close = perf_close,
                             .run = run};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fake *f = *state;
    char command[512];
    snprintf(command, sizeof command, "rm -rf '%s'", f->root);
    const int failed = system(command);
    free(f);
    return failed;
}

/* ---- the sensors -------------------------------------------------------------------------------- */

/* A package, its memory and what must not be counted twice. */
static void show_rapl(fake *f)
{
    const double uj = 1e6 * f->joules;
    put(f, RAPL "0/energy_uj", "%.0f\n", fmod(0.75 * uj, f->range_uj));
    put(f, RAPL "0:2/energy_uj", "%.0f\n", fmod(0.25 * uj, f->range_uj));
    put(f, RAPL "0:0/energy_uj", "%.0f\n", fmod(0.5 * uj, f->range_uj));
    put(f, RAPL "1/energy_uj", "%.0f\n", fmod(2 * uj, f->range_uj));
}

static void make_rapl(fake *f, double range_uj)
{
    static const char *const zones[][2] = {
        {"0", "package-0"}, {"0:0", "core"}, {"0:2", "dram"}, {"1", "psys"}};
    f->range_uj = range_uj;
    for (size_t i = 0; i < 4; i++) {
        char path[96];
        snprintf(path, sizeof path, RAPL "%s/name", zones[i][0]);
        put(f, path, "%s\n", zones[i][1]);
        snprintf(path, sizeof path, RAPL "%s/max_energy_range_uj", zones[i][0]);
        put(f, path, "%.0f\n", range_uj);
    }
    f->show = show_rapl;
    f->show(f);
}

static void make_perf(fake *f)
{
    put(f, "/sys/bus/event_source/devices/power/type", "9\n");
    put(f, "/sys/bus/event_source/devices/power/cpumask", "0-1\n");
    put(f, "/sys/bus/event_source/devices/power/events/energy-pkg", "event=0x02\n");
    put(f, "/sys/bus/event_source/devices/power/events/energy-pkg.scale", "2.3283064365386962890625e-10\n");
}

/* A Jetson's: the board's input, and a rail behind it that must not be added. */
static void show_ina3221(fake *f)
{
    put(f, "/sys/class/hwmon/hwmon3/in1_input", "5000\n");
    put(f, "/sys/class/hwmon/hwmon3/curr1_input", "%.0f\n", 1e3 * watts(f) / 5);
    put(f, "/sys/class/hwmon/hwmon3/in2_input", "1000\n");
    put(f, "/sys/class/hwmon/hwmon3/curr2_input", "1500\n");
}

static void make_ina3221(fake *f)
{
    put(f, "/sys/class/hwmon/hwmon0/name", "k10temp\n");
    put(f, "/sys/class/hwmon/hwmon3/name", "ina3221\n");
    put(f, "/sys/class/hwmon/hwmon3/in1_label", "VDD_IN\n");
    put(f, "/sys/class/hwmon/hwmon3/in2_label", "VDD_CPU_GPU_CV\n");
    f->show = show_ina3221;
    f->show(f);
}

static void show_ina226(fake *f)
{
    put(f, "/sys/class/hwmon/hwmon1/power1_input", "%.0f\n", 1e6 * watts(f));
}

static void make_ina226(fake *f)
{
    put(f, "/sys/class/hwmon/hwmon1/name", "ina226\n");
    f->show = show_ina226;
    f->show(f);
}

static void show_pmic(fake *f)
{
    snprintf(
        f->text, sizeof f->text,
        "   3V3_SYS_A current(1)=%.6fA\n  VDD_CORE_A current(7)=%.6fA\n   3V3_SYS_V volt(9)=2.00000000V\n"
        "  VDD_CORE_V volt(15)=0.50000000V\n     EXT5V_V volt(24)=5.14800000V\n",
        watts(f) / 4, watts(f));
    f->printed = f->text;
}

static void make_pmic(fake *f)
{
    f->show = show_pmic;
    f->show(f);
}

static void show_battery(fake *f)
{
    put(f, "/sys/class/power_supply/BAT0/power_now", "%.0f\n", 1e6 * watts(f));
}

static void make_battery(fake *f)
{
    put(f, "/sys/class/power_supply/BAT0/type", "Battery\n");
    put(f, "/sys/class/power_supply/BAT0/status", "Discharging\n");
    f->show = show_battery;
    f->show(f);
}

static void show_amperes(fake *f)
{
    put(f, "/sys/class/power_supply/battery/current_now", "%.0f\n", -1e6 * watts(f) / 4);
    put(f, "/sys/class/power_supply/battery/voltage_now", "4000000\n");
}

static void make_amperes(fake *f)
{
    put(f, "/sys/class/power_supply/battery/type", "Battery\n");
    put(f, "/sys/class/power_supply/battery/status", "Discharging\n");
    f->show = show_amperes;
    f->show(f);
}

/* ---- a known power ------------------------------------------------------------------------------ */

/* A batch of two pictures in 40 ms. */
static lutra_status work(void *user, lutra_error *error)
{
    fake *f = user;
    (void)error;
    f->is_busy = true;
    pass(f, 0);
    pass(f, 0.04);
    f->is_busy = false;
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
    make_rapl(*state, 1e9);
    measures(*state, "rapl");
}

/* 45 s at 3 to 8 W: the package's counter wraps three times. */
static void rapl_measures_over_wrap_around(void **state)
{
    make_rapl(*state, 6e7);
    measures(*state, "rapl");
}

static void perf_measures(void **state)
{
    make_perf(*state);
    measures(*state, "perf");
}

static void hwmon_measures(void **state)
{
    make_ina3221(*state);
    measures(*state, "hwmon");
}

static void hwmon_measures_power(void **state)
{
    make_ina226(*state);
    measures(*state, "hwmon");
}

static void pmic_measures(void **state)
{
    make_pmic(*state);
    measures(*state, "pmic");
}

static void battery_measures(void **state)
{
    make_battery(*state);
    measures(*state, "battery");
}

static void battery_measures_amperes(void **state)
{
    make_amperes(*state);
    measures(*state, "battery");
}

/* ---- which one ---------------------------------------------------------------------------------- */

static void the_first_that_can_be_read(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    make_battery(f);
    assert_int_equal(lutra_meter_open_in(&f->world, NULL, &meter, NULL), LUTRA_OK);
    assert_string_equal(lutra_meter_name(meter), "battery");
    lutra_meter_close(meter);
    make_perf(f);
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
    put(f, RAPL "0/name", "psys\n"); /* has the packages in it, and more */
    refused(f, "rapl", LUTRA_ERROR_UNSUPPORTED, "no package");
}

static void permission_is_lacking(void **state)
{
    fake *f = *state;
    make_perf(f);
    f->perf_failure = -EACCES;
    refused(f, "perf", LUTRA_ERROR_IO, "perf_event_paranoid");
    refused(f, NULL, LUTRA_ERROR_IO, "perf_event_paranoid");
    if (geteuid() == 0)
        return; /* to whom no file is forbidden */
    char path[512];
    make_rapl(f, 1e9);
    snprintf(path, sizeof path, "%s" RAPL "0/energy_uj", f->root);
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

static void fails_to_read(lutra_meter *meter, lutra_status status, const char *says)
{
    double joules;
    lutra_error error = {0};
    assert_int_equal(lutra_meter_read(meter, &joules, &error), status);
    if (!strstr(error.message, says))
        fail_msg("'%s' does not say '%s'", error.message, says);
}

static void a_file_vanishes(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    make_rapl(f, 1e9);
    assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
    put(f, RAPL "0:2/energy_uj", "rubbish\n");
    fails_to_read(meter, LUTRA_ERROR_IO, "does not hold a number");
    take_away(f, RAPL "0:2/energy_uj");
    fails_to_read(meter, LUTRA_ERROR_IO, "0:2/energy_uj");
    lutra_meter_close(meter);
}

/* Be it the first thing that a meter says or a later one. */
static void what_is_no_power(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    make_ina226(f);
    assert_int_equal(lutra_meter_open_in(&f->world, "hwmon", &meter, NULL), LUTRA_OK);
    put(f, "/sys/class/hwmon/hwmon1/power1_input", "-5000000\n");
    fails_to_read(meter, LUTRA_ERROR_FORMAT, "gave -5");
    lutra_meter_close(meter);
    refused(f, "hwmon", LUTRA_ERROR_FORMAT, "gave -5");
    make_ina3221(f);
    put(f, "/sys/class/hwmon/hwmon3/in1_input", "1e300\n");
    put(f, "/sys/class/hwmon/hwmon3/curr1_input", "1e300\n");
    refused(f, "hwmon", LUTRA_ERROR_FORMAT, "gave inf");
}

static void a_counter_falls_beyond_its_range(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    f->joules = 50;
    make_rapl(f, 1e9);
    put(f, RAPL "0/max_energy_range_uj", "10\n");
    assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
    put(f, RAPL "0/energy_uj", "0\n");
    fails_to_read(meter, LUTRA_ERROR_FORMAT, "more than its range of 10");
    lutra_meter_close(meter);
}

static void the_charger_is_plugged_in(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    make_battery(f);
    assert_int_equal(lutra_meter_open_in(&f->world, "battery", &meter, NULL), LUTRA_OK);
    put(f, "/sys/class/power_supply/BAT0/status", "Charging\n");
    fails_to_read(meter, LUTRA_ERROR_UNSUPPORTED, "only while it is discharging");
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
    make_battery(f);
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
    make_rapl(f, 1e9);
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

static void slow_down(fake *f)
{
    show_rapl(f);
    put(f, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "%.0f\n", f->time < 20 ? 2.4e6 : 1.5e6);
    put(f, "/sys/class/thermal/thermal_zone1/temp", "%.0f\n", 40000 + 1000 * f->time);
}

static void throttling_is_told(void **state)
{
    fake *f = *state;
    const lutra_load load = {.user = f, .run = work};
    const lutra_energy_options options = {.idle_seconds = 5, .busy_seconds = 30, .batch = 2};
    lutra_meter *meter;
    lutra_energy energy;
    make_rapl(f, 1e9);
    f->show = slow_down;
    f->show(f);
    assert_int_equal(lutra_meter_open_in(&f->world, "rapl", &meter, NULL), LUTRA_OK);
    assert_int_equal(lutra_measure_energy_in(&f->world, meter, &load, &options, &energy, NULL), LUTRA_OK);
    assert_true(energy.is_throttled);
    assert_true(energy.mhz_before == 2400 && energy.mhz_after == 1500);
    assert_true(energy.celsius_before == 40 && energy.celsius_after > 70);
    lutra_meter_close(meter);
}

/* ---- a program of the user's -------------------------------------------------------------------- */

/* Reads until the program has said something or failed: it runs by its own clock. */
static lutra_status read_soon(lutra_meter *meter, fake *f, double *joules, lutra_error *error)
{
    lutra_status status;
    double before = 0;
    do {
        sched_yield();
        f->time += 1e-9; /* energy only grows once there is power */
        status = lutra_meter_read(meter, joules, error);
        before = *joules;
    } while (status == LUTRA_OK && before == 0);
    return status;
}

static void a_program_tells(void **state)
{
    static const char *const commands[] = {"echo 5; sleep 100", "echo 0.1,2.5,5; sleep 100",
                                           "printf 'time,volts,watts\\n1,5,5\\n'; exec sleep 100"};
    fake *f = *state;
    make_rapl(f, 1e9); /* what the user names goes before what the machine has */
    for (size_t i = 0; i < 3; i++) {
        lutra_meter *meter;
        double joules, later;
        f->world.command = commands[i];
        assert_int_equal(lutra_meter_open_in(&f->world, NULL, &meter, NULL), LUTRA_OK);
        assert_string_equal(lutra_meter_name(meter), "command");
        assert_int_equal(read_soon(meter, f, &joules, NULL), LUTRA_OK);
        f->time += 2;
        assert_int_equal(lutra_meter_read(meter, &later, NULL), LUTRA_OK);
        assert_true(fabs(later - joules - 10) < 1e-6);
        lutra_meter_close(meter);
    }
}

static void a_program_fails(void **state)
{
    static const struct {
        const char *command;
        lutra_status status;
        const char *says;
    } cases[] = {{"echo hello", LUTRA_ERROR_FORMAT, "line 1 is not watts: 'hello'"},
                 {"printf 'a,b\\n1,2,x\\n'", LUTRA_ERROR_FORMAT, "line 2 is not watts"},
                 {"echo -5", LUTRA_ERROR_FORMAT, "not watts"},
                 {"echo nan", LUTRA_ERROR_FORMAT, "not watts"},
                 {"echo 1e9", LUTRA_ERROR_FORMAT, "not watts"},
                 {"head -c 1000 /dev/zero | tr '\\0' 1", LUTRA_ERROR_FORMAT, "longer than any number"},
                 {"exit 3", LUTRA_ERROR_IO, "status 3"},
                 {"exec >&-; sleep 1000", LUTRA_ERROR_IO, "closed its output (signal 9)"},
                 {"kill -9 $$", LUTRA_ERROR_IO, "signal 9"},
                 {"no-such-program-of-lutra 2>/dev/null", LUTRA_ERROR_IO, "status 127"}};
    fake *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lutra_meter *meter = NULL;
        lutra_error error = {0};
        double joules = 0;
        f->world.command = cases[i].command;
        lutra_status status = lutra_meter_open_in(&f->world, NULL, &meter, &error);
        if (status == LUTRA_OK)
            status = read_soon(meter, f, &joules, &error);
        assert_int_equal(status, cases[i].status);
        assert_true(joules == 0); /* never a wrong number */
        if (!strstr(error.message, cases[i].says))
            fail_msg("'%s' does not say '%s'", error.message, cases[i].says);
        lutra_meter_close(meter);
    }
}

static void a_program_hangs(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    f->world.command = "sleep 1000";
    assert_int_equal(lutra_meter_open_in(&f->world, NULL, &meter, NULL), LUTRA_OK);
    f->time += 4;
    double joules;
    assert_int_equal(lutra_meter_read(meter, &joules, NULL), LUTRA_OK);
    assert_true(joules == 0);
    f->time += 2;
    fails_to_read(meter, LUTRA_ERROR_IO, "printed nothing for 6 seconds");
    lutra_meter_close(meter);
}

/* It prints faster than anybody could read. */
static void a_program_never_pauses(void **state)
{
    fake *f = *state;
    lutra_meter *meter;
    double joules, later;
    f->world.command = "yes 5";
    assert_int_equal(lutra_meter_open_in(&f->world, NULL, &meter, NULL), LUTRA_OK);
    assert_int_equal(read_soon(meter, f, &joules, NULL), LUTRA_OK);
    f->time += 2;
    assert_int_equal(lutra_meter_read(meter, &later, NULL), LUTRA_OK);
    assert_true(fabs(later - joules - 10) < 1e-6);
    lutra_meter_close(meter);
}

/* A program may have set a locale that writes 2,5: the sensors go on to say 2.5. */
static void points_stay_points(void **state)
{
    static const char *const sources[] = {"perf", "pmic", "command"};
    fake *f = *state;
    char command[512];
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' 2>/dev/null", f->root);
    if (system(command) != 0 || setenv("LOCPATH", f->root, 1) != 0 || !setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        skip(); /* there are no locales' sources */
    assert_string_equal(localeconv()->decimal_point, ",");
    make_perf(f);
    f->printed = " VDD_CORE_A current(7)=1.500000A\n VDD_CORE_V volt(15)=0.50000000V\n";
    f->world.command = "echo 2.5; exec sleep 100";
    lutra_status status = LUTRA_OK;
    for (size_t i = 0; i < 3 && status == LUTRA_OK; i++) {
        lutra_meter *meter;
        double joules;
        status = lutra_meter_open_in(&f->world, sources[i], &meter, NULL);
        if (status == LUTRA_OK && i == 2)
            status = read_soon(meter, f, &joules, NULL);
        lutra_meter_close(meter);
    }
    setlocale(LC_NUMERIC, "C");
    assert_int_equal(status, LUTRA_OK);
}

/* ---- a program of the system's ------------------------------------------------------------------ */

static void interrupt(int signal)
{
    (void)signal;
}

/* It prints, goes on when it has printed or closed its output, and ends: whatever it does, it is left in a
 * second. */
static void programs_run(void **state)
{
    static const struct {
        const char *script;
        int result;
    } cases[] = {{"echo hello", 0},
                 {"echo hello; exit 3", -EIO},
                 {"echo hello; exec sleep 1000", -ETIMEDOUT},
                 {"echo hello; exec >&- sleep 1000", -ETIMEDOUT},
                 {"echo hello; exec cat /dev/zero", -EMSGSIZE},
                 {"sleep 0.1; echo hello; exec >&-; sleep 0.1", 0}};
    /* Signals come all the time, and each ends a call of the system's that waits. */
    const struct itimerval often = {{.tv_usec = 10000}, {.tv_usec = 10000}}, never = {{0}, {0}};
    const struct sigaction action = {.sa_handler = interrupt};
    struct sigaction before;
    (void)state;
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const arguments[] = {"sh", "-c", cases[i].script, NULL};
        char text[64];
        const int result = lutra_real_world.run(NULL, arguments, text, sizeof text);
        if (result != cases[i].result)
            fail_msg("%s: %d", cases[i].script, result);
        if (result == 0)
            assert_string_equal(text, "hello\n");
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    const char *const nowhere[] = {"no-such-program-of-lutra", NULL};
    char text[64];
    assert_int_equal(lutra_real_world.run(NULL, nowhere, text, sizeof text), -ENOENT);
}

/* ---- counters ----------------------------------------------------------------------------------- */

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

#define IMC "/sys/bus/event_source/devices/uncore_imc"
#define MIB_OF_A_LINE "6.103515625e-5\n"

static void put_event(const fake *f, const char *device, const char *event, const char *config)
{
    char path[128];
    snprintf(path, sizeof path, IMC "%s/type", device);
    put(f, path, "13\n");
    snprintf(path, sizeof path, IMC "%s/cpumask", device);
    put(f, path, "0,1\n");
    snprintf(path, sizeof path, IMC "%s/events/%s", device, event);
    put(f, path, "%s\n", config);
    snprintf(path, sizeof path, IMC "%s/events/%s.scale", device, event);
    put(f, path, MIB_OF_A_LINE);
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
    take_away(f, IMC "_1/cpumask");
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
        put(f, cases[i].file, "%s", cases[i].text);
        assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, &error), LUTRA_ERROR_IO);
        assert_null(counter);
        if (!strstr(error.message, cases[i].says))
            fail_msg("'%s' does not say '%s'", error.message, cases[i].says);
        take_away(f, cases[i].file);
    }
    put_event(f, "", "data_reads", "event=0x01");
    put(f, IMC "/events/data_reads.scale", "1e300\n");
    assert_int_equal(lutra_counter_open_memory_in(&f->world, &counter, NULL), LUTRA_OK);
    f->time += 2;
    assert_int_equal(lutra_counter_read(counter, &bytes, &error), LUTRA_ERROR_IO);
    assert_int_equal(bytes, 0);
    lutra_counter_close(counter);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rapl_measures),
        TEST(rapl_measures_over_wrap_around),
        TEST(perf_measures),
        TEST(hwmon_measures),
        TEST(hwmon_measures_power),
        TEST(pmic_measures),
        TEST(battery_measures),
        TEST(battery_measures_amperes),
        TEST(the_first_that_can_be_read),
        TEST(there_is_none),
        TEST(permission_is_lacking),
        TEST(descriptors_are_lacking),
        TEST(a_file_vanishes),
        TEST(what_is_no_power),
        TEST(a_counter_falls_beyond_its_range),
        TEST(the_charger_is_plugged_in),
        TEST(too_few_values),
        TEST(short_idle_times),
        TEST(throttling_is_told),
        TEST(a_program_tells),
        TEST(a_program_fails),
        TEST(a_program_hangs),
        TEST(a_program_never_pauses),
        TEST(points_stay_points),
        TEST(programs_run),
        TEST(misses_are_counted),
        TEST(memory_controllers_count),
        TEST(a_clients_memory_controller_counts),
        TEST(no_memory_controller),
        TEST(odd_memory_controllers),
    };
    return cmocka_run_group_tests_name("energy", tests, NULL, NULL);
}
