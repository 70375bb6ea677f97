/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power controller of a Raspberry Pi 5, which its firmware tells of through a program: lines such as
 *
 *     VDD_CORE_A current(7)=1.26A
 *     VDD_CORE_V volt(15)=0.72V
 *
 * A rail's two lines make its power. What the board draws beside these rails (USB, fan) is not among them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/meter.h"

#define MAX_RAILS 32
#define GRANT "add the user to the group video"

typedef struct rail {
    char name[32];
    double volts, amperes;
    bool has_volts, has_amperes;
} rail;

static rail *find_rail(rail *rails, size_t *n, const char *name, size_t length)
{
    for (size_t i = 0; i < *n; i++)
        if (strlen(rails[i].name) == length && strncmp(rails[i].name, name, length) == 0)
            return &rails[i];
    if (*n == MAX_RAILS || length >= sizeof rails->name)
        return NULL;
    rail *added = &rails[(*n)++];
    *added = (rail){.volts = 0};
    memcpy(added->name, name, length);
    return added;
}

/* False where the line is none of a rail's. */
static bool parse_line(const char *line, rail *rails, size_t *n)
{
    char name[32], what[16], *unit;
    int at = 0;
    if (sscanf(line, " %31s %15[a-z](%*d)=%n", name, what, &at) != 2 || at == 0)
        return false;
    const double value = lutra_parse_number(line + at, &unit);
    const size_t length = strlen(name);
    const bool is_current = strcmp(what, "current") == 0 && *unit == 'A';
    if (unit == line + at || length < 3 || name[length - 2] != '_' ||
        (!is_current && (strcmp(what, "volt") != 0 || *unit != 'V')))
        return false;
    rail *r = find_rail(rails, n, name, length - 2);
    if (!r)
        return false;
    *(is_current ? &r->amperes : &r->volts) = value;
    *(is_current ? &r->has_amperes : &r->has_volts) = true;
    return true;
}

static lutra_status read_pmic(const lutra_world *world, void *state, lutra_reading *reading,
                              lutra_error *error)
{
    static const char *const program[] = {"vcgencmd", "pmic_read_adc", NULL};
    char text[8192];
    rail rails[MAX_RAILS];
    size_t n = 0, whole = 0;
    (void)state;
    *reading = (lutra_reading){.is_power = true, .is_new = true};
    const int failed = -world->run(world->user, program, text, sizeof text);
    if (failed == ENOENT)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET, "no program vcgencmd");
    if (failed)
        return lutra_sys_fail(failed, "vcgencmd pmic_read_adc", GRANT, error);
    for (char *line = text; *line; line += strspn(line, "\n")) {
        char *end = line + strcspn(line, "\n");
        if (*end)
            *end++ = 0;
        parse_line(line, rails, &n);
        line = end;
    }
    for (size_t i = 0; i < n; i++)
        if (rails[i].has_amperes && rails[i].has_volts) {
            reading->value += rails[i].volts * rails[i].amperes;
            whole++;
        }
    if (whole == 0)
        return lutra_fail(
            error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
            "vcgencmd pmic_read_adc tells of no rail with volts and amperes (only a Pi 5's does)");
    return LUTRA_OK;
}

static lutra_status open_pmic(const lutra_world *world, void **state, lutra_error *error)
{
    lutra_reading reading;
    *state = NULL;
    return read_pmic(world, NULL, &reading, error);
}

static void close_pmic(const lutra_world *world, void *state)
{
    (void)world;
    (void)state;
}

const lutra_meter_kind lutra_meter_pmic = {.open = open_pmic, .read = read_pmic, .close = close_pmic};
