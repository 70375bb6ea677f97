/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/meter.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define MOST_DISTINCT 32 /* values that are told apart, beyond which there are enough for any source */

static const struct source {
    const char *name, *what;
    const lutra_meter_kind *kind;
} sources[] = {
#define METER(name, what) {#name, what, &lutra_meter_##name},
#include "profile/meters.inc"
#undef METER
};
#define N_SOURCES (sizeof sources / sizeof *sources)

struct lutra_meter {
    const struct source *source;
    lutra_world world;
    char *command; /* owned; world.command */
    void *state;
    double joules, first_joules; /* since it was opened; what its source began with */
    double last_time, last_watts;
    bool is_power, has_power, speaks;
    double distinct[MOST_DISTINCT];
    size_t n_distinct;
};

const char *lutra_meter_source(size_t index)
{
    return index < N_SOURCES ? sources[index].name : NULL;
}

const char *lutra_meter_name(const lutra_meter *meter)
{
    return meter->source->name;
}

const char *lutra_meter_what(const lutra_meter *meter)
{
    return meter->source->what;
}

static lutra_status read_source(lutra_meter *meter, lutra_reading *reading, lutra_error *error)
{
    const lutra_status status = meter->source->kind->read(&meter->world, meter->state, reading, error);
    if (status == LUTRA_OK && (!isfinite(reading->value) || reading->value < 0))
        return lutra_fail(error, LUTRA_ERROR_FORMAT, NULL, LUTRA_NO_OFFSET,
                          "the meter %s gave %g, which is no energy or power", meter->source->name,
                          reading->value);
    return status;
}

static lutra_status open_source(const lutra_world *world, const struct source *source, lutra_meter **result,
                                lutra_error *error)
{
    lutra_meter *meter = NULL;
    lutra_reading first;
    lutra_status status = lutra_allocate(1, sizeof *meter, "a meter", &meter, error);
    if (status)
        return status;
    meter->source = source;
    meter->world = *world;
    if (world->command) {
        meter->world.command = meter->command = strdup(world->command);
        if (!meter->command)
            status = lutra_fail_memory(error, strlen(world->command), "a meter's command");
    }
    if (status == LUTRA_OK)
        status = source->kind->open(&meter->world, &meter->state, error);
    meter->last_time = world->now(world->user);
    if (status == LUTRA_OK && (status = read_source(meter, &first, error)) == LUTRA_OK) {
        meter->first_joules = first.value;
        meter->is_power = first.is_power;
        meter->has_power = first.is_power && first.is_new;
        meter->last_watts = first.value;
        meter->speaks = first.is_new;
    }
    if (status)
        lutra_meter_close(meter);
    else
        *result = meter;
    return status;
}

lutra_status lutra_meter_open_in(const lutra_world *world, const char *source, lutra_meter **meter,
                                 lutra_error *error)
{
    lutra_error denied = {.status = LUTRA_OK}, failed;
    *meter = NULL;
    for (size_t i = 0; i < N_SOURCES; i++) {
        if (source && strcmp(source, sources[i].name) != 0)
            continue;
        /* A meter that the user names goes before what the machine has. */
        if (!source && world->command && strcmp(sources[i].name, "command") != 0)
            continue;
        const lutra_status status = open_source(world, &sources[i], meter, &failed);
        if (status == LUTRA_OK)
            return status;
        if (source || world->command) {
            if (error)
                *error = failed;
            return status;
        }
        if (status != LUTRA_ERROR_UNSUPPORTED && denied.status == LUTRA_OK)
            denied = failed;
    }
    if (denied.status) {
        if (error)
            *error = denied;
        return denied.status;
    }
    if (source)
        return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                          "no source of energy is called '%s'", source);
    return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                      "nothing here measures energy ('lutra device check' lists what was looked for)");
}

lutra_status lutra_meter_open(const char *source, const char *command, lutra_meter **meter,
                              lutra_error *error)
{
    lutra_world world = lutra_real_world;
    world.command = command;
    return lutra_meter_open_in(&world, source, meter, error);
}

void lutra_meter_close(lutra_meter *meter)
{
    if (!meter)
        return;
    meter->source->kind->close(&meter->world, meter->state);
    free(meter->command);
    free(meter);
}

static void count_distinct(lutra_meter *meter, double value)
{
    for (size_t i = 0; i < meter->n_distinct; i++)
        if (meter->distinct[i] == value)
            return;
    if (meter->n_distinct < MOST_DISTINCT)
        meter->distinct[meter->n_distinct++] = value;
}

static void take(lutra_meter *meter, const lutra_reading *reading, double *joules)
{
    const double now = meter->world.now(meter->world.user);
    if (!reading->is_power) {
        meter->joules = reading->value - meter->first_joules;
    } else if (reading->is_new) {
        const double before = meter->has_power ? meter->last_watts : reading->value;
        meter->joules += (now - meter->last_time) * (before + reading->value) / 2;
        meter->last_watts = reading->value;
        meter->has_power = true;
        count_distinct(meter, reading->value);
    } else if (meter->has_power) {
        meter->joules += (now - meter->last_time) * meter->last_watts;
    }
    meter->speaks |= reading->is_new;
    meter->last_time = now;
    *joules = meter->joules;
}

lutra_status lutra_meter_read(lutra_meter *meter, double *joules, lutra_error *error)
{
    lutra_reading reading;
    const lutra_status status = read_source(meter, &reading, error);
    *joules = meter->joules;
    if (status == LUTRA_OK)
        take(meter, &reading, joules);
    return status;
}

lutra_status lutra_meter_tell(lutra_meter *meter, double *joules, lutra_error *error)
{
    const lutra_reading nothing_new = {.is_power = true};
    if (!meter->is_power)
        return lutra_meter_read(meter, joules, error);
    take(meter, &nothing_new, joules);
    return LUTRA_OK;
}

bool lutra_meter_speaks(const lutra_meter *meter)
{
    return meter->speaks;
}

lutra_status lutra_meter_judge(const lutra_meter *meter, lutra_error *error)
{
    if (meter->n_distinct >= meter->source->kind->least_distinct)
        return LUTRA_OK;
    return lutra_fail(
        error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
        "the meter %s gave %zu distinct values, fewer than the %zu that a mean can be trusted from",
        meter->source->name, meter->n_distinct, meter->source->kind->least_distinct);
}
