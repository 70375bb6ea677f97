/* SPDX-License-Identifier: Apache-2.0 */
/* lutra device: what this machine can do, measured once and kept. */
#include "device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "devices.h"
#include "inputs.h"
#include "json.h"

/* Every folder of `path` that is not there yet. */
static lutra_status make_folders(char *path, lutra_error *error)
{
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = 0;
        const bool made = mkdir(path, 0777) == 0 || errno == EEXIST;
        if (!made)
            return tool_io_error(error, path, "make this folder", errno);
        *at = '/';
    }
    return LUTRA_OK;
}

/* A folder may come from another machine, and LUTRA_ISA asks for other kernels than those that were measured.
 */
static bool is_of(const lutra_device *device, const lutra_device *machine)
{
    return strcmp(device->title, machine->title) == 0 && strcmp(device->isa, machine->isa) == 0 &&
           device->n_cores == machine->n_cores;
}

/* The reference kernels are made of no one instruction, so that they have no peak. */
static void say_how(tool_device *device)
{
    double gmacs;
    if (lutra_measure_peak(LUTRA_MODE_F32, 1, &gmacs, NULL) == LUTRA_OK && gmacs == 0)
        snprintf(device->how, sizeof device->how, "no loop measures them at the level of kernels %s",
                 device->device.isa);
    else
        snprintf(device->how, sizeof device->how, "'lutra device measure' measures them once");
}

int tool_device_open(const tool_arguments *arguments, tool_device *device)
{
    lutra_device here;
    lutra_error error;
    const char *isa;
    if (lutra_isa(&isa, &error))
        return tool_fail(&error);
    char *path = tool_device_path();
    if (!path)
        return tool_out_of_memory();
    lutra_device_look(&here);
    const lutra_status status = lutra_device_read(path, &device->device, &error);
    device->is_measured = status == LUTRA_OK && is_of(&device->device, &here);
    const bool is_broken = status && status != LUTRA_ERROR_IO;
    if (is_broken)
        tool_error("%s; 'lutra device measure' writes it anew", error.message);
    else if (status == LUTRA_OK && !device->is_measured)
        tool_note(arguments, "%s is left out: it is of %s (%s, %zu cores), and this is %s (%s, %zu cores)",
                  path, device->device.title, device->device.isa, device->device.n_cores, here.title,
                  here.isa, here.n_cores);
    if (!device->is_measured) {
        device->device = here;
        say_how(device);
        if (!is_broken)
            tool_note(arguments, "this machine's peaks are not known; %s", device->how);
    }
    free(path);
    return is_broken ? TOOL_FAILED : TOOL_DONE;
}

/* ---- commands ---------------------------------------------------------------------------------- */

static json_t *device_json(const lutra_device *d);

static int measure(const tool_arguments *arguments)
{
    lutra_device device;
    lutra_error error;
    tool_progress progress;
    char *path = tool_device_path();
    int result = TOOL_DONE;
    if (!path)
        return tool_out_of_memory();
    tool_progress_begin(&progress, arguments, "measuring");
    lutra_status status = lutra_device_measure(&device, tool_progress_update, &progress, &error);
    tool_progress_hide(&progress);
    if (status == LUTRA_OK)
        status = make_folders(path, &error);
    if (status == LUTRA_OK)
        status = lutra_device_write(path, &device, &error);
    if (status)
        result = tool_fail(&error);
    else
        tool_note(arguments, "%s written%s", path,
                  device.efficiency_is_own
                      ? ""
                      : "; the machine was too busy to calibrate the kernels, so predictions "
                        "go by what they cost on server-zen4");
    if (!result && arguments->json)
        result = tool_json_print(device_json(&device), false);
    free(path);
    return result;
}

static double giga(double value)
{
    return 1e-9 * value;
}

