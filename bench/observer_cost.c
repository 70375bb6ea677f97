/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What timing every step costs a run:
 *
 *     ninja -C build bench/observer-cost
 *     build/bench/observer-cost MODEL.safetensors [PAIRS]
 *
 * Runs the model in turns with an observer that adds the times up, as `lutra profile` has one, and without;
 * prints the median of the ratios of a pair's times and its quartiles.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/sort.h"
#include "lutra/lutra.h"

static _Noreturn void stop(const char *what)
{
    fprintf(stderr, "observer-cost: %s\n", what);
    exit(1);
}

static void add_up(void *user, const lutra_step_result *result)
{
    *(double *)user += result->seconds;
}

static double run(lutra_context *context, lutra_step_observer observer, const uint8_t *pixels, float *logits)
{
    lutra_error error;
    double sum = 0;
    lutra_context_observe(context, observer, &sum);
    const double begin = lutra_seconds();
    if (lutra_context_run(context, pixels, 1, logits, NULL, &error))
        stop(error.message);
    return lutra_seconds() - begin;
}

int main(int argc, char **argv)
{
    lutra_error error;
    lutra_model *model;
    lutra_context *context;
    const long n = argc > 2 ? strtol(argv[2], NULL, 10) : 200;
    if (argc < 2 || n < 1)
        stop("a model's file, and how many pairs of runs");
    if (lutra_model_open(argv[1], NULL, &model, &error) ||
        lutra_context_create(model, &(lutra_context_options){.n_threads = 1}, &context, &error))
        stop(error.message);
    const lutra_model_info *info = lutra_model_get_info(model);
    uint8_t *pixels = calloc(info->input_bytes, 1);
    float *logits = calloc(info->n_classes + 1, sizeof *logits);
    double *ratio = calloc((size_t)n, sizeof *ratio);
    if (!pixels || !logits || !ratio)
        stop("out of memory");
    for (long i = -1; i < n; i++) { /* the first pair warms up */
        double without = i % 2 ? run(context, NULL, pixels, logits) : 0;
        const double with = run(context, add_up, pixels, logits);
        if (!without)
            without = run(context, NULL, pixels, logits);
        if (i >= 0)
            ratio[i] = with / without;
    }
    lutra_sort(ratio, (size_t)n);
    printf("%s: timed steps take %.4f of the time (quartiles %.4f .. %.4f, %ld pairs)\n", info->arch,
           ratio[n / 2], ratio[n / 4], ratio[3 * n / 4], n);
    free(ratio);
    free(logits);
    free(pixels);
    lutra_context_free(context);
    lutra_model_close(model);
    return 0;
}
