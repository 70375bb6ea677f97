/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What measures energy. A source (meters.inc) tells either the joules since some time or the watts at this
 * moment; a meter makes joules since it was opened from either. All that a source sees of the world it sees
 * through lutra_world, so that tests can give it another. For the files of this folder.
 */
#ifndef LUTRA_PROFILE_METER_H
#define LUTRA_PROFILE_METER_H

#include <sys/types.h>

#include "base/error.h"

#define LUTRA_THIS_PROCESS (-1)
#define LUTRA_METER_PATIENCE 5.0 /* seconds that a meter may be silent */

typedef struct lutra_sampling lutra_sampling;

typedef struct lutra_world {
    void *user;
    const char *root;          /* before "/sys"; "" but in tests */
    double (*now)(void *user); /* seconds */
    void (*wait)(void *user, double seconds);
    /* perf_event_open of one counter on one CPU, for all processes, or of this process and the threads that
     * it will start: a descriptor, or -errno. */
    int (*perf_open)(void *user, uint32_t type, uint64_t config, int cpu);
    /* 0, or -errno: -EBUSY where it did not count all the time. */
    int (*perf_read)(void *user, int descriptor, uint64_t *value);
    void (*perf_close)(void *user, int descriptor);
    /* What a program prints -> `text`, ended with 0: 0, or -errno (which one that goes on, or prints more
     * than finds room, comes to as well). */
    int (*run)(void *user, const char *const *arguments, char *text, size_t size);
    /* Calls `sample` every so many seconds beside whatever goes on, until end_sampling. Errors: MEMORY. */
    lutra_status (*begin_sampling)(void *user, double seconds, void (*sample)(void *argument), void *argument,
                                   lutra_sampling **sampling, lutra_error *error);
    void (*end_sampling)(void *user, lutra_sampling *sampling);
    const char *command; /* of --power-meter, or NULL */
} lutra_world;

extern const lutra_world lutra_real_world;

/* The real world's begin_sampling and end_sampling. */
lutra_status lutra_begin_sampling(void *user, double seconds, void (*sample)(void *argument), void *argument,
                                  lutra_sampling **sampling, lutra_error *error);
void lutra_end_sampling(void *user, lutra_sampling *sampling);

typedef struct lutra_reading {
    bool is_power; /* `value` is watts, else joules */
    bool is_new;   /* false: nothing was measured since the last reading */
    double value;
} lutra_reading;

typedef struct lutra_meter_kind {
    /* Errors: UNSUPPORTED (there is none here), IO (not to be read: how to grant it). `*state` is passed on;
     * it is freed by close, which takes NULL too. */
    lutra_status (*open)(const lutra_world *world, void **state, lutra_error *error);
    lutra_status (*read)(const lutra_world *world, void *state, lutra_reading *reading, lutra_error *error);
    void (*close)(const lutra_world *world, void *state);
    size_t least_distinct; /* readings that a measurement needs */
} lutra_meter_kind;

#define METER(name, what) extern const lutra_meter_kind lutra_meter_##name;
#include "profile/meters.inc"
#undef METER

lutra_status lutra_meter_open_in(const lutra_world *world, const char *source, lutra_meter **meter,
                                 lutra_error *error);

/* As lutra_meter_read, but a source of power is not asked again: it is taken to draw what it drew last. */
lutra_status lutra_meter_tell(lutra_meter *meter, double *joules, lutra_error *error);

/* LUTRA_ERROR_UNSUPPORTED where a power meter's values were too few to mean anything. */
lutra_status lutra_meter_judge(const lutra_meter *meter, lutra_error *error);

/* strtod, but with a point before the decimals whatever locale the program has set. */
double lutra_parse_number(const char *text, char **end);

/* Waits for a child that has ended or been killed, whatever signals come meanwhile; waitpid's status. */
int lutra_wait_for_end(pid_t process);

/* ---- files of /sys ----------------------------------------------------------------------------- */

/* The first line of world->root + path, without its end: 0, or errno. `path` and `size` > 0 as given. */
int lutra_sys_text(const lutra_world *world, const char *path, char *text, size_t size);
/* A whole number: 0, errno, or EINVAL where the file holds something else. */
int lutra_sys_number(const lutra_world *world, const char *path, double *value);

/* LUTRA_ERROR_IO: "PATH: cannot be read: REASON", and `grant` where permission is what lacks;
 * LUTRA_ERROR_MEMORY where memory or descriptors are. */
lutra_status lutra_sys_fail(int error_number, const char *path, const char *grant, lutra_error *error);

#endif
