/* SPDX-License-Identifier: Apache-2.0 */
/* The part of classify that reads a stream. */
#ifndef LUTRA_TOOLS_CLASSIFY_H
#define LUTRA_TOOLS_CLASSIFY_H

#include "session.h"

/* --stream: JPEGs from standard input, one JSON line per frame on standard output. Returns the exit status.
 */
int tool_classify_stream(const tool_arguments *arguments, const tool_session *session);

#endif
