/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a battery gives while it is discharging: power_now in microwatts, or current_now in microamperes times
 * voltage_now in microvolts. Its gauge changes only every few seconds, so few values are none.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "profile/meter.h"

#define GRANT "sudo chmod a+r /sys/class/power_supply/*/*_now"
#define LEAST_DISTINCT 20

/* The names that drivers give: laptops' ACPI, phones, small boards. */
static const char *const names[] = {"BAT0", "BAT1",           "BAT2",          "battery",
                                    "bms",  "axp20x-battery", "macsmc-battery"};

typedef struct battery {
    const char *name;
    bool has_power;
} battery;

static void path_of(const battery *b, const char *what, char *path, size_t size)
{
    snprintf(path, size, "/sys/class/power_supply/%s/%s", b->name, what);
}

static lutra_status open_battery(const lutra_world *world, void **state, lutra_error *error)
{
    battery *b = NULL;
    const lutra_status status = lutra_allocate(1, sizeof *b, "a meter", &b, error);
    *state = b;
    for (size_t i = 0; status == LUTRA_OK && i < sizeof names / sizeof *names; i++) {
        char path[96], type[32];
        double value;
        b->name = names[i];
        path_of(b, "type", path, sizeof path);
        if (lutra_sys_text(world, path, type, sizeof type) || strcmp(type, "Battery") != 0)
            continue;
        path_of(b, "power_now", path, sizeof path);
        b->has_power = lutra_sys_number(world, path, &value) != ENOENT;
        return LUTRA_OK;
    }
    return status ? status
                  : lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                               "no battery in /sys/class/power_supply");
}

static lutra_status read_value(const lutra_world *world, const battery *b, const char *what, double *value,
                               lutra_error *error)
{
    char path[96];
    path_of(b, what, path, sizeof path);
    const int failed = lutra_sys_number(world, path, value);
    return failed ? lutra_sys_fail(failed, path, GRANT, error) : LUTRA_OK;
}

static lutra_status read_battery(const lutra_world *world, void *state, lutra_reading *reading,
                                 lutra_error *error)
{
    const battery *b = state;
    char path[96], text[32];
    double power = 0, amperes = 0, volts = 0;
    lutra_status status;
    path_of(b, "status", path, sizeof path);
    const int failed = lutra_sys_text(world, path, text, sizeof text);
    if (failed)
        return lutra_sys_fail(failed, path, GRANT, error);
    if (strcmp(text, "Discharging") != 0)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                          "the battery %s is %s: it says what the machine draws only while it is discharging",
                          b->name, text);
    if (b->has_power) {
        status = read_value(world, b, "power_now", &power, error);
    } else if ((status = read_value(world, b, "current_now", &amperes, error)) == LUTRA_OK) {
        status = read_value(world, b, "voltage_now", &volts, error);
        power = 1e-6 * amperes * volts;
    }
    /* Some drivers give what flows out as negative. */
    *reading = (lutra_reading){.is_power = true, .is_new = true, .value = 1e-6 * fabs(power)};
    return status;
}

static void close_battery(const lutra_world *world, void *state)
{
    (void)world;
    free(state);
}

const lutra_meter_kind lutra_meter_battery = {
    .open = open_battery, .read = read_battery, .close = close_battery, .least_distinct = LEAST_DISTINCT};
