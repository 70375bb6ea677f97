/* SPDX-License-Identifier: Apache-2.0 */
/* lutra cluster: the offline job. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "calibration.h"
#include "inputs.h"
#include "json.h"
#include "terminal.h"

/* The most memory this process ever held: VmHWM of /proc, else what getrusage says. */
static uint64_t peak_rss_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    struct rusage usage;
    if (kib == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        kib = (unsigned long long)usage.ru_maxrss;
    return kib * 1024;
}

/* Root mean square of the error over that of the weights. */
static double relative_error(double squared_error, double squared_weight)
{
    return squared_weight > 0 ? sqrt(squared_error / squared_weight) : 0;
}

static json_t *tensors_json(const lutra_cluster_report *report)
{
    json_t *list = json_array();
    for (size_t i = 0; i < report->n_tensors; i++) {
        const lutra_tensor_report *tensor = &report->tensors[i];
        json_t *json = json_object();
        json_object_set_new(json, "name", tool_json_text(tensor->name));
        json_object_set_new(json, "n", tool_json_size(tensor->n));
        json_object_set_new(json, "k", tool_json_size(tensor->k));
        json_object_set_new(json, "clusters", tool_json_size(tensor->n_clusters));
        json_object_set_new(json, "bits", tool_json_size(tensor->bits));
        json_object_set_new(json, "squared_error", tool_json_real(tensor->squared_error));
        json_object_set_new(json, "relative_error",
                            tool_json_real(relative_error(tensor->squared_error, tensor->squared_weight)));
        json_object_set_new(json, "optimality_gap", tool_json_real(tensor->optimality_gap));
        json_array_append_new(list, json);
    }
    return list;
}

static int print_json(const tool_arguments *arguments, const lutra_cluster_report *report, size_t n_pictures)
{
    lutra_error error;
    const char *isa = NULL;
    if (lutra_isa(&isa, &error))
        return tool_fail(&error);
    json_t *json = json_object();
    json_object_set_new(json, "input", tool_json_text(arguments->inputs[0]));
    json_object_set_new(json, "output", tool_json_text(arguments->output));
    json_object_set_new(json, "arch", tool_json_text(report->arch));
    json_object_set_new(json, "clusters", tool_json_size(arguments->n_clusters));
    json_object_set_new(json, "calibration_pictures", tool_json_size(n_pictures));
    json_object_set_new(json, "bytes_in", tool_json_size(report->bytes_in));
    json_object_set_new(json, "bytes_out", tool_json_size(report->bytes_out));
    json_object_set_new(json, "ratio", tool_json_real((double)report->bytes_in / (double)report->bytes_out));
    json_object_set_new(json, "clustered_weights", tool_json_size(report->n_clustered));
    json_object_set_new(json, "bits_per_weight", tool_json_real(report->bits_per_weight));
    json_object_set_new(json, "squared_error", tool_json_real(report->squared_error));
    json_object_set_new(json, "relative_error",
                        tool_json_real(relative_error(report->squared_error, report->squared_weight)));
    json_object_set_new(json, "optimality_gap", tool_json_real(report->optimality_gap));
    json_object_set_new(json, "seconds", tool_json_real(report->seconds));
    json_object_set_new(json, "peak_rss_bytes", tool_json_size(peak_rss_bytes()));
    tool_json_machine(json, report->n_threads, isa);
    if (arguments->errors)
        json_object_set_new(json, "tensors", tensors_json(report));
    return tool_json_print(json, false);
}

static void print_tensors(const lutra_cluster_report *report)
{
    int width = 6;
    for (size_t i = 0; i < report->n_tensors; i++) {
        const int length = (int)strlen(report->tensors[i].name);
        width = length > width ? length : width;
    }
    printf("%s%-*s %13s %8s %5s %14s %16s%s\n", tool_bold(stdout), width, "matrix", "shape", "clusters",
           "bits", "relative error", "above optimum <=", tool_plain(stdout));
    for (size_t i = 0; i < report->n_tensors; i++) {
        const lutra_tensor_report *tensor = &report->tensors[i];
        char shape[48];
        snprintf(shape, sizeof shape, "%zu x %zu", tensor->n, tensor->k);
        tool_print(stdout, tensor->name);
        printf("%*s %13s %8zu %5zu %12.3f %% %14.4f %%\n", width - (int)strlen(tensor->name), "", shape,
               tensor->n_clusters, tensor->bits,
               100 * relative_error(tensor->squared_error, tensor->squared_weight),
               100 * tensor->optimality_gap);
    }
    putchar('\n');
}

