/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lutra study: what clustering buys, over models, batches and threads: measured here, predicted elsewhere.
 * The models have random weights, so it needs no file and no network; scripts/make_study.py makes
 * docs/study.md of the files that it writes.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "devices.h"
#include "inputs.h"
#include "json.h"

/* A large model on a small board takes minutes for one run in a batch: fewer then. */
static const bench_limit limit = {.least = 3, .most = 25, .seconds = 20};
static const bench_limit quick_limit = {.least = 3, .most = 5, .seconds = 5};

/* Of ViT and DeiT, which have the same matrices in each size. */
static const struct study_arch {
    const char *name;
    size_t weight_bytes; /* in f32, of dense weights */
} archs[] = {
    {"deit_tiny_patch16_224", 23000000},
    {"deit_small_patch16_224", 88000000},
    {"deit_base_patch16_224", 346000000},
    {"vit_large_patch16_224", 1217000000},
};
#define HELD 4 /* bytes of memory at the most for one of these: files in it, and what runs of them */
enum { N_ARCHS = sizeof archs / sizeof *archs, N_QUICK_ARCHS = 2 };
static const tool_list clusters = {.at = {256, 64, 16}, .n = 3};
static const tool_list modes = {.at = {LUTRA_MODE_F32, LUTRA_MODE_INT8}, .n = 2};

typedef struct study {
    const tool_arguments *arguments;
    tool_progress progress;
    tool_device_names devices;
    tool_list batches;
    json_t *measured, *predicted;
} study;

static size_t n_threads_all(const study *s)
{
    return s->arguments->n_threads ? s->arguments->n_threads : lutra_default_threads();
}

/* Sets what tells one model from another: "dense f32", "dense bf16" or "64 clusters". */
static void set_model(json_t *json, const bench_model *model, bool is_bf16)
{
    char weights[32];
    if (model->info->n_clusters)
        snprintf(weights, sizeof weights, "%zu clusters", model->info->n_clusters);
    else
        snprintf(weights, sizeof weights, "dense %s", is_bf16 ? "bf16" : "f32");
    json_object_set_new(json, "arch", tool_json_text(model->info->arch));
    json_object_set_new(json, "weights", json_string(weights));
    json_object_set_new(json, "clusters", tool_json_size(model->info->n_clusters));
    json_object_set_new(json, "file_bytes", tool_json_size(model->info->file_bytes));
}

/* The last model is the dense one in bf16. */
static bool is_bf16(const bench_models *models, const bench_model *model)
{
    return model == &models->at[models->n - 1];
}

/* ---- measured ---------------------------------------------------------------------------------- */

/* What crosses from main memory in one run behind another, by the model of the last caches that the threads
 * have, and what the bare operations and these bytes take at the least. */
static int set_counts(json_t *json, const bench_result *result)
{
    const lutra_model *model = result->model->model;
    const bench_settings *settings = &result->settings;
    const size_t n = lutra_model_n_steps(model);
    uint64_t dram_bytes = 0, *bytes = calloc(n + 1, sizeof *bytes);
    double pj = 0;
    lutra_device device;
    lutra_error error;
    if (!bytes)
        return tool_out_of_memory();
    lutra_device_look(&device);
    lutra_status status = lutra_model_traffic(model, settings->mode, settings->batch,
                                              tool_cache_bytes(&device, settings->threads), bytes, &error);
    for (size_t i = 0; i < n && status == LUTRA_OK; i++) {
        lutra_step_info info;
        status = lutra_model_step(model, i, &info, &error);
        dram_bytes += bytes[i];
        pj += lutra_device_mac_energy(&device, &info, settings->mode) * (double)(info.macs * settings->batch);
    }
    free(bytes);
    if (status || tool_interrupted())
        return tool_fail(&error);
    json_object_set_new(json, "dram_bytes", tool_json_size(dram_bytes));
    json_object_set_new(json, "mj_lower_bound",
                        tool_json_real(1e-9 * (pj + device.pj_dram_byte * (double)dram_bytes)));
    return TOOL_DONE;
}

static int add_measured(study *s, const bench_models *models, const bench_result *result)
{
    json_t *json = json_object();
    set_model(json, result->model, is_bf16(models, result->model));
    json_object_set_new(json, "mode", json_string(tool_mode_name(result->settings.mode)));
    json_object_set_new(json, "threads", tool_json_size(result->settings.threads));
    json_object_set_new(json, "batch", tool_json_size(result->settings.batch));
    json_object_set_new(json, "macs", tool_json_size(result->model->info->macs * result->settings.batch));
    json_object_set_new(json, "median_ms", tool_json_real(1e3 * result->seconds.median));
    json_object_set_new(json, "p10_ms", tool_json_real(1e3 * result->seconds.p10));
    json_object_set_new(json, "p90_ms", tool_json_real(1e3 * result->seconds.p90));
    json_object_set_new(json, "runs", tool_json_size(result->n_runs));
    json_object_set_new(json, "percent_of_peak", tool_json_real(bench_percent_of_peak(result)));
    json_object_set_new(json, "weight_bytes", tool_json_size(result->weight_bytes));
    json_array_append_new(s->measured, json);
    return set_counts(json, result);
}

