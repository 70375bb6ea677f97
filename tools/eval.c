/* SPDX-License-Identifier: Apache-2.0 */
/* lutra eval: how accurate a model is, and what clustering cost it. */
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "decode.h"
#include "json.h"
#include "metrics.h"

#define DEFAULT_BATCH 16

/* One of the models, with what a batch of it needs. */
typedef struct runner {
    tool_session session;
    tool_decoder decoder;
    float *logits;  /* [max_batch][n_classes] */
    double *log_p;  /* [n_classes] */
    double seconds; /* in runs */
} runner;

typedef struct evaluation {
    runner model, against;
    bool compare;      /* there is a model to compare with */
    bool decode_twice; /* because it wants other pixels */
    tool_dataset dataset;
    tool_metrics metrics, against_metrics;
    tool_comparison comparison;
    double seconds;
} evaluation;

static int open_runner(runner *r, const tool_arguments *arguments, const char *path,
                       const lutra_model_options *options, lutra_mode mode)
{
    const size_t batch = arguments->batch ? arguments->batch : DEFAULT_BATCH;
    const int result = tool_session_open(&r->session, arguments, path, options, mode, batch);
    if (result)
        return result;
    const lutra_model_info *info = r->session.info;
    if (info->n_classes == 0) {
        tool_error("%s: has no head, so it names no classes", info->path);
        return TOOL_FAILED;
    }
    r->logits = calloc(batch * info->n_classes, sizeof *r->logits);
    r->log_p = calloc(info->n_classes, sizeof *r->log_p);
    if (!r->logits || !r->log_p ||
        !tool_decoder_create(&r->decoder, info, batch, lutra_context_threads(r->session.context)))
        return tool_out_of_memory();
    return TOOL_DONE;
}

static void close_runner(runner *r)
{
    tool_decoder_free(&r->decoder);
    tool_session_close(&r->session);
    free(r->logits);
    free(r->log_p);
}

static int open_models(evaluation *e, const tool_arguments *arguments)
{
    int result = open_runner(&e->model, arguments, arguments->n_inputs ? arguments->inputs[0] : NULL,
                             &arguments->model, arguments->mode);
    if (result || !arguments->against)
        return result;
    const lutra_model_options options = {.arch = tool_against_arch(arguments),
                                         .ignore_exif = arguments->model.ignore_exif,
                                         .copy = arguments->model.copy};
    e->compare = true;
    result = open_runner(&e->against, arguments, arguments->against, &options, arguments->against_mode);
    if (result)
        return result;
    const lutra_model_info *a = e->model.session.info, *b = e->against.session.info;
    if (a->n_classes != b->n_classes) {
        tool_error("%s has %zu classes, %s has %zu: they cannot be compared", a->path, a->n_classes, b->path,
                   b->n_classes);
        return TOOL_FAILED;
    }
    e->decode_twice = !tool_same_preprocessing(&a->preprocessing, &b->preprocessing);
    e->against.decoder.silent = true;
    if (e->decode_twice)
        tool_note(arguments, "the two models prepare pictures differently; each gets its own");
    return TOOL_DONE;
}

static int run_batch(runner *r, const tool_decoder *decoder)
{
    lutra_error error;
    const double start = tool_seconds();
    if (decoder->n &&
        lutra_context_run(r->session.context, decoder->pixels, decoder->n, r->logits, NULL, &error))
        return tool_fail(&error);
    r->seconds += tool_seconds() - start;
    return TOOL_DONE;
}

static void count_batch(evaluation *e, const tool_decoder *decoder)
{
    const size_t n_classes = e->model.session.info->n_classes;
    for (size_t i = 0; i < decoder->n; i++) {
        const size_t truth = e->dataset.truth[decoder->index[i]];
        const float *logits = e->model.logits + i * n_classes;
        tool_log_softmax(logits, n_classes, e->model.log_p);
        tool_metrics_add(&e->metrics, logits, e->model.log_p, n_classes, truth);
        if (!e->compare)
            continue;
        const float *other = e->against.logits + i * n_classes;
        tool_log_softmax(other, n_classes, e->against.log_p);
        tool_metrics_add(&e->against_metrics, other, e->against.log_p, n_classes, truth);
        tool_comparison_add(&e->comparison, logits, e->model.log_p, other, e->against.log_p, n_classes,
                            truth);
    }
}

/* The second decoding of a batch must have met the same pictures. */
static bool same_pictures(const tool_decoder *a, const tool_decoder *b)
{
    return a->n == b->n && memcmp(a->index, b->index, a->n * sizeof *a->index) == 0;
}

