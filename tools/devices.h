/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptions of devices by name: those that come with Lutra, or a file of one's own. */
#ifndef LUTRA_TOOLS_DEVICES_H
#define LUTRA_TOOLS_DEVICES_H

#include "command.h"

/* The names of the descriptions that come with Lutra, sorted. */
typedef struct tool_device_names {
    char **at; /* [n], owned */
    size_t n;
} tool_device_names;
lutra_status tool_device_names_read(tool_device_names *names, lutra_error *error);
void tool_device_names_free(tool_device_names *names);

/* Reads the description called `name`, or the file `name` where that has a '/' or ends in ".json". ARGUMENT
 * with the nearest names where there is none of that name. */
lutra_status tool_device_read(const char *name, lutra_device *device, lutra_error *error);

/* This machine's own: the file in $XDG_CACHE_HOME/lutra, or ~/.cache/lutra. Allocated; NULL when out of
 * memory. */
char *tool_device_path(void);

/* Refuses an output that is one of the descriptions that come with Lutra, or this machine's own. */
lutra_status tool_devices_check_output(const char *output, lutra_error *error);

#endif