static int measure(study *s, const bench_models *models, const tool_arguments *arguments)
{
    const size_t all = n_threads_all(s);
    int result = TOOL_DONE;
    for (size_t threads = 1; threads <= all && !result; threads = threads < all ? all : all + 1)
        for (size_t i = 0; i < s->batches.n && !result; i++) {
            const size_t batch = s->batches.at[i];
            bench_results results = {0};
            tool_progress_begin(&s->progress, s->arguments, "timing");
            result = bench_time(models, arguments, threads, batch, arguments->quick ? &quick_limit : &limit,
                                &s->progress, &results);
            for (size_t j = 0; j < results.n && !result; j++)
                result = add_measured(s, models, &results.at[j]);
            bench_results_free(&results);
        }
    return result;
}

/* ---- predicted --------------------------------------------------------------------------------- */

static json_t *predicted_json(const lutra_device *device, const lutra_step_prediction *steps, size_t n)
{
    json_t *json = json_object();
    double seconds = 0, memory = 0, millijoules = 0;
    uint64_t dram_bytes = 0, weight_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        seconds += steps[i].seconds;
        memory += strcmp(steps[i].bound, "compute") == 0 ? 0 : steps[i].seconds;
        millijoules += steps[i].millijoules;
        dram_bytes += steps[i].dram_bytes;
        weight_bytes += steps[i].weight_bytes;
    }
    json_object_set_new(json, "predicted", json_true());
    json_object_set_new(json, "device", tool_json_text(device->name));
    json_object_set_new(json, "title", tool_json_text(device->title));
    json_object_set_new(json, "threads", tool_json_size(device->n_cores));
    json_object_set_new(json, "ms", tool_json_real(1e3 * seconds));
    json_object_set_new(json, "memory_bound_share", tool_json_real(memory / seconds));
    json_object_set_new(json, "weight_bytes", tool_json_size(weight_bytes));
    json_object_set_new(json, "dram_bytes", tool_json_size(dram_bytes));
    json_object_set_new(json, "mj_lower_bound", tool_json_real(millijoules));
    return json;
}

static int predict(study *s, const bench_models *models, const bench_model *model, const lutra_device *device,
                   lutra_mode mode, size_t batch)
{
    const lutra_prediction_options options = {.mode = mode, .batch = batch};
    const size_t n = lutra_model_n_steps(model->model);
    lutra_step_prediction *steps = calloc(n + 1, sizeof *steps);
    lutra_error error;
    if (!steps)
        return tool_out_of_memory();
    if (lutra_predict(model->model, device, &options, steps, &error) || tool_interrupted()) {
        free(steps);
        return tool_fail(&error);
    }
    json_t *json = predicted_json(device, steps, n);
    set_model(json, model, is_bf16(models, model));
    json_object_set_new(json, "mode", json_string(tool_mode_name(mode)));
    json_object_set_new(json, "batch", tool_json_size(batch));
    json_array_append_new(s->predicted, json);
    free(steps);
    return TOOL_DONE;
}

static int predict_all(study *s, const bench_models *models)
{
    int result = TOOL_DONE;
    for (size_t i = 0; i < s->devices.n && !result; i++) {
        lutra_device device;
        lutra_error error;
        if (tool_device_read(s->devices.at[i], &device, &error))
            return tool_fail(&error);
        for (size_t j = 0; j < models->n * modes.n * 2 && !result; j++)
            result = predict(s, models, &models->at[j / (modes.n * 2)], &device,
                             (lutra_mode)modes.at[j / 2 % modes.n], j % 2 ? 8 : 1);
    }
    return result;
}

/* ---- all of it --------------------------------------------------------------------------------- */

/* Memory that can be had without swapping, where Linux tells; else as much as one likes. */
static uint64_t available_bytes(void)
{
    char line[128];
    unsigned long long kib = 0;
    bool found = false;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "MemAvailable: %20llu kB", &kib) == 1;
    if (file)
        fclose(file);
    return found ? 1024 * (uint64_t)kib : UINT64_MAX;
}

/* Whether the models fit in memory: a study of hours is not to end with one of them. */
static bool fits(const study *s, const struct study_arch *arch)
{
    const uint64_t needed = HELD * (uint64_t)arch->weight_bytes, available = available_bytes();
    if (needed > available)
        tool_note(s->arguments, "%s is left out: it needs %s of memory and there are %s (--arch %s tries it)",
                  arch->name, tool_bytes(needed).text, tool_bytes(available).text, arch->name);
    return needed <= available;
}

