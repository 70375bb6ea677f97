/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that tell of power: the user's meter, and how the system's are run. */
#include "fake_machine.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

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
    fake_make_rapl(f, 1e9); /* what the user names goes before what the machine has */
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
    fake_fails_to_read(meter, LUTRA_ERROR_IO, "printed nothing for 6 seconds");
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
    fake_make_perf(f);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAKE_TEST(a_program_tells),        FAKE_TEST(a_program_fails),    FAKE_TEST(a_program_hangs),
        FAKE_TEST(a_program_never_pauses), FAKE_TEST(points_stay_points), FAKE_TEST(programs_run),
    };
    return cmocka_run_group_tests_name("power_meter", tests, NULL, NULL);
}
