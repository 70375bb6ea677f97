/* SPDX-License-Identifier: Apache-2.0 */
/* lutra inspect: what is in a file, and what a run of it does. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inputs.h"
#include "inspect.h"
#include "terminal.h"

/* A folder stands for the safetensors file, or the index of shards, in it. Allocated. */
static char *tensor_path(const char *path)
{
    if (!tool_is_folder(path))
        return strdup(path);
    char *single = tool_join(path, "model.safetensors");
    if (!single || access(single, F_OK) == 0)
        return single;
    char *shards = tool_join(path, "model.safetensors.index.json");
    if (!shards || access(shards, F_OK) != 0) {
        free(shards);
        return single; /* whose absence the message then names */
    }
    free(single);
    return shards;
}

static int run(const tool_arguments *arguments)
{
    if (arguments->n_inputs != 1) {
        tool_error("inspect needs one FILE, as in: lutra inspect model.safetensors");
        return TOOL_USAGE;
    }
    lutra_error error;
    tool_inspection inspection = {.arguments = arguments};
    char *path = tensor_path(arguments->inputs[0]);
    int result = TOOL_DONE;
    if (!path)
        result = tool_out_of_memory();
    else if (lutra_tensor_file_open(path, &inspection.file, &error))
        result = tool_fail(&error);
    else if (arguments->verify && lutra_tensor_file_verify(inspection.file, &error))
        result = tool_fail(&error);
    /* Any safetensors file is shown; whether it is a model that runs is one of the things to say about it,
     * where that can be told. */
    if (!result &&
        lutra_model_open(arguments->inputs[0], &arguments->model, &inspection.model, &inspection.no_model)) {
        inspection.model = NULL;
        const lutra_status status = inspection.no_model.status;
        if (arguments->plan || status == LUTRA_ERROR_MEMORY || status == LUTRA_ERROR_IO)
            result = tool_fail(&inspection.no_model);
    }
    if (!result)
        result = arguments->json ? tool_inspect_json(&inspection) : tool_inspect_text(&inspection);
    lutra_model_close(inspection.model);
    lutra_tensor_file_close(inspection.file);
    free(path);
    return result;
}

static const tool_option options[] = {
    TOOL_PLAN, TOOL_VERIFY, TOOL_ARCH, TOOL_IMAGE_SIZE, TOOL_JSON, TOOL_QUIET, TOOL_HELP, TOOL_NO_OPTION,
};

const tool_command tool_command_inspect = {
    .name = "inspect",
    .usage = "FILE",
    .summary = "show what is in a model or in any safetensors file",
    .description = "Prints the tensors of FILE with shape, type, clusters, bits of an index and bytes; the "
                   "architecture and "
                   "how pictures are prepared, where the file is a model; and totals. With --plan, the steps "
                   "of a run on one "
                   "picture: multiply-adds, bytes of weights and bytes of activations read and written.\n\n"
                   "FILE may be any safetensors file, or a folder that holds a model.",
    .examples = "lutra inspect deit-tiny-64.safetensors\n"
                "# where the work is\n"
                "lutra inspect deit-tiny-64.safetensors --plan\n"
                "# is every index within its codebook?\n"
                "lutra inspect deit-tiny-64.safetensors --verify",
    .options = options,
    .run = run,
};
