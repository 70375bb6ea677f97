/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What eval measures, from logits, in double. log p = logits - log(sum(exp(logits))) (log-softmax).
 */
#ifndef LUTRA_TOOLS_METRICS_H
#define LUTRA_TOOLS_METRICS_H

#include <stdbool.h>
#include <stddef.h>

/* log_probabilities [n] = log-softmax of logits [n]. */
void tool_log_softmax(const float *logits, size_t n, double *log_probabilities);

/* How many classes come before `index`: those with a larger logit, and those before it with an equal one, as
 * PyTorch's topk orders them. SIZE_MAX where the logit is not a number. */
size_t tool_rank(const float *logits, size_t n, size_t index);

/* The `n_top` <= n classes with the largest logits, best first -> `top`. */
void tool_top(const float *logits, size_t n, size_t n_top, size_t *top);

typedef struct tool_metrics {
    size_t n;          /* pictures */
    size_t top1, top5; /* right ones */
    double nll;        /* sum of -log p(truth), nats */
} tool_metrics;

/* `log_p` [n_classes] is the log-softmax of `logits` [n_classes]. */
void tool_metrics_add(tool_metrics *metrics, const float *logits, const double *log_p, size_t n_classes,
                      size_t truth);

/* A model beside another on the same pictures. */
typedef struct tool_comparison {
    size_t n;
    size_t n_agree;      /* pictures on which both name the same class first, none of the logits being NaN */
    size_t gained, lost; /* pictures that only the model, only the other is right about */
    double kl;           /* sum of KL(other || model), nats */
} tool_comparison;

/* `truth` n_classes: unknown. */
void tool_comparison_add(tool_comparison *comparison, const float *logits, const double *log_p,
                         const float *other_logits, const double *other_log_p, size_t n_classes,
                         size_t truth);

/* Top-1 of the model minus that of the other, in points (percent). */
double tool_top1_change(const tool_comparison *comparison);
/* Its standard error over pictures, paired: the sample deviation of the differences -1, 0, 1, over sqrt(n).
 */
double tool_top1_change_se(const tool_comparison *comparison);

#endif
