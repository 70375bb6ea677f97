/* SPDX-License-Identifier: Apache-2.0 */
/* --cpus: where the command's threads may run. */
#ifndef LUTRA_TOOLS_CPUS_H
#define LUTRA_TOOLS_CPUS_H

#include "command.h"

/* Reads "0-3,6" into arguments->cpus; false where `text` is no such list. */
bool tool_parse_cpus(const char *text, tool_arguments *arguments);

/* Keeps this process, and every thread that it will start, to arguments->cpus, if any. Returns the exit
 * status. */
int tool_keep_to_cpus(const tool_arguments *arguments);

#endif
