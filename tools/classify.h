/* SPDX-License-Identifier: Apache-2.0 */
/* What classify's two ways of working share. */
#ifndef LUTRA_TOOLS_CLASSIFY_H
#define LUTRA_TOOLS_CLASSIFY_H

#include "json.h"
#include "session.h"

/* The `n_top` best classes of logits [n_classes]: [{index, name, probability}]. */
json_t *tool_predictions_json(const tool_session *session, const float *logits, size_t n_top);

/* --stream: JPEGs from standard input, one JSON line per frame on standard output. Returns the exit status.
 */
int tool_classify_stream(const tool_arguments *arguments, const tool_session *session);

#endif
