/* SPDX-License-Identifier: Apache-2.0 */
/* lutra bench: how fast a model runs here, beside the machine's peak and beside itself with dense weights. */
#include "bench.h"

static int check(const tool_arguments *arguments)
{
    if (arguments->n_inputs > 1 || (arguments->n_inputs == 0 && !arguments->model.arch)) {
        tool_error("bench needs one MODEL or --arch NAME, as in: lutra bench --arch deit_tiny_patch16_224");
        return TOOL_USAGE;
    }
    if (!bench_check_seed(arguments))
        return TOOL_USAGE;
    if (arguments->repeat && arguments->duration > 0) {
        tool_error("--repeat and --duration both say when to end; give one");
        return TOOL_USAGE;
    }
    return TOOL_DONE;
}

static int time_all(const bench_models *models, const tool_arguments *arguments, tool_progress *progress,
                    bench_results *results)
{
    tool_list threads = arguments->threads_list, batches = arguments->batches;
    int result = TOOL_DONE;
    if (threads.n == 0)
        threads =
            (tool_list){.at = {arguments->n_cpus ? arguments->n_cpus : lutra_default_threads()}, .n = 1};
    if (batches.n == 0)
        batches = (tool_list){.at = {1}, .n = 1};
    for (size_t i = 0; i < threads.n && !result; i++)
        for (size_t j = 0; j < batches.n && !result; j++) {
            tool_progress_begin(progress, arguments, "timing");
            result = bench_time(models, arguments, threads.at[i], batches.at[j], NULL, progress, results);
        }
    return result;
}

static int run(const tool_arguments *arguments)
{
    bench_models models = {.n = 0};
    bench_results results = {0};
    tool_progress progress;
    const char *isa;
    lutra_error error;
    int result = check(arguments);
    if (result)
        return result;
    if (lutra_isa(&isa, &error))
        return tool_fail(&error);
    result = bench_models_open(&models, arguments, &progress);
    if (!result)
        result = time_all(&models, arguments, &progress, &results);
    if (!result && arguments->json)
        result = bench_print_json(&results, arguments);
    else if (!result)
        bench_print_table(&results, arguments);
    bench_results_free(&results);
    bench_models_close(&models);
    return result;
}

static const tool_option options[] = {
    TOOL_ARCH,   TOOL_CLUSTERS_LIST, TOOL_MODES, TOOL_THREADS_LIST, TOOL_BATCHES,   TOOL_DENSE,
    TOOL_REPEAT, TOOL_DURATION,      TOOL_COLD,  TOOL_CONTEND,      TOOL_SEED,      TOOL_IMAGE_SIZE,
    TOOL_CPUS,   TOOL_JSON,          TOOL_QUIET, TOOL_HELP,         TOOL_NO_OPTION,
};

const tool_command tool_command_bench = {
    .name = "bench",
    .usage = "MODEL|--arch NAME [--dense]",
    .summary = "measure speed, start-up time and memory here",
    .description =
        "Times runs of MODEL, or of an architecture with random weights, clustered in memory. All models and "
        "modes take turns, one run each, and the machine's peak is measured in every turn too: as many "
        "threads "
        "with nothing but the instruction that products of the mode are made of. So a clock that swings or a "
        "busy neighbour meets all of them alike.\n\n"
        "The table has the median time of a run with its 10th and 90th percentiles, images and multiply-adds "
        "a "
        "second, their share of the peak; what opening the model and running the first batch take more than "
        "a "
        "later one (its file in the page cache) and the memory that the process then has of its own beyond "
        "the "
        "mapped file, both in a process of its own; and the bytes of weights that a run reads. With --dense, "
        "also the median ratio of clustered to dense times of the same turn with its 95 % interval.\n\n"
        "--cold shows a model that shares the processor with others: between runs the caches forget it. "
        "--contend shows one that shares the memory.",
    .examples = "lutra bench deit-tiny-64.safetensors --mode f32,int8 --threads 1,2\n"
                "# what does multiplying from indices cost?\n"
                "lutra bench --arch deit_base_patch16_224 --mode int8 --dense\n"
                "# does this board slow down when it gets warm?\n"
                "lutra bench deit-tiny-64.safetensors --mode int8 --duration 5m",
    .options = options,
    .run = run,
};