static int evaluate(evaluation *e, const tool_arguments *arguments)
{
    tool_progress progress;
    tool_decoder *decoder = &e->model.decoder, *other = e->decode_twice ? &e->against.decoder : decoder;
    const tool_files *files = &e->dataset.files;
    int result = TOOL_DONE;
    tool_progress_begin(&progress, arguments, "evaluating");
    while (!result && tool_decoder_next(decoder, files, &progress)) {
        result = run_batch(&e->model, decoder);
        if (!result && e->decode_twice) {
            if (tool_decoder_next(other, files, NULL) && !same_pictures(decoder, other)) {
                tool_error("pictures changed while they were read");
                result = TOOL_FAILED;
            }
        }
        if (!result && e->compare)
            result = run_batch(&e->against, other);
        if (!result && !tool_interrupted())
            count_batch(e, decoder);
        tool_progress_update(&progress, files->paths[decoder->end - 1], decoder->end, files->n);
    }
    tool_progress_hide(&progress);
    e->seconds = tool_seconds() - progress.started;
    if (!result && tool_interrupted()) {
        tool_error("interrupted");
        return TOOL_INTERRUPTED;
    }
    if (!result && e->metrics.n == 0) {
        tool_error("no picture could be read");
        return TOOL_FAILED;
    }
    return result;
}

/* ---- what is printed --------------------------------------------------------------------------- */

static double percent(size_t part, size_t whole)
{
    return 100 * (double)part / (double)whole;
}

static void metrics_json(json_t *json, const runner *r, const tool_metrics *metrics)
{
    json_object_set_new(json, "model", tool_json_text(r->session.info->path));
    json_object_set_new(json, "arch", tool_json_text(r->session.info->arch));
    json_object_set_new(json, "top1", tool_json_real(percent(metrics->top1, metrics->n)));
    json_object_set_new(json, "top5", tool_json_real(percent(metrics->top5, metrics->n)));
    json_object_set_new(json, "nll", tool_json_real(metrics->nll / (double)metrics->n));
    json_object_set_new(json, "images_per_second", tool_json_real((double)metrics->n / r->seconds));
    json_object_set_new(json, "preprocessing", tool_json_preprocessing(&r->session.info->preprocessing));
}

static const char *mode_of(const runner *r)
{
    return tool_mode_name(lutra_context_mode(r->session.context));
}

static int print_json(const evaluation *e, const tool_arguments *arguments)
{
    json_t *json = json_object();
    const tool_comparison *comparison = &e->comparison;
    json_object_set_new(json, "images", tool_json_size(e->metrics.n));
    json_object_set_new(json, "unreadable", tool_json_size(e->model.decoder.n_unreadable));
    metrics_json(json, &e->model, &e->metrics);
    if (e->compare) {
        json_t *against = json_object();
        metrics_json(against, &e->against, &e->against_metrics);
        json_object_set_new(against, "mode", json_string(mode_of(&e->against)));
        json_object_set_new(json, "agreement", tool_json_real(percent(comparison->n_agree, comparison->n)));
        json_object_set_new(json, "kl", tool_json_real(comparison->kl / (double)comparison->n));
        json_object_set_new(json, "top1_change", tool_json_real(tool_top1_change(comparison)));
        json_object_set_new(json, "top1_change_se", tool_json_real(tool_top1_change_se(comparison)));
        json_object_set_new(json, "against", against);
    }
    json_object_set_new(json, "classes_from", tool_json_text(e->dataset.order));
    json_object_set_new(json, "seconds", tool_json_real(e->seconds));
    json_object_set_new(json, "decode_seconds",
                        tool_json_real(e->model.decoder.seconds + e->against.decoder.seconds));
    json_object_set_new(json, "batch", tool_json_size(e->model.decoder.max_batch));
    tool_json_context(json, arguments, e->model.session.context);
    return tool_json_print(json, false);
}

static void print_metrics(const runner *r, const tool_metrics *metrics)
{
    tool_print_bold(stdout, r->session.info->path);
    putchar('\n');
    printf("  top-1      %6.2f %%\n", percent(metrics->top1, metrics->n));
    printf("  top-5      %6.2f %%\n", percent(metrics->top5, metrics->n));
    printf("  mean NLL   %8.4f nats\n", metrics->nll / (double)metrics->n);
    printf("  speed      %6.1f pictures/s, %.2f ms each (%s, %s, %zu threads, decoding not counted)\n",
           (double)metrics->n / r->seconds, 1e3 * r->seconds / (double)metrics->n, mode_of(r),
           lutra_context_isa(r->session.context), lutra_context_threads(r->session.context));
}

