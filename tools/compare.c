/* SPDX-License-Identifier: Apache-2.0 */
/* lutra compare: where inside a model another one begins to differ. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"
#include "drift.h"
#include "json.h"
#include "metrics.h"
#include "session.h"

#define PICTURES_AT_ONCE 16 /* that are decoded; they are run one by one */

typedef struct comparison {
    const tool_arguments *arguments;
    tool_session model, other;
    tool_files files;
    tool_decoder decoder;
    tool_drift drift;
    tool_comparison outputs;
    float *logits, *other_logits; /* [n_classes] */
    double *log_p, *other_log_p;
    size_t n; /* pictures */
} comparison;

/* Steps must be the same for their outputs to be compared; their names may differ. */
static int check_plans(const comparison *c)
{
    const char *a = c->model.info->path, *b = c->other.info->path;
    const size_t n = lutra_model_n_steps(c->model.model), n_other = lutra_model_n_steps(c->other.model);
    lutra_step_info step, other;
    lutra_error error;
    for (size_t i = 0; i < n && i < n_other; i++) {
        if (lutra_model_step(c->model.model, i, &step, &error) ||
            lutra_model_step(c->other.model, i, &other, &error))
            return tool_fail(&error);
        if (strcmp(step.op, other.op) != 0 || step.m != other.m || step.n != other.n || step.k != other.k) {
            tool_error(
                "%s and %s cannot be compared: step %zu is %s, %zux%zux%zu, in one, and %s, %zux%zux%zu, "
                "in the other",
                a, b, i, step.op, step.m, step.n, step.k, other.op, other.m, other.n, other.k);
            return TOOL_FAILED;
        }
    }
    if (n != n_other) {
        tool_error("%s and %s cannot be compared: one has %zu steps, the other %zu", a, b, n, n_other);
        return TOOL_FAILED;
    }
    if (!tool_same_preprocessing(&c->model.info->preprocessing, &c->other.info->preprocessing)) {
        tool_error("%s and %s cannot be compared: they prepare pictures differently", a, b);
        return TOOL_FAILED;
    }
    return TOOL_DONE;
}

static int open_all(comparison *c)
{
    const tool_arguments *arguments = c->arguments;
    size_t unreadable = 0;
    int result =
        tool_session_open(&c->model, arguments, arguments->inputs[0], &arguments->model, arguments->mode, 1);
    if (!result)
        result = tool_session_open(&c->other, arguments, arguments->inputs[1], &arguments->model,
                                   arguments->against_mode, 1);
    if (!result)
        result = check_plans(c);
    if (!result)
        result = tool_files_expand(&c->files, &arguments->images, 1, &unreadable);
    if (result)
        return result;
    if (unreadable)
        return TOOL_FAILED;
    const size_t n_classes = c->model.info->n_classes;
    c->logits = calloc(n_classes + 1, sizeof *c->logits);
    c->other_logits = calloc(n_classes + 1, sizeof *c->other_logits);
    c->log_p = calloc(n_classes + 1, sizeof *c->log_p);
    c->other_log_p = calloc(n_classes + 1, sizeof *c->other_log_p);
    if (!c->logits || !c->other_logits || !c->log_p || !c->other_log_p ||
        !tool_drift_create(&c->drift, c->model.model) ||
        !tool_decoder_create(&c->decoder, c->model.info, PICTURES_AT_ONCE,
                             lutra_context_threads(c->model.context)))
        return tool_out_of_memory();
    lutra_context_observe(c->other.context, tool_drift_keep, &c->drift);
    lutra_context_observe(c->model.context, tool_drift_compare, &c->drift);
    return TOOL_DONE;
}

static void close_all(comparison *c)
{
    tool_drift_free(&c->drift);
    tool_decoder_free(&c->decoder);
    tool_files_free(&c->files);
    tool_session_close(&c->model);
    tool_session_close(&c->other);
    free(c->logits);
    free(c->other_logits);
    free(c->log_p);
    free(c->other_log_p);
}

static int compare_picture(comparison *c, const uint8_t *pixels)
{
    const size_t n_classes = c->model.info->n_classes;
    lutra_error error;
    if (lutra_context_run(c->other.context, pixels, 1, n_classes ? c->other_logits : NULL, NULL, &error) ||
        lutra_context_run(c->model.context, pixels, 1, n_classes ? c->logits : NULL, NULL, &error))
        return tool_fail(&error);
    c->n++;
    if (n_classes == 0)
        return TOOL_DONE;
    tool_log_softmax(c->logits, n_classes, c->log_p);
    tool_log_softmax(c->other_logits, n_classes, c->other_log_p);
    tool_comparison_add(&c->outputs, c->logits, c->log_p, c->other_logits, c->other_log_p, n_classes,
                        n_classes);
    return TOOL_DONE;
}