static void print_report(const tool_arguments *arguments, const lutra_cluster_report *report,
                         size_t n_pictures)
{
    static const char *const scopes[] = {"a codebook per matrix, rows scaled", "a codebook per matrix",
                                         "one codebook for the model"};
    const char *bold = tool_bold(stdout), *plain = tool_plain(stdout);
    if (arguments->errors)
        print_tensors(report);
    printf("before       %10s  ", tool_bytes(report->bytes_in).text);
    tool_print(stdout, arguments->inputs[0]);
    printf("\nafter        %10s  ", tool_bytes(report->bytes_out).text);
    tool_print(stdout, arguments->output);
    printf("\nratio        %s%.2f times smaller%s\n", bold,
           (double)report->bytes_in / (double)report->bytes_out, plain);
    printf("weights      %s in %zu clusters (%s), %.3f bits each with codebooks and scales\n",
           tool_count(report->n_clustered).text, arguments->n_clusters, scopes[arguments->scope],
           report->bits_per_weight);
    if (n_pictures)
        printf("calibrated   on %zu pictures\n", n_pictures);
    printf("error        %.3f %% of the weights' root mean square\n",
           100 * relative_error(report->squared_error, report->squared_weight));
    if (!n_pictures) /* k-means is only where calibration begins */
        printf("optimality   squared error at most %.4f %% above the best possible clustering's\n",
               100 * report->optimality_gap);
    printf("took         %.2f s on %zu thread%s, at most %s in memory\n", report->seconds, report->n_threads,
           report->n_threads == 1 ? "" : "s", tool_bytes(peak_rss_bytes()).text);
}

static int run(const tool_arguments *arguments)
{
    lutra_error error;
    if (arguments->n_inputs != 1 || !arguments->output) {
        tool_error("cluster needs one MODEL and -o FILE, as in: lutra cluster model.safetensors -o "
                   "model-64.safetensors");
        return TOOL_USAGE;
    }
    if (tool_check_output(arguments->output, arguments->inputs[0], &error))
        return tool_fail(&error);

    tool_calibration calibration = {0};
    if (arguments->calibrate) {
        const int read = tool_calibration_read(&calibration, arguments, arguments->inputs[0]);
        if (read) {
            tool_calibration_free(&calibration);
            return read;
        }
    }
    tool_progress progress;
    tool_progress_begin(&progress, arguments, "clustering");
    const lutra_cluster_options options = {
        .n_clusters = arguments->n_clusters,
        .scope = arguments->scope,
        .codebook = arguments->codebook,
        .exact = arguments->exact,
        .n_threads = arguments->n_threads,
        .calibration_pixels = calibration.decoder.pixels,
        .n_calibration_pictures = calibration.decoder.n,
        .model = arguments->model,
        .progress = tool_progress_update,
        .progress_user = &progress,
    };
    lutra_cluster_report report = {0};
    tool_note(arguments, "clustering %s into %zu clusters", arguments->inputs[0], arguments->n_clusters);
    const lutra_status status =
        lutra_cluster_file(arguments->inputs[0], arguments->output, &options, &report, &error);
    tool_progress_hide(&progress);
    const size_t n_pictures = calibration.decoder.n;
    tool_calibration_free(&calibration);
    if (status)
        return tool_fail(&error);
    int result = TOOL_DONE;
    if (arguments->json)
        result = print_json(arguments, &report, n_pictures);
    else
        print_report(arguments, &report, n_pictures);
    lutra_cluster_report_free(&report);
    return result;
}

static const tool_option options[] = {
    TOOL_OUTPUT, TOOL_CLUSTERS,  TOOL_SCOPE,  TOOL_CODEBOOK, TOOL_EXACT, TOOL_CALIBRATE, TOOL_CALIBRATE_COUNT,
    TOOL_ARCH,   TOOL_LABELS,    TOOL_ERRORS, TOOL_THREADS,  TOOL_CPUS,  TOOL_JSON,      TOOL_QUIET,
    TOOL_HELP,   TOOL_NO_OPTION,
};

const tool_command tool_command_cluster = {
    .name = "cluster",
    .usage = "MODEL -o FILE",
    .summary = "make a model small: codebooks and packed indices in place of its weights",
    .description =
        "Clusters every weight matrix of MODEL, a .safetensors file or a folder as timm and "
        "Hugging Face write "
        "them, and writes a model that Lutra runs as it lies: a codebook of at most 256 centroids "
        "and an index of "
        "1 to 8 bits per weight. The clustering is the best there is (one-dimensional k-means, "
        "solved globally), "
        "and how far it may be from the optimum is printed.\n\n"
        "64 clusters make a 32-bit model about five times smaller and usually cost less than a "
        "tenth of a point "
        "of accuracy; 16 clusters make it about eight times smaller and cost more. 'lutra eval "
        "--against' measures it.\n\n"
        "With --calibrate, unlabelled pictures of the kind that the model will see, it is the outputs for "
        "these "
        "that are kept "
        "as they are rather than the weights: several times closer to the original with 16 clusters or "
        "fewer, in a minute or a "
        "few.\n\n"
        "FILE is written whole or not at all: until it is complete and on disk, an older FILE "
        "stays as it was.",
    .examples =
        "# 64 clusters, the usual choice\n"
        "lutra cluster deit_tiny_patch16_224.safetensors -o deit-tiny-64.safetensors\n"
        "# half the size again, with the error of every matrix\n"
        "lutra cluster deit_tiny_patch16_224.safetensors -o deit-tiny-16.safetensors --clusters 16 --errors\n"
        "# closer to the original: keep the outputs for 128 of these pictures\n"
        "lutra cluster deit_tiny_patch16_224.safetensors -o deit-tiny-16.safetensors --clusters 16 "
        "--calibrate photos\n"
        "# what it cost\n"
        "lutra eval deit-tiny-64.safetensors --images val --against deit_tiny_patch16_224.safetensors",
    .options = options,
    .run = run,
};