static void print_device(const lutra_device *d)
{
    tool_print_bold(stdout, d->title);
    printf(": %zu core%s (", d->n_cores, d->n_cores == 1 ? "" : "s");
    tool_print(stdout, d->isa);
    printf("), %.2f GHz while one works, %.2f while all do\n", giga(d->clock), giga(d->clock_all));
    printf("  peak          %8.1f GMAC/s in f32, %.1f in int8 with one thread; %.1f and %.1f with %zu\n",
           giga(d->macs_per_cycle_f32 * d->clock), giga(d->macs_per_cycle_i8 * d->clock),
           giga(d->macs_per_cycle_f32 * d->clock_all * (double)d->n_cores),
           giga(d->macs_per_cycle_i8 * d->clock_all * (double)d->n_cores), d->n_cores);
    for (size_t i = 0; i < d->n_caches; i++)
        printf("  cache %zu       %8.1f GB/s for a core; %s, shared by %zu\n", i + 1,
               giga(d->caches[i].bytes_per_second), tool_bytes(d->caches[i].bytes).text,
               d->caches[i].shared_by);
    printf("  main memory   %8.1f GB/s for one core, %.1f for all\n", giga(d->dram_one_core),
           giga(d->dram_all_cores));
}

static json_t *device_json(const lutra_device *d)
{
    json_t *json = json_object(), *caches = json_array();
    json_object_set_new(json, "device", tool_json_text(d->title));
    json_object_set_new(json, "isa", tool_json_text(d->isa));
    json_object_set_new(json, "cores", tool_json_size(d->n_cores));
    json_object_set_new(json, "clock_ghz", tool_json_real(giga(d->clock)));
    json_object_set_new(json, "clock_all_ghz", tool_json_real(giga(d->clock_all)));
    json_object_set_new(json, "peak_gmacs_f32", tool_json_real(giga(d->macs_per_cycle_f32 * d->clock)));
    json_object_set_new(json, "peak_gmacs_int8", tool_json_real(giga(d->macs_per_cycle_i8 * d->clock)));
    for (size_t i = 0; i < d->n_caches; i++) {
        json_t *cache = json_object();
        json_object_set_new(cache, "level", tool_json_size(i + 1));
        json_object_set_new(cache, "bytes", tool_json_size(d->caches[i].bytes));
        json_object_set_new(cache, "shared_by", tool_json_size(d->caches[i].shared_by));
        json_object_set_new(cache, "gb_per_s", tool_json_real(giga(d->caches[i].bytes_per_second)));
        json_array_append_new(caches, cache);
    }
    json_object_set_new(json, "caches", caches);
    json_object_set_new(json, "dram_gb_per_s_one_core", tool_json_real(giga(d->dram_one_core)));
    json_object_set_new(json, "dram_gb_per_s_all_cores", tool_json_real(giga(d->dram_all_cores)));
    return json;
}

static int show(const tool_arguments *arguments)
{
    tool_device device;
    const int result = tool_device_open(arguments, &device);
    if (result)
        return result;
    if (!device.is_measured) {
        tool_error("nothing to show yet");
        return TOOL_FAILED;
    }
    if (arguments->json)
        return tool_json_print(device_json(&device.device), false);
    print_device(&device.device);
    return TOOL_DONE;
}

#define CHECK_SECONDS 2.0

static lutra_status read_a_little_later(lutra_meter *meter, double *joules, lutra_error *error)
{
    const struct timespec pause = {.tv_nsec = 50000000};
    nanosleep(&pause, NULL);
    return lutra_meter_read(meter, joules, error);
}

/* What a source gives over two seconds, once it gives anything, or until somebody interrupts; its error where
 * that fails. */
static lutra_status read_source(const char *source, const char *command, double *joules, double *seconds,
                                lutra_error *error)
{
    lutra_meter *meter = NULL;
    double first = 0;
    lutra_status status = lutra_meter_open(source, command, &meter, error);
    while (status == LUTRA_OK && !lutra_meter_speaks(meter) && !tool_interrupted())
        status = read_a_little_later(meter, &first, error);
    const double begin = tool_seconds();
    while (status == LUTRA_OK && (*seconds = tool_seconds() - begin) < CHECK_SECONDS && !tool_interrupted())
        status = read_a_little_later(meter, joules, error);
    *joules -= first;
    lutra_meter_close(meter);
    return status;
}

