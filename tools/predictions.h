/* SPDX-License-Identifier: Apache-2.0 */
/* The best classes of a picture. */
#ifndef LUTRA_TOOLS_PREDICTIONS_H
#define LUTRA_TOOLS_PREDICTIONS_H

#include "json.h"
#include "session.h"

typedef struct tool_prediction {
    size_t index;
    const char *name; /* or NULL */
    double probability;
} tool_prediction;

/* The best `n_top` classes of logits [n_classes] -> `predictions` [n_top]; false when out of memory. */
bool tool_predict(const tool_session *session, const float *logits, size_t n_top,
                  tool_prediction *predictions);

/* The same as [{index, name, probability}]. */
json_t *tool_predictions_json(const tool_session *session, const float *logits, size_t n_top);

#endif
