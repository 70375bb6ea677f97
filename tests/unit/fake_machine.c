/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_machine.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fake_put(const fake *f, const char *path, const char *format, ...)
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

void fake_take_away(const fake *f, const char *path)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", f->root, path);
    assert_int_equal(unlink(whole), 0);
}

double fake_watts(const fake *f)
{
    return f->idle_watts + f->drift * f->time + (f->is_busy ? f->busy_watts : 0);
}

/* Power changes evenly, so the mean of its ends is exact. */
static void pass(fake *f, double until)
{
    const double before = fake_watts(f), seconds = until - f->time;
    f->time = until;
    f->joules += seconds * (before + fake_watts(f)) / 2;
    if (f->show)
        f->show(f);
}

void fake_pass(fake *f, double seconds)
{
    const double end = f->time + seconds;
    for (; f->sample && f->next_sample <= end; f->next_sample += f->sampling_seconds) {
        pass(f, f->next_sample);
        f->is_sampling = true;
        f->sample(f->sampled);
        f->is_sampling = false;
    }
    pass(f, end);
}

static double now(void *user)
{
    return ((fake *)user)->time;
}

static void wait_seconds(void *user, double seconds)
{
    fake_pass(user, seconds);
}

static int perf_open(void *user, uint32_t type, uint64_t config, int cpu)
{
    const fake *f = user;
    if (cpu == LUTRA_THIS_PROCESS) { /* reads that the last cache misses */
        assert_int_equal(type, 3);
        assert_int_equal(config, 0x10002);
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
        return f->is_shared ? -EBUSY : 0;
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
    fake *f = user;
    assert_string_equal(arguments[0], "vcgencmd");
    if (!f->printed)
        return f->run_failure ? f->run_failure : -ENOENT;
    f->n_runs++;
    if (f->show)
        f->show(f);
    snprintf(text, size, "%s", f->printed);
    if (!f->is_sampling)
        fake_pass(f, f->run_seconds);
    return 0;
}

static lutra_status begin_sampling(void *user, double seconds, void (*sample)(void *argument), void *argument,
                                   lutra_sampling **sampling, lutra_error *error)
{
    fake *f = user;
    (void)error;
    f->sample = sample;
    f->sampled = argument;
    f->sampling_seconds = seconds;
    f->next_sample = f->time + seconds;
    *sampling = NULL;
    return LUTRA_OK;
}

static void end_sampling(void *user, lutra_sampling *sampling)
{
    fake *f = user;
    (void)sampling;
    f->sample = NULL;
}

int fake_set_up(void **state)
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
                             .run = run,
                             .begin_sampling = begin_sampling,
                             .end_sampling = end_sampling};
    *state = f;
    return 0;
}

int fake_tear_down(void **state)
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
void fake_show_rapl(fake *f)
{
    const double uj = 1e6 * f->joules;
    fake_put(f, FAKE_RAPL "0/energy_uj", "%.0f\n", fmod(0.75 * uj, f->range_uj));
    fake_put(f, FAKE_RAPL "0:2/energy_uj", "%.0f\n", fmod(0.25 * uj, f->range_uj));
    fake_put(f, FAKE_RAPL "0:0/energy_uj", "%.0f\n", fmod(0.5 * uj, f->range_uj));
    fake_put(f, FAKE_RAPL "1/energy_uj", "%.0f\n", fmod(2 * uj, f->range_uj));
}

void fake_make_rapl(fake *f, double range_uj)
{
    static const char *const zones[][2] = {
        {"0", "package-0"}, {"0:0", "core"}, {"0:2", "dram"}, {"1", "psys"}};
    f->range_uj = range_uj;
    for (size_t i = 0; i < 4; i++) {
        char path[96];
        snprintf(path, sizeof path, FAKE_RAPL "%s/name", zones[i][0]);
        fake_put(f, path, "%s\n", zones[i][1]);
        snprintf(path, sizeof path, FAKE_RAPL "%s/max_energy_range_uj", zones[i][0]);
        fake_put(f, path, "%.0f\n", range_uj);
    }
    f->show = fake_show_rapl;
    f->show(f);
}

