/* SPDX-License-Identifier: Apache-2.0 */
/* The page that shows a profile: one file that needs nothing else (tools/report/). */
#ifndef LUTRA_TOOLS_REPORT_H
#define LUTRA_TOOLS_REPORT_H

#include <jansson.h>

#include "command.h"

/* Whether the page is part of this build; says that it is not, and why. */
bool tool_report_is_built(void);

/* Writes the page with `data` in it to `path`, whole or not at all, and frees `data`. Returns the exit
 * status. */
int tool_report_write(const char *path, json_t *data);

#endif