static int compare_all(comparison *c)
{
    tool_progress progress;
    int result = TOOL_DONE;
    tool_progress_begin(&progress, c->arguments, "comparing");
    while (!result && tool_decoder_next(&c->decoder, &c->files, &progress)) {
        for (size_t i = 0; i < c->decoder.n && !result && !tool_interrupted(); i++)
            result = compare_picture(c, c->decoder.pixels + i * c->decoder.picture_bytes);
        tool_progress_update(&progress, c->files.paths[c->decoder.end - 1], c->decoder.end, c->files.n);
    }
    tool_progress_hide(&progress);
    if (!result && tool_interrupted()) {
        tool_error("interrupted");
        return TOOL_INTERRUPTED;
    }
    if (!result && c->n == 0) {
        tool_error("no picture could be read");
        return TOOL_FAILED;
    }
    return result;
}

/* ---- what is printed --------------------------------------------------------------------------- */

/* The last step of the stretch that step `first` begins: of a block, or before or behind all blocks. */
static size_t end_of_stretch(const comparison *c, size_t first)
{
    lutra_step_info step, next;
    size_t last = first;
    lutra_model_step(c->model.model, first, &step, NULL);
    while (last + 1 < c->drift.n_steps) {
        lutra_model_step(c->model.model, last + 1, &next, NULL);
        if (next.block != step.block)
            break;
        last++;
    }
    return last;
}

static size_t worst_step(const comparison *c, size_t first, size_t last)
{
    size_t worst = first;
    for (size_t i = first; i <= last; i++)
        if (tool_drift_decibels(&c->drift.steps[i]) < tool_drift_decibels(&c->drift.steps[worst]))
            worst = i;
    return worst;
}

static json_t *drift_json(const comparison *c, size_t index)
{
    const tool_step_drift *drift = &c->drift.steps[index];
    lutra_step_info step;
    json_t *json = json_object();
    lutra_model_step(c->model.model, index, &step, NULL);
    json_object_set_new(json, "step", tool_json_size(index));
    json_object_set_new(json, "operation", json_string(step.op));
    json_object_set_new(json, "name", tool_json_text(step.name));
    json_object_set_new(json, "block",
                        step.block == LUTRA_NO_BLOCK ? json_null() : tool_json_size(step.block));
    json_object_set_new(json, "cosine", tool_json_real(tool_drift_cosine(drift)));
    json_object_set_new(json, "snr_db", tool_json_real(tool_drift_decibels(drift)));
    return json;
}

static int print_json(const comparison *c)
{
    const tool_comparison *outputs = &c->outputs;
    json_t *json = json_object(), *blocks = json_array(), *steps = json_array();
    json_object_set_new(json, "model", tool_json_text(c->model.info->path));
    json_object_set_new(json, "against", tool_json_text(c->other.info->path));
    json_object_set_new(json, "against_mode",
                        json_string(tool_mode_name(lutra_context_mode(c->other.context))));
    json_object_set_new(json, "images", tool_json_size(c->n));
    json_object_set_new(json, "unreadable", tool_json_size(c->decoder.n_unreadable));
    json_object_set_new(json, "kl",
                        outputs->n ? tool_json_real(outputs->kl / (double)outputs->n) : json_null());
    json_object_set_new(json, "agreement",
                        outputs->n ? tool_json_real(100 * (double)outputs->n_agree / (double)outputs->n)
                                   : json_null());
    for (size_t i = 0; i < c->drift.n_steps; i++) {
        json_array_append_new(steps, drift_json(c, i));
        if (end_of_stretch(c, i) == i)
            json_array_append_new(blocks, drift_json(c, i));
    }
    json_object_set_new(json, "blocks", blocks);
    json_object_set_new(json, "steps", steps);
    tool_json_context(json, c->arguments, c->model.context);
    return tool_json_print(json, false);
}

static void print_drift(const tool_step_drift *drift)
{
    printf("  %9.6f  %8.2f", tool_drift_cosine(drift), tool_drift_decibels(drift));
}

