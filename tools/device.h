/* SPDX-License-Identifier: Apache-2.0 */
/* This machine's own description, measured once and kept in the user's folder for caches. */
#ifndef LUTRA_TOOLS_DEVICE_H
#define LUTRA_TOOLS_DEVICE_H

#include "terminal.h"

typedef struct tool_device {
    lutra_device device;
    bool is_measured; /* false: only the caches and the processor's name are known */
    char how[96];     /* where it is not: what would measure it, or that nothing does */
} tool_device;

/* Reads what `lutra device measure` left here; without it, asks the system for what it tells. Returns the
 * exit status. */
int tool_device_open(const tool_arguments *arguments, tool_device *device);

#endif
