/* SPDX-License-Identifier: Apache-2.0 */
/* lutra random: a model with random weights, for benchmarks and tests. */
#include <inttypes.h>
#include <sys/stat.h>

#include "inputs.h"
#include "json.h"
#include "terminal.h"

static int report(const tool_arguments *arguments, const char *isa, double seconds)
{
    struct stat info = {0};
    stat(arguments->output, &info);
    const uint64_t bytes = (uint64_t)info.st_size;
    if (!arguments->json) {
        tool_print(stdout, arguments->output);
        printf("  %s, %s with random weights of seed %" PRIu64 ", %.2f s\n", tool_bytes(bytes).text,
               arguments->model.arch, arguments->seed, seconds);
        return TOOL_DONE;
    }
    json_t *json = json_object();
    json_object_set_new(json, "output", tool_json_text(arguments->output));
    json_object_set_new(json, "arch", tool_json_text(arguments->model.arch));
    json_object_set_new(json, "seed", tool_json_size(arguments->seed));
    json_object_set_new(json, "bytes_out", tool_json_size(bytes));
    json_object_set_new(json, "seconds", tool_json_real(seconds));
    tool_json_machine(json, 1, isa);
    return tool_json_print(json, false);
}

static int run(const tool_arguments *arguments)
{
    lutra_error error;
    const char *isa;
    if (arguments->n_inputs != 0 || !arguments->output || !arguments->model.arch) {
        tool_error("random needs --arch NAME and -o FILE, as in: lutra random --arch deit_base_patch16_224 "
                   "-o random.safetensors");
        return TOOL_USAGE;
    }
    if (tool_check_output(arguments->output, NULL, 0, &error) || lutra_isa(&isa, &error))
        return tool_fail(&error);
    tool_progress progress;
    tool_progress_begin(&progress, arguments, "writing");
    const lutra_status status = lutra_random_file(arguments->model.arch, arguments->seed, arguments->output,
                                                  tool_progress_update, &progress, &error);
    tool_progress_hide(&progress);
    return status ? tool_fail(&error) : report(arguments, isa, tool_seconds() - progress.started);
}

static const tool_option options[] = {
    TOOL_ARCH, TOOL_OUTPUT, TOOL_SEED, TOOL_JSON, TOOL_QUIET, TOOL_HELP, TOOL_NO_OPTION,
};

const tool_command tool_command_random = {
    .name = "random",
    .usage = "--arch NAME -o FILE",
    .summary = "write a model with random weights, to measure what is not at hand",
    .description =
        "Writes a dense 32-bit model of a known architecture with random weights of realistic spread. The "
        "same "
        "seed gives the same file. It answers how large and how fast an architecture is, not how accurate.",
    .examples = "# how large and how fast would a ViT-L be?\n"
                "lutra random --arch vit_large_patch16_224 -o large.safetensors\n"
                "lutra cluster large.safetensors -o large-64.safetensors\n"
                "lutra inspect large-64.safetensors --plan",
    .options = options,
    .run = run,
};