void fake_make_perf(fake *f)
{
    fake_put(f, "/sys/bus/event_source/devices/power/type", "9\n");
    fake_put(f, "/sys/bus/event_source/devices/power/cpumask", "0-1\n");
    fake_put(f, "/sys/bus/event_source/devices/power/events/energy-pkg", "event=0x02\n");
    fake_put(f, "/sys/bus/event_source/devices/power/events/energy-pkg.scale",
             "2.3283064365386962890625e-10\n");
}

/* A Jetson's: the board's input, and a rail behind it that must not be added. */
static void show_ina3221(fake *f)
{
    fake_put(f, "/sys/class/hwmon/hwmon3/in1_input", "5000\n");
    fake_put(f, "/sys/class/hwmon/hwmon3/curr1_input", "%.0f\n", 1e3 * fake_watts(f) / 5);
    fake_put(f, "/sys/class/hwmon/hwmon3/in2_input", "1000\n");
    fake_put(f, "/sys/class/hwmon/hwmon3/curr2_input", "1500\n");
}

void fake_make_ina3221(fake *f)
{
    fake_put(f, "/sys/class/hwmon/hwmon0/name", "k10temp\n");
    fake_put(f, "/sys/class/hwmon/hwmon3/name", "ina3221\n");
    fake_put(f, "/sys/class/hwmon/hwmon3/in1_label", "VDD_IN\n");
    fake_put(f, "/sys/class/hwmon/hwmon3/in2_label", "VDD_CPU_GPU_CV\n");
    f->show = show_ina3221;
    f->show(f);
}

static void show_ina226(fake *f)
{
    fake_put(f, "/sys/class/hwmon/hwmon1/power1_input", "%.0f\n", 1e6 * fake_watts(f));
}

void fake_make_ina226(fake *f)
{
    fake_put(f, "/sys/class/hwmon/hwmon1/name", "ina226\n");
    f->show = show_ina226;
    f->show(f);
}

static void show_pmic(fake *f)
{
    snprintf(
        f->text, sizeof f->text,
        "   3V3_SYS_A current(1)=%.6fA\n  VDD_CORE_A current(7)=%.6fA\n   3V3_SYS_V volt(9)=2.00000000V\n"
        "  VDD_CORE_V volt(15)=0.50000000V\n     EXT5V_V volt(24)=5.14800000V\n",
        fake_watts(f) / 4, fake_watts(f));
    f->printed = f->text;
}

void fake_make_pmic(fake *f)
{
    f->show = show_pmic;
    f->show(f);
}

static void show_battery(fake *f)
{
    fake_put(f, "/sys/class/power_supply/BAT0/power_now", "%.0f\n", 1e6 * fake_watts(f));
}

void fake_make_battery(fake *f)
{
    fake_put(f, "/sys/class/power_supply/BAT0/type", "Battery\n");
    fake_put(f, "/sys/class/power_supply/BAT0/status", "Discharging\n");
    f->show = show_battery;
    f->show(f);
}

static void show_amperes(fake *f)
{
    fake_put(f, "/sys/class/power_supply/battery/current_now", "%.0f\n", -1e6 * fake_watts(f) / 4);
    fake_put(f, "/sys/class/power_supply/battery/voltage_now", "4000000\n");
}

void fake_make_amperes(fake *f)
{
    fake_put(f, "/sys/class/power_supply/battery/type", "Battery\n");
    fake_put(f, "/sys/class/power_supply/battery/status", "Discharging\n");
    f->show = show_amperes;
    f->show(f);
}

void fake_fails_to_read(lutra_meter *meter, lutra_status status, const char *says)
{
    double joules;
    lutra_error error = {0};
    assert_int_equal(lutra_meter_read(meter, &joules, &error), status);
    if (!strstr(error.message, says))
        fail_msg("'%s' does not say '%s'", error.message, says);
}
