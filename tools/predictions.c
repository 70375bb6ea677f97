/* SPDX-License-Identifier: Apache-2.0 */
#include "predictions.h"

#include <math.h>
#include <stdlib.h>

#include "metrics.h"

bool tool_predict(const tool_session *session, const float *logits, size_t n_top,
                  tool_prediction *predictions)
{
    const size_t n = session->info->n_classes;
    double *log_p = calloc(n, sizeof *log_p);
    size_t *top = calloc(n_top, sizeof *top);
    if (log_p && top) {
        tool_log_softmax(logits, n, log_p);
        tool_top(logits, n, n_top, top);
        for (size_t i = 0; i < n_top; i++)
            predictions[i] =
                (tool_prediction){top[i], tool_session_label(session, top[i]), exp(log_p[top[i]])};
    }
    const bool memory = log_p && top;
    free(log_p);
    free(top);
    return memory;
}

json_t *tool_predictions_json(const tool_session *session, const float *logits, size_t n_top)
{
    tool_prediction *predictions = calloc(n_top, sizeof *predictions);
    json_t *list = predictions && tool_predict(session, logits, n_top, predictions) ? json_array()
                                                                                    : tool_json_no_memory();
    for (size_t i = 0; list && i < n_top; i++) {
        json_t *json = json_object();
        json_object_set_new(json, "index", tool_json_size(predictions[i].index));
        json_object_set_new(json, "name", tool_json_text(predictions[i].name));
        json_object_set_new(json, "probability", tool_json_real(predictions[i].probability));
        json_array_append_new(list, json);
    }
    free(predictions);
    return list;
}