static void print_blocks(const comparison *c)
{
    printf("%s%-10s  %9s  %8s  %-32s %8s%s\n", tool_bold(stdout), "after", "cosine", "SNR dB",
           "worst step in it", "SNR dB", tool_plain(stdout));
    for (size_t first = 0, last; first < c->drift.n_steps; first = last + 1) {
        char name[32];
        lutra_step_info step;
        last = end_of_stretch(c, first);
        lutra_model_step(c->model.model, last, &step, NULL);
        if (step.block == LUTRA_NO_BLOCK)
            snprintf(name, sizeof name, "%s", first == 0 ? "embedding" : "head");
        else
            snprintf(name, sizeof name, "block %zu", step.block);
        printf("%-10s", name);
        print_drift(&c->drift.steps[last]);
        const size_t worst = worst_step(c, first, last);
        lutra_model_step(c->model.model, worst, &step, NULL);
        printf("  ");
        tool_print(stdout, step.name);
        printf("%*s %8.2f\n", (int)(strlen(step.name) < 32 ? 32 - strlen(step.name) : 0), "",
               tool_drift_decibels(&c->drift.steps[worst]));
    }
}

static void print_steps(const comparison *c)
{
    printf("%s%4s %-12s %9s  %8s  name%s\n", tool_bold(stdout), "step", "operation", "cosine", "SNR dB",
           tool_plain(stdout));
    for (size_t i = 0; i < c->drift.n_steps; i++) {
        lutra_step_info step;
        lutra_model_step(c->model.model, i, &step, NULL);
        printf("%4zu %-10s", i, step.op);
        print_drift(&c->drift.steps[i]);
        printf("  ");
        tool_print(stdout, step.name);
        putchar('\n');
    }
}

static void print_report(const comparison *c)
{
    const tool_comparison *outputs = &c->outputs;
    if (c->arguments->steps)
        print_steps(c);
    else
        print_blocks(c);
    if (outputs->n) {
        printf("agreement     %.2f %%\n", 100 * (double)outputs->n_agree / (double)outputs->n);
        printf("mean KL       %.6f nats\n", outputs->kl / (double)outputs->n);
    }
    printf("%zu pictures, %zu unreadable\n", c->n, c->decoder.n_unreadable);
}

static int run(const tool_arguments *arguments)
{
    comparison c = {.arguments = arguments};
    if (arguments->n_inputs != 2 || !arguments->images) {
        tool_error("compare needs two models and --images DIR, as in: lutra compare model-16.safetensors "
                   "model.safetensors --images photos");
        return TOOL_USAGE;
    }
    int result = open_all(&c);
    if (!result)
        result = compare_all(&c);
    if (!result && arguments->json)
        result = print_json(&c);
    else if (!result)
        print_report(&c);
    if (!result && c.decoder.n_unreadable)
        result = TOOL_UNREADABLE;
    close_all(&c);
    return result;
}

static const tool_option options[] = {
    TOOL_PICTURES,   TOOL_STEPS,    TOOL_MODE,    TOOL_AGAINST_MODE, TOOL_ARCH,
    TOOL_IMAGE_SIZE, TOOL_CROP_PCT, TOOL_NO_EXIF, TOOL_COPY,         TOOL_THREADS,
    TOOL_CPUS,       TOOL_JSON,     TOOL_QUIET,   TOOL_HELP,         TOOL_NO_OPTION,
};

const tool_command tool_command_compare = {
    .name = "compare",
    .usage = "MODEL AGAINST --images DIR",
    .summary = "find where inside a model clustering hurts",
    .description =
        "Runs both models, of one architecture, on the same pictures and prints how far the activations of "
        "MODEL "
        "are from those of AGAINST after each block: the cosine (mean over tokens) and the signal-to-noise "
        "ratio "
        "in decibels, 10 log10 of the squared activations over the squared difference. 20 dB are a "
        "difference of "
        "10 %. With them stands the step of the block whose output is furthest off; --steps lists all. Then "
        "how "
        "often both name the same class first, and the Kullback-Leibler divergence KL(AGAINST || MODEL).\n\n"
        "A block that hurts shows as a fall from one line to the next: drift adds up along the way.\n\n"
        "A picture that cannot be read is reported and counted, and the exit status then is 3.",
    .examples =
        "lutra compare deit-tiny-16.safetensors deit_tiny_patch16_224.safetensors --images photos\n"
        "# what do int8 activations cost, and where?\n"
        "lutra compare deit-tiny-64.safetensors deit-tiny-64.safetensors --mode int8 --images photos --steps",
    .options = options,
    .run = run,
};
