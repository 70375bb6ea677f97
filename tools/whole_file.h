/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUTRA_TOOLS_WHOLE_FILE_H
#define LUTRA_TOOLS_WHOLE_FILE_H

#include "lutra/lutra.h"

/* Writes a file of two parts whole or not at all: beside it under another name, synced, then renamed. */
lutra_status tool_write_whole(const char *path, const void *head, size_t head_bytes, const void *rest,
                              size_t rest_bytes, lutra_error *error);

#endif