static void print_report(const evaluation *e)
{
    const tool_comparison *comparison = &e->comparison;
    print_metrics(&e->model, &e->metrics);
    if (e->compare) {
        print_metrics(&e->against, &e->against_metrics);
        printf("%sthe first against the second%s\n", tool_bold(stdout), tool_plain(stdout));
        printf("  top-1 change  %+.2f points, standard error %.2f\n", tool_top1_change(comparison),
               tool_top1_change_se(comparison));
        printf("  agreement     %.2f %%\n", percent(comparison->n_agree, comparison->n));
        printf("  mean KL       %.6f nats\n", comparison->kl / (double)comparison->n);
    }
    printf("%zu pictures, %zu unreadable, %.1f s\n", e->metrics.n, e->model.decoder.n_unreadable, e->seconds);
}

static int run(const tool_arguments *arguments)
{
    lutra_error error;
    evaluation e = {0};
    if (arguments->n_inputs > 1 || !arguments->images) {
        tool_error("eval needs one MODEL and --images DIR, as in: lutra eval model.safetensors --images val");
        return TOOL_USAGE;
    }
    if (arguments->given[TOOL_AGAINST_MODE] && !arguments->against) {
        tool_error("--against-mode needs --against MODEL");
        return TOOL_USAGE;
    }
    int result = open_models(&e, arguments);
    if (!result && tool_dataset_open(&e.dataset, arguments, &e.model.session, &error))
        result = tool_fail(&error);
    if (!result) {
        tool_note(arguments, "%zu pictures; classes: %s", e.dataset.files.n, e.dataset.order);
        result = evaluate(&e, arguments);
    }
    if (!result && arguments->json)
        result = print_json(&e, arguments);
    else if (!result)
        print_report(&e);
    if (!result && e.model.decoder.n_unreadable) {
        tool_error("%zu of %zu pictures cannot be read; they are not in the figures",
                   e.model.decoder.n_unreadable, e.dataset.files.n);
        result = TOOL_UNREADABLE;
    }
    tool_dataset_free(&e.dataset);
    close_runner(&e.against);
    close_runner(&e.model);
    return result;
}

static const tool_option options[] = {
    TOOL_IMAGES,   TOOL_TRUTH,   TOOL_AGAINST, TOOL_AGAINST_MODE, TOOL_ARCH,      TOOL_IMAGE_SIZE,
    TOOL_CROP_PCT, TOOL_NO_EXIF, TOOL_COPY,    TOOL_BATCH,        TOOL_MODE,      TOOL_THREADS,
    TOOL_CPUS,     TOOL_JSON,    TOOL_QUIET,   TOOL_HELP,         TOOL_NO_OPTION,
};

const tool_command tool_command_eval = {
    .name = "eval",
    .usage = "MODEL --images DIR [--labels FILE] [--against MODEL]",
    .summary = "measure accuracy and speed, and what clustering cost",
    .description =
        "Classifies labelled pictures and prints top-1 and top-5 accuracy, the mean negative log-likelihood "
        "of "
        "the right class and the speed. With --against, also how often both models name the same class "
        "first, "
        "the Kullback-Leibler divergence KL(against || model) and the change of top-1 with its standard "
        "error, "
        "paired over pictures.\n\n"
        "The classes come from --labels, or from labels.tsv in DIR, or from one folder of pictures per "
        "class. A "
        "table has columns 'file' and 'class_index' (or index, label, class, wnid) parted by tabs or commas; "
        "without a heading its lines are 'PICTURE CLASS'; one class a line goes with the sorted pictures, as "
        "for "
        "ImageNet's flat ILSVRC2012_val_* files. A class is an index, a name that the model has or an "
        "ImageNet "
        "wnid. Folders named as classes or wnids go by their names; else as many folders as the model has "
        "classes go in sorted order.\n\n"
        "A picture that cannot be read is reported and counted, and the exit status then is 3.",
    .examples =
        "lutra eval deit-tiny-64.safetensors --images val --labels val/labels.tsv\n"
        "# what did 64 clusters cost?\n"
        "lutra eval deit-tiny-64.safetensors --images val --against deit_tiny_patch16_224.safetensors",
    .options = options,
    .run = run,
};