/* Of what the machine has, most cannot be read for want of a right to; a program of the user's own can only
 * fail. */
static const char *state_of(const char *source, lutra_status status)
{
    if (status == LUTRA_OK)
        return "found";
    if (status == LUTRA_ERROR_UNSUPPORTED)
        return "absent";
    return status == LUTRA_ERROR_IO && strcmp(source, "command") != 0 ? "denied" : "failed";
}

static json_t *source_json(const char *source, const char *state, double joules, double seconds,
                           const lutra_error *error)
{
    json_t *json = json_object();
    const bool found = error->status == LUTRA_OK;
    json_object_set_new(json, "source", tool_json_text(source));
    json_object_set_new(json, "state", tool_json_text(state));
    json_object_set_new(json, "joules", found ? tool_json_real(joules) : json_null());
    json_object_set_new(json, "seconds", found ? tool_json_real(seconds) : json_null());
    json_object_set_new(json, "reason", found ? json_null() : tool_json_text(error->message));
    return json;
}

static int check(const tool_arguments *arguments)
{
    json_t *list = json_array();
    const char *source;
    for (size_t i = 0; (source = lutra_meter_source(i)); i++) {
        double joules = 0, seconds = 0;
        lutra_error error = {0};
        const lutra_status status = read_source(source, arguments->power_meter, &joules, &seconds, &error);
        if (tool_interrupted() || status == LUTRA_ERROR_MEMORY) {
            json_decref(list);
            return tool_fail(&error);
        }
        const char *state = state_of(source, status);
        if (arguments->json) {
            json_array_append_new(list, source_json(source, state, joules, seconds, &error));
            continue;
        }
        printf("%-8s  %-6s  ", source, state);
        if (status == LUTRA_OK)
            printf("%.4g J in %.2f s: %.4g W", joules, seconds, joules / seconds);
        else
            tool_print(stdout, error.message);
        putchar('\n');
    }
    if (arguments->json)
        return tool_json_print(list, false);
    json_decref(list);
    return TOOL_DONE;
}

static const struct action {
    const char *name;
    int (*run)(const tool_arguments *arguments);
} actions[] = {{"measure", measure}, {"show", show}, {"check", check}};

static int run(const tool_arguments *arguments)
{
    if (arguments->n_inputs == 1 && arguments->power_meter && strcmp(arguments->inputs[0], "check") != 0) {
        tool_error("--power-meter goes with 'device check'");
        return TOOL_USAGE;
    }
    if (arguments->n_inputs == 1)
        for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
            if (strcmp(arguments->inputs[0], actions[i].name) == 0)
                return actions[i].run(arguments);
    tool_error("device takes one of measure, show and check");
    return TOOL_USAGE;
}

static const tool_option options[] = {TOOL_POWER_METER, TOOL_JSON, TOOL_QUIET, TOOL_HELP, TOOL_NO_OPTION};

const tool_command tool_command_device = {
    .name = "device",
    .usage = "measure|show|check",
    .summary = "measure this machine's peaks, and see what measures energy",
    .description = "measure: finds, in some seconds, the clock, the most multiply-adds a second in f32 and "
                   "int8, and the bytes a "
                   "second that come from each cache and from main memory, with one thread and with all; and "
                   "keeps them in "
                   "$XDG_CACHE_HOME/lutra/device.json (or ~/.cache/lutra/device.json) for 'lutra profile'. "
                   "Other programs that "
                   "run beside it make the numbers too small. The reference kernels, which are all that "
                   "32-bit Arm has, have no peak that could be measured.\n\n"
                   "show: prints them.\n\n"
                   "check: lists the sources of energy, whether each is found, denied (and how to grant it), "
                   "failed or absent, and what it "
                   "gives in two seconds from its first value on.",
    .examples = "lutra device measure\n"
                "lutra device show --json\n"
                "# which energy can be measured here?\n"
                "lutra device check",
    .options = options,
    .run = run,
};
