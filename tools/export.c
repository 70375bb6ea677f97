/* SPDX-License-Identifier: Apache-2.0 */
/* lutra export: back to dense tensors. */
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
        printf("  %s, %s tensors, %.2f s\n", tool_bytes(bytes).text, lutra_dtype_name(arguments->dtype),
               seconds);
        return TOOL_DONE;
    }
    json_t *json = json_object();
    json_object_set_new(json, "input", tool_json_text(arguments->inputs[0]));
    json_object_set_new(json, "output", tool_json_text(arguments->output));
    json_object_set_new(json, "dtype", json_string(lutra_dtype_name(arguments->dtype)));
    json_object_set_new(json, "bytes_out", tool_json_size(bytes));
    json_object_set_new(json, "seconds", tool_json_real(seconds));
    tool_json_machine(json, 1, isa);
    return tool_json_print(json, false);
}

static int run(const tool_arguments *arguments)
{
    lutra_error error;
    const char *isa;
    if (arguments->n_inputs != 1 || !arguments->output) {
        tool_error("export needs one MODEL and -o FILE, as in: lutra export model-64.safetensors -o "
                   "dense.safetensors");
        return TOOL_USAGE;
    }
    if (tool_check_output(arguments->output, arguments->inputs, 1, &error) || lutra_isa(&isa, &error))
        return tool_fail(&error);
    tool_progress progress;
    tool_progress_begin(&progress, arguments, "exporting");
    const lutra_status status = lutra_export_file(arguments->inputs[0], arguments->output, arguments->dtype,
                                                  tool_progress_update, &progress, &error);
    tool_progress_hide(&progress);
    return status ? tool_fail(&error) : report(arguments, isa, tool_seconds() - progress.started);
}

static const tool_option options[] = {
    TOOL_OUTPUT, TOOL_DTYPE, TOOL_JSON, TOOL_QUIET, TOOL_HELP, TOOL_NO_OPTION,
};

const tool_command tool_command_export = {
    .name = "export",
    .usage = "MODEL -o FILE",
    .summary = "write a model with dense tensors that any program reads",
    .description =
        "Writes MODEL with plain tensors under their original names and shapes: what PyTorch, timm and other "
        "programs load. A clustered weight becomes scale times centroid, rounded to --dtype.",
    .examples = "# and in Python: safetensors.torch.load_file('dense.safetensors')\n"
                "lutra export deit-tiny-64.safetensors -o dense.safetensors\n"
                "# half the size\n"
                "lutra export deit-tiny-64.safetensors -o dense.safetensors --dtype bf16",
    .options = options,
    .run = run,
};