static json_t *machine_json(void)
{
    lutra_device device;
    json_t *json = json_object(), *caches = json_array();
    lutra_device_look(&device);
    json_object_set_new(json, "title", tool_json_text(device.title));
    json_object_set_new(json, "isa", tool_json_text(device.isa));
    json_object_set_new(json, "cores", tool_json_size(device.n_cores));
    for (size_t i = 0; i < device.n_caches; i++)
        json_array_append_new(caches, tool_json_size(device.caches[i].bytes));
    json_object_set_new(json, "cache_bytes", caches);
    return json;
}

static int write_all(study *s)
{
    json_t *json = json_object();
    json_object_set_new(json, "lutra", json_string(lutra_version()));
    json_object_set_new(json, "quick", json_boolean(s->arguments->quick));
    json_object_set_new(json, "machine", machine_json());
    json_object_set(json, "measured", s->measured);
    json_object_set(json, "predicted", s->predicted);
    char *text = tool_json_dump(json, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    lutra_error error;
    int result = text ? TOOL_DONE : tool_out_of_memory();
    if (text && lutra_write_file(s->arguments->output, text, strlen(text), "\n", 1, &error))
        result = tool_fail(&error);
    free(text);
    json_decref(json);
    return result;
}

/* What is done is written after each model: the next one may take hours, or more than the machine has. */
static int study_model(study *s, const char *arch)
{
    bench_models models = {.n = 0};
    tool_arguments arguments = *s->arguments;
    arguments.model.arch = arch;
    arguments.clusters_list = clusters;
    arguments.modes = modes;
    arguments.dense = true;
    int result = bench_models_open(&models, &arguments, &s->progress);
    if (!result)
        result = bench_models_add_dense(&models, LUTRA_BF16, &arguments, &s->progress);
    if (!result)
        result = measure(s, &models, &arguments);
    if (!result)
        result = predict_all(s, &models);
    bench_models_close(&models);
    return result ? result : write_all(s);
}

static int run(const tool_arguments *arguments)
{
    lutra_error error;
    if (arguments->n_inputs != 0 || !arguments->output) {
        tool_error("study needs -o FILE, as in: lutra study --quick -o result.json");
        return TOOL_USAGE;
    }
    if (tool_check_document(arguments->output, NULL, 0, &error) ||
        tool_devices_check_output(arguments->output, &error))
        return tool_fail(&error);
    study s = {.arguments = arguments,
               .batches = arguments->batches,
               .measured = json_array(),
               .predicted = json_array()};
    if (s.batches.n == 0)
        s.batches = (tool_list){.at = {1, 8}, .n = arguments->quick ? 1 : 2};
    int result = tool_device_names_read(&s.devices, &error) ? tool_fail(&error) : TOOL_DONE;
    const size_t n_archs = arguments->model.arch ? 0 : arguments->quick ? N_QUICK_ARCHS : N_ARCHS;
    if (arguments->model.arch && !result)
        result = study_model(&s, arguments->model.arch);
    for (size_t i = 0; i < n_archs && !result; i++)
        if (i == 0 || fits(&s, &archs[i]))
            result = study_model(&s, archs[i].name);
    if (!result)
        tool_note(arguments, "%s: %zu rows measured, %zu predicted", arguments->output,
                  json_array_size(s.measured), json_array_size(s.predicted));
    json_decref(s.measured);
    json_decref(s.predicted);
    tool_device_names_free(&s.devices);
    return result;
}

static const tool_option options[] = {
    TOOL_OUTPUT,        TOOL_STUDY_QUICK, TOOL_ARCH,  TOOL_IMAGE_SIZE, TOOL_THREADS,
    TOOL_STUDY_BATCHES, TOOL_SEED,        TOOL_QUIET, TOOL_HELP,       TOOL_NO_OPTION,
};

const tool_command tool_command_study = {
    .name = "study",
    .usage = "[--quick] -o FILE",
    .summary = "measure what clustering buys here, over models, batches and threads",
    .description =
        "Makes transformers of four sizes (Tiny, Small, Base, Large) with random weights, dense in f32 and "
        "bf16 and with 256, 64 and 16 clusters, and times them in f32 and in int8, one run each in turn, on "
        "one thread and on all, in batches of 1 and 8: 25 runs of each, fewer where they take long, but at "
        "least 3. It needs no other file and no network, so it runs on a small board as on a server. FILE "
        "has what was measured, as JSON, and what is predicted for the described devices (docs/devices.md), "
        "apart from each other; it is written after each size.\n\n"
        "A size whose weights do not fit in memory is left out, with a note. All of it takes some ten "
        "minutes "
        "on a server and hours on a small board; --quick has Tiny and Small alone, batch 1 and few runs, and "
        "--arch one architecture.",
    .examples = "lutra study --quick -o result.json\n"
                "# the study of this repository from such files\n"
                "scripts/make_study.py",
    .options = options,
    .run = run,
};
