/* SPDX-License-Identifier: Apache-2.0 */
#include "compress/outputs.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"

static void log_softmax(const float *logits, size_t n, double *log_p)
{
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, (double)logits[i]);
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - largest);
    const double log_sum = log(sum);
    for (size_t i = 0; i < n; i++)
        log_p[i] = (double)logits[i] - largest - log_sum;
}

static lutra_status check_logits(const lutra_rows *logits, size_t n_classes, const char *path,
                                 lutra_error *error)
{
    for (size_t p = 0; p < logits->n_pictures; p++)
        for (size_t i = 0; i < n_classes; i++)
            if (!isfinite(logits->data[p * logits->stride + i]))
                return lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET,
                                  "its answer to a calibration picture is not finite (class %zu), so that no "
                                  "loss can be measured",
                                  i);
    return LUTRA_OK;
}

lutra_status lutra_outputs_keep(lutra_outputs *o, const lutra_rows *logits, size_t n_classes,
                                const char *path, lutra_error *error)
{
    const size_t n = logits->n_pictures;
    lutra_status status;
    *o = (lutra_outputs){.n_pictures = n, .n_classes = n_classes};
    if ((status = check_logits(logits, n_classes, path, error)) ||
        (status = lutra_allocate(n * n_classes, sizeof(double), "the outputs", &o->log_p, error)) ||
        (status = lutra_allocate(n_classes, sizeof(double), "the outputs", &o->other, error)))
        return status;
    for (size_t p = 0; p < n; p++)
        log_softmax(logits->data + p * logits->stride, n_classes, o->log_p + p * n_classes);
    return LUTRA_OK;
}

void lutra_outputs_free(lutra_outputs *o)
{
    free(o->log_p);
    free(o->other);
    *o = (lutra_outputs){0};
}

double lutra_outputs_kl(const lutra_outputs *o, const lutra_rows *other, size_t first)
{
    double sum = 0;
    for (size_t p = first; p < o->n_pictures; p++) {
        const double *log_p = o->log_p + p * o->n_classes;
        log_softmax(other->data + p * other->stride, o->n_classes, o->other);
        for (size_t i = 0; i < o->n_classes; i++)
            sum += exp(log_p[i]) * (log_p[i] - o->other[i]);
    }
    if (!isfinite(sum))
        return INFINITY;
    return sum > 0 ? sum / (double)(o->n_pictures - first) : 0; /* rounding may leave less than nothing */
}
