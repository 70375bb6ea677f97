/* SPDX-License-Identifier: Apache-2.0 */
/* lutra profile: what each step of a run costs here. */
#include <string.h>

#include "devices.h"
#include "inputs.h"
#include "json.h"
#include "profile.h"
#include "report.h"
#include "session.h"

static int check(const tool_arguments *arguments)
{
    lutra_error error;
    if (arguments->n_inputs > 1 || (arguments->n_inputs == 0 && !arguments->model.arch)) {
        tool_error(
            "profile needs one MODEL or --arch NAME, as in: lutra profile --arch deit_tiny_patch16_224");
        return TOOL_USAGE;
    }
    if (arguments->dense && arguments->against) {
        tool_error("--dense and --against both say what to compare with; give one");
        return TOOL_USAGE;
    }
    if (arguments->json && arguments->csv) {
        tool_error("--json and --csv both say what to print; give one");
        return TOOL_USAGE;
    }
    if (arguments->power_meter && arguments->no_energy) {
        tool_error("--power-meter measures energy, which --no-energy leaves out; give one");
        return TOOL_USAGE;
    }
    if (!bench_check_seed(arguments))
        return TOOL_USAGE;
    if (arguments->on &&
        (arguments->n_cpus || arguments->power_meter || arguments->quick || arguments->repeat)) {
        tool_error(
            "--cpus, --power-meter, --quick and --repeat say how to run, and with --on nothing is run");
        return TOOL_USAGE;
    }
    if (arguments->html && !tool_report_is_built())
        return TOOL_FAILED;
    const char *const not_page[] = {arguments->n_inputs ? arguments->inputs[0] : NULL, arguments->against,
                                    arguments->on};
    if (arguments->html && (tool_check_document(arguments->html, not_page, 3, &error) ||
                            tool_devices_check_output(arguments->html, &error)))
        return tool_fail(&error);
    return TOOL_DONE;
}

/* The device that --on names; "this" is the machine at hand as it was measured. */
static int open_described(const tool_arguments *arguments, tool_device *device)
{
    lutra_error error;
    if (strcmp(arguments->on, "this") == 0) {
        const int result = tool_device_open(arguments, device);
        if (!result && !device->is_measured) {
            tool_error("--on this needs this machine's peaks; %s", device->how);
            return TOOL_FAILED;
        }
        return result;
    }
    *device = (tool_device){.is_measured = true}; /* its peaks are known */
    return tool_device_read(arguments->on, &device->device, &error) ? tool_fail(&error) : TOOL_DONE;
}

static int run(const tool_arguments *arguments)
{
    bench_models models = {.n = 0};
    profile_results results = {.n = 0};
    tool_progress progress;
    tool_device device;
    int result = check(arguments);
    if (!result)
        result = arguments->on ? open_described(arguments, &device) : tool_device_open(arguments, &device);
    if (result)
        return result;
    result = bench_models_open(&models, arguments, &progress);
    if (!result && arguments->against) {
        lutra_model_options options = arguments->model;
        options.arch = tool_against_arch(arguments);
        result = bench_models_add(&models, arguments->against, &options);
    }
    if (!result && arguments->on) {
        result = profile_predict(&models, arguments, &device, &results);
    } else if (!result) {
        tool_progress_begin(&progress, arguments, "profiling");
        result = profile_time(&models, arguments, &progress, &results);
    }
    for (size_t i = 0; i < results.n && !result; i++) {
        results.at[i].device = &device;
        result = profile_complete(&results.at[i]);
        if (!result)
            result = profile_measure_energy(&results.at[i], arguments, &progress);
    }
    if (!result && arguments->html)
        result = profile_write_page(&results, arguments->html);
    if (!result && arguments->json)
        result = tool_json_print(profile_json(&results), false);
    else if (!result && arguments->csv)
        profile_print_csv(&results);
    else if (!result)
        profile_print_table(&results);
    profile_results_free(&results);
    bench_models_close(&models);
    return result;
}

static const tool_option options[] = {
    TOOL_ARCH,      TOOL_CLUSTERS_ONE, TOOL_DENSE,     TOOL_AGAINST_PROFILE, TOOL_MODE,
    TOOL_THREADS,   TOOL_CPUS,         TOOL_BATCH_ONE, TOOL_REPEAT,          TOOL_POWER_METER,
    TOOL_QUICK,     TOOL_NO_ENERGY,    TOOL_SEED,      TOOL_IMAGE_SIZE,      TOOL_JSON,
    TOOL_CSV,       TOOL_ON,           TOOL_HTML,      TOOL_QUIET,           TOOL_HELP,
    TOOL_NO_OPTION,
};

const tool_command tool_command_profile = {
    .name = "profile",
    .usage = "MODEL|--arch NAME [--against MODEL]",
    .summary = "show what each step of a run costs here",
    .description =
        "Times every step of many runs of MODEL, or of an architecture with random weights, clustered in "
        "memory: "
        "the table has the steps alike in every block together, each block, and all of them, --json and "
        "--csv "
        "every step by itself.\n\n"
        "A row has the median time and its share, multiply-adds and how many a second, the bytes of weights "
        "and "
        "activations that the operation needs (compulsory), the bytes that come from main memory when one "
        "run "
        "follows another (modelled, from the size of the last cache), and how much of the device's roofline "
        "it "
        "reaches and what that is bound by. The last two need the device's peaks: 'lutra device measure' "
        "measures "
        "them once.\n\n"
        "Where something measures energy ('lutra device check' lists what), the machine then idles, runs for "
        "30 seconds "
        "and idles again: energy per picture, less what the machine draws when idle. Where nothing does, the "
        "bare "
        "operations' energy is printed as a lower bound.\n\n"
        "With --dense or --against two models take turns, one run each, and their times are compared.\n\n"
        "With --on nothing is run: the times are predicted for a described device (a name that is "
        "none lists them; docs/devices.md says how far predictions can be trusted), and called predicted.",
    .examples = "lutra profile deit-tiny-64.safetensors --mode int8 --threads 1\n"
                "# what did clustering change, step by step?\n"
                "lutra profile --arch deit_base_patch16_224 --mode int8 --dense\n"
                "# what would it take on a Raspberry Pi 5?\n"
                "lutra profile deit-tiny-64.safetensors --mode int8 --on pi5\n"
                "# a page with charts, for anybody with a browser\n"
                "lutra profile deit-tiny-64.safetensors --dense --html report.html\n"
                "# energy by a meter of your own that prints watts\n"
                "lutra profile deit-tiny-64.safetensors --power-meter 'read-my-meter --watts'\n"
                "# every step, for a spreadsheet\n"
                "lutra profile deit-tiny-64.safetensors --csv > steps.csv",
    .options = options,
    .run = run,
};
