/* SPDX-License-Identifier: Apache-2.0 */
/* lutra cluster: the offline job. */
#include "cluster.h"
#include "calibration.h"
#include "inputs.h"
#include "terminal.h"

/* The level of kernels -> `isa`: an unknown one is an error before the work rather than when it is told of.
 */
static int check_arguments(const tool_arguments *arguments, const char **isa)
{
    lutra_error error;
    if (arguments->n_inputs != 1 || !arguments->output) {
        tool_error("cluster needs one MODEL and -o FILE, as in: lutra cluster model.safetensors -o "
                   "model-64.safetensors");
        return TOOL_USAGE;
    }
    if (arguments->budget_unit && arguments->n_clusters) {
        tool_error("--clusters and --budget: either the number of clusters is given or it is chosen");
        return TOOL_USAGE;
    }
    if (arguments->given[TOOL_CALIBRATE_COUNT] && !arguments->calibrate) {
        tool_error("--calibrate-count needs --calibrate PICTURES");
        return TOOL_USAGE;
    }
    if (arguments->budget_unit && !arguments->calibrate) {
        tool_error("--budget needs --calibrate PICTURES: what each matrix is worth is measured on them");
        return TOOL_USAGE;
    }
    if (arguments->budget_unit && arguments->scope == LUTRA_SCOPE_MODEL) {
        tool_error("--budget gives each matrix a codebook of its own: not with --scope model");
        return TOOL_USAGE;
    }
    const char *const others[] = {arguments->inputs[0], arguments->calibrate, arguments->model.labels,
                                  arguments->output};
    if (tool_check_output(arguments->output, others, 3, &error) ||
        (arguments->report && tool_check_document(arguments->report, others, 4, &error)) ||
        lutra_isa(isa, &error))
        return tool_fail(&error);
    return TOOL_DONE;
}

static void announce(const tool_clustering *clustering)
{
    const tool_arguments *arguments = clustering->arguments;
    if (clustering->n_clusters)
        tool_note(arguments, "clustering %s into %zu clusters", arguments->inputs[0], clustering->n_clusters);
    else if (clustering->n_validation)
        tool_note(arguments,
                  "clustering %s for the budget: %zu pictures to calibrate on, %zu others to judge on",
                  arguments->inputs[0], clustering->n_pictures, clustering->n_validation);
    else
        tool_note(arguments, "clustering %s for the budget: %zu pictures to calibrate on, none to judge on",
                  arguments->inputs[0], clustering->n_pictures);
}

static int tell(const tool_clustering *clustering)
{
    const tool_arguments *arguments = clustering->arguments;
    const int written = arguments->report ? tool_cluster_write_report(clustering) : TOOL_DONE;
    const int told = arguments->json ? tool_cluster_json(clustering) : tool_cluster_text(clustering);
    return written ? written : told;
}

static int cluster(const tool_arguments *arguments, const char *isa, const tool_calibration *calibration)
{
    tool_progress progress;
    lutra_error error;
    lutra_cluster_report known, report = {0};
    const bool knows =
        arguments->budget_unit && arguments->report && tool_cluster_read_report(arguments, &known);
    const tool_clustering clustering = {
        .arguments = arguments,
        .n_clusters = arguments->budget_unit  ? 0
                      : arguments->n_clusters ? arguments->n_clusters
                                              : 64,
        .n_pictures = calibration->n,
        .n_validation = calibration->n_validation,
        .isa = isa,
        .report = &report,
    };
    const lutra_cluster_options options = {
        .n_clusters = clustering.n_clusters,
        .budget_unit = arguments->budget_unit,
        .budget = arguments->budget,
        .scope = arguments->scope,
        .codebook = arguments->codebook,
        .exact = arguments->exact,
        .n_threads = arguments->n_threads,
        .calibration_pixels = calibration->decoder.pixels,
        .n_calibration_pictures = calibration->n,
        .n_validation_pictures = calibration->n_validation,
        .known = knows ? &known : NULL,
        .model = arguments->model,
        .progress = tool_progress_update,
        .progress_user = &progress,
    };
    announce(&clustering);
    tool_progress_begin(&progress, arguments, "clustering");
    const lutra_status status =
        lutra_cluster_file(arguments->inputs[0], arguments->output, &options, &report, &error);
    tool_progress_hide(&progress);
    const int result = status ? tool_fail(&error) : tell(&clustering);
    lutra_cluster_report_free(&report);
    if (knows)
        lutra_cluster_report_free(&known);
    return result;
}

static int run(const tool_arguments *arguments)
{
    tool_calibration calibration = {0};
    const char *isa;
    int result = check_arguments(arguments, &isa);
    if (!result && arguments->calibrate)
        result = tool_calibration_read(&calibration, arguments, arguments->inputs[0]);
    if (!result)
        result = cluster(arguments, isa, &calibration);
    if (!result && calibration.decoder.n_unreadable)
        result = TOOL_UNREADABLE;
    tool_calibration_free(&calibration);
    return result;
}

static const tool_option options[] = {
    TOOL_OUTPUT,    TOOL_CLUSTERS,        TOOL_BUDGET, TOOL_SCOPE,  TOOL_CODEBOOK, TOOL_EXACT,
    TOOL_CALIBRATE, TOOL_CALIBRATE_COUNT, TOOL_ARCH,   TOOL_LABELS, TOOL_ERRORS,   TOOL_REPORT,
    TOOL_THREADS,   TOOL_CPUS_SHARED,     TOOL_JSON,   TOOL_QUIET,  TOOL_HELP,     TOOL_NO_OPTION,
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
        "1 to 8 bits per weight. Centroids are those of one-dimensional k-means, solved globally: how far "
        "it may be from its optimum is printed. Up to 128 of them then become 8-bit integers, and rows "
        "get the scales that fit these best.\n\n"
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
        "With --budget, each matrix gets as many clusters as it is worth: how much the model's output "
        "suffers "
        "(KL, on 32 of the pictures) where a matrix alone has 4, 8, 16 or 64 clusters is measured, and bits "
        "go "
        "where they help most. The loss that came of it is measured on pictures that were not calibrated on: "
        "on what is left over of them, for a budget of loss on a quarter of all at least. A budget of loss "
        "is "
        "met by clustering several times.\n\n"
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
        "# 4 bits an index, spent where they do most; then 5, without measuring sensitivities again\n"
        "lutra cluster vit-tiny -o vit-tiny-4.safetensors --calibrate photos --budget 4bits --report "
        "vit.json\n"
        "lutra cluster vit-tiny -o vit-tiny-5.safetensors --calibrate photos --budget 5bits --report "
        "vit.json\n"
        "# as small as it can be with a KL of 0.01\n"
        "lutra cluster deit_tiny_patch16_224.safetensors -o deit-tiny.safetensors --calibrate photos "
        "--budget "
        "kl=0.01\n"
        "# what it cost\n"
        "lutra eval deit-tiny-64.safetensors --images val --against deit_tiny_patch16_224.safetensors",
    .options = options,
    .run = run,
};
