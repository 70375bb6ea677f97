/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A made-up machine: files of /sys below a folder of our own, counters of perf from a table, a program that
 * prints what we say, and a clock that goes only when somebody waits, works or runs the program. What is
 * sampled beside that takes no time of its own.
 */
#ifndef LUTRA_TESTS_FAKE_MACHINE_H
#define LUTRA_TESTS_FAKE_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "profile/meter.h"

#define FAKE_RAPL "/sys/class/powercap/intel-rapl:"

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
    bool is_shared;      /* the counter of misses, with other programs */
    const char *printed; /* by the program; NULL: there is none */
    char text[512];
    double run_seconds; /* that the program takes */
    size_t n_runs;      /* of the program */
    void (*sample)(void *argument);
    void *sampled;
    double sampling_seconds, next_sample;
    bool is_sampling; /* at this moment */
} fake;

int fake_set_up(void **state);
int fake_tear_down(void **state);
#define FAKE_TEST(name) cmocka_unit_test_setup_teardown(name, fake_set_up, fake_tear_down)

/* Writes a file of the machine; removes it. */
void fake_put(const fake *f, const char *path, const char *format, ...) __attribute__((format(printf, 3, 4)));
void fake_take_away(const fake *f, const char *path);

/* What it draws now; lets time go by. */
double fake_watts(const fake *f);
void fake_pass(fake *f, double seconds);

/* Gives it a sensor. */
void fake_make_rapl(fake *f, double range_uj);
void fake_make_perf(fake *f);
void fake_make_ina3221(fake *f);
void fake_make_ina226(fake *f);
void fake_make_pmic(fake *f);
void fake_make_battery(fake *f);
void fake_make_amperes(fake *f);
void fake_show_rapl(fake *f); /* what `show` is with RAPL */

/* The meter's next reading fails, with a message in which `says` stands. */
void fake_fails_to_read(lutra_meter *meter, lutra_status status, const char *says);

#endif
