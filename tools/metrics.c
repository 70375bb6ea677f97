/* SPDX-License-Identifier: Apache-2.0 */
#include "metrics.h"

#include <math.h>
#include <stdint.h>

void tool_log_softmax(const float *logits, size_t n, double *log_probabilities)
{
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        if ((double)logits[i] > largest)
            largest = (double)logits[i];
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - largest);
    /* In this order nothing is lost where the largest logit is large and the sum close to 1. */
    const double log_sum = log(sum);
    for (size_t i = 0; i < n; i++)
        log_probabilities[i] = (double)logits[i] - largest - log_sum;
}

size_t tool_rank(const float *logits, size_t n, size_t index)
{
    const float value = logits[index];
    size_t rank = 0;
    /* Negated, so that a NaN on either side never makes a class look better. */
    for (size_t i = 0; i < n; i++)
        if (i != index && (i < index ? !(logits[i] < value) : !(logits[i] <= value)))
            rank++;
    return isnan(value) ? SIZE_MAX : rank;
}

/* Selection by insertion: n_top is small. */
void tool_top(const float *logits, size_t n, size_t n_top, size_t *top)
{
    size_t n_found = 0;
    for (size_t i = 0; i < n; i++) {
        if (n_found == n_top && !(logits[i] > logits[top[n_top - 1]]))
            continue;
        size_t at = n_found < n_top ? n_found++ : n_top - 1;
        for (; at > 0 && logits[i] > logits[top[at - 1]]; at--)
            top[at] = top[at - 1];
        top[at] = i;
    }
}

void tool_metrics_add(tool_metrics *metrics, const float *logits, const double *log_p, size_t n_classes,
                      size_t truth)
{
    const size_t rank = tool_rank(logits, n_classes, truth);
    metrics->n++;
    metrics->top1 += rank < 1;
    metrics->top5 += rank < 5;
    metrics->nll -= log_p[truth];
}

/* The class that comes before all others; SIZE_MAX where none does, for a NaN. */
static size_t first_class(const float *logits, size_t n)
{
    size_t best = 0;
    tool_top(logits, n, 1, &best);
    return tool_rank(logits, n, best) < 1 ? best : SIZE_MAX;
}

void tool_comparison_add(tool_comparison *comparison, const float *logits, const double *log_p,
                         const float *other_logits, const double *other_log_p, size_t n_classes, size_t truth)
{
    const size_t best = first_class(logits, n_classes), other_best = first_class(other_logits, n_classes);
    comparison->n++;
    comparison->n_agree += best == other_best && best != SIZE_MAX;
    comparison->gained += best == truth && other_best != truth;
    comparison->lost += best != truth && other_best == truth;
    double kl = 0;
    for (size_t i = 0; i < n_classes; i++)
        kl += exp(other_log_p[i]) * (other_log_p[i] - log_p[i]);
    comparison->kl += kl;
}

double tool_top1_change(const tool_comparison *comparison)
{
    return comparison->n
               ? 100 * ((double)comparison->gained - (double)comparison->lost) / (double)comparison->n
               : 0;
}

double tool_top1_change_se(const tool_comparison *comparison)
{
    const double n = (double)comparison->n;
    if (comparison->n < 2)
        return 0;
    const double mean = ((double)comparison->gained - (double)comparison->lost) / n;
    const double squares = (double)(comparison->gained + comparison->lost);
    return 100 * sqrt((squares - n * mean * mean) / (n - 1) / n);
}
