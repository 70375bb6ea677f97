/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TI's INA current sensors as boards have them: INA3221 (Jetson, Khadas) with millivolts and milliamperes of
 * three channels, INA2xx with microwatts. Where a channel is labelled as the board's input it is the whole;
 * else all channels are summed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "profile/meter.h"

#define MAX_CHIPS 32
#define MAX_CHANNELS 32
#define GRANT "sudo chmod a+r /sys/class/hwmon/hwmon*/*_input"

typedef struct channel {
    char power[64]; /* or "" */
    char volts[64], amperes[64];
} channel;

typedef struct hwmon {
    channel channels[MAX_CHANNELS];
    size_t n;
    bool is_whole; /* the one channel is the board's input */
} hwmon;

static bool is_input(const char *label)
{
    static const char *const inputs[] = {"VDD_IN", "POM_5V_IN", "VDD_5V_IN", "VIN_SYS_5V0"};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        if (strcmp(label, inputs[i]) == 0)
            return true;
    return false;
}

static void add_channel(const lutra_world *world, hwmon *h, size_t chip, size_t number)
{
    char path[64], label[64] = "";
    double value;
    channel c = {.power = ""};
    snprintf(c.power, sizeof c.power, "/sys/class/hwmon/hwmon%zu/power%zu_input", chip, number);
    snprintf(c.volts, sizeof c.volts, "/sys/class/hwmon/hwmon%zu/in%zu_input", chip, number);
    snprintf(c.amperes, sizeof c.amperes, "/sys/class/hwmon/hwmon%zu/curr%zu_input", chip, number);
    if (lutra_sys_number(world, c.power, &value) == ENOENT) {
        c.power[0] = 0;
        if (lutra_sys_number(world, c.amperes, &value) == ENOENT)
            return;
    }
    snprintf(path, sizeof path, "/sys/class/hwmon/hwmon%zu/in%zu_label", chip, number);
    lutra_sys_text(world, path, label, sizeof label);
    if (h->is_whole || h->n == MAX_CHANNELS)
        return;
    if (is_input(label)) {
        h->n = 0;
        h->is_whole = true;
    }
    h->channels[h->n++] = c;
}

static lutra_status open_hwmon(const lutra_world *world, void **state, lutra_error *error)
{
    hwmon *h = NULL;
    const lutra_status status = lutra_allocate(1, sizeof *h, "a meter", &h, error);
    *state = h;
    if (status)
        return status;
    for (size_t chip = 0; chip < MAX_CHIPS; chip++) {
        char path[64], name[32];
        snprintf(path, sizeof path, "/sys/class/hwmon/hwmon%zu/name", chip);
        if (lutra_sys_text(world, path, name, sizeof name) || strncmp(name, "ina", 3) != 0)
            continue;
        for (size_t number = 1; number <= 3; number++)
            add_channel(world, h, chip, number);
    }
    if (h->n == 0)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                          "no ina3221 or ina2xx in /sys/class/hwmon");
    return LUTRA_OK;
}

static lutra_status read_value(const lutra_world *world, const char *path, double *value, lutra_error *error)
{
    const int failed = lutra_sys_number(world, path, value);
    return failed ? lutra_sys_fail(failed, path, GRANT, error) : LUTRA_OK;
}

static lutra_status read_hwmon(const lutra_world *world, void *state, lutra_reading *reading,
                               lutra_error *error)
{
    const hwmon *h = state;
    lutra_status status = LUTRA_OK;
    *reading = (lutra_reading){.is_power = true, .is_new = true};
    for (size_t i = 0; i < h->n && status == LUTRA_OK; i++) {
        const channel *c = &h->channels[i];
        double power = 0, volts = 0, amperes = 0;
        if (c->power[0]) {
            status = read_value(world, c->power, &power, error);
        } else if ((status = read_value(world, c->volts, &volts, error)) == LUTRA_OK) {
            status = read_value(world, c->amperes, &amperes, error);
            power = volts * amperes; /* milli times milli */
        }
        reading->value += 1e-6 * power;
    }
    return status;
}

static void close_hwmon(const lutra_world *world, void *state)
{
    (void)world;
    free(state);
}

const lutra_meter_kind lutra_meter_hwmon = {.open = open_hwmon, .read = read_hwmon, .close = close_hwmon};
