/* SPDX-License-Identifier: Apache-2.0 */
/* What the numbers of steps say: bytes, the roofline (Williams et al. 2009), steps that belong together. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "profile.h"

double profile_gmacs(const profile_numbers *numbers)
{
    return 1e-9 * (double)numbers->macs / numbers->seconds.median;
}

double profile_intensity(const profile_numbers *numbers)
{
    return (double)numbers->macs / (double)(numbers->weight_bytes + numbers->activation_bytes);
}

double profile_percent(const profile_numbers *numbers)
{
    double least = 0;
    for (size_t i = 0; i < PROFILE_MAX_BOUNDS; i++)
        least += numbers->roofline[i];
    return least > 0 ? 100 * least / numbers->seconds.median : NAN;
}

const char *profile_kind(const lutra_step_info *info)
{
    const char *name = info->name;
    if (info->block == LUTRA_NO_BLOCK)
        return name;
    for (int dots = 0; *name && dots < 2; name++)
        dots += *name == '.';
    return name;
}

/* ---- the roofline ------------------------------------------------------------------------------ */

double profile_peak_macs(const lutra_device *device, lutra_mode mode, size_t threads)
{
    const double macs = mode == LUTRA_MODE_INT8   ? device->macs_per_cycle_i8
                        : mode == LUTRA_MODE_BF16 ? device->macs_per_cycle_bf16
                                                  : device->macs_per_cycle_f32;
    return macs * lutra_device_cycles(device, threads);
}

const char *profile_bound(const profile_result *result, const profile_numbers *numbers)
{
    static const char *const caches[LUTRA_MAX_CACHES] = {"L1", "L2", "L3", "L4"};
    size_t longest = 0;
    for (size_t i = 1; i < PROFILE_MAX_BOUNDS; i++)
        longest = numbers->roofline[i] > numbers->roofline[longest] ? i : longest;
    if (!(numbers->roofline[longest] > 0))
        return NULL;
    return longest == 0 ? "compute" : longest < result->device->device.n_caches ? caches[longest] : "DRAM";
}

/* What takes the longest of arithmetic and of what each cache misses. */
static void bind_step(const profile_result *result, profile_step *step,
                      const uint64_t *bytes /* [n_caches] */)
{
    const lutra_device *device = &result->device->device;
    const lutra_mode mode = lutra_step_mode(&step->info, result->mode);
    double longest = (double)step->numbers.macs / profile_peak_macs(device, mode, result->threads);
    size_t bound = 0;
    for (size_t cache = 0; cache < device->n_caches; cache++) {
        const double rate = lutra_device_bandwidth(device, cache + 1, result->threads);
        const double seconds = rate > 0 ? (double)bytes[cache] / rate : 0;
        bound = seconds > longest ? cache + 1 : bound;
        longest = fmax(seconds, longest);
    }
    step->numbers.roofline[bound] = longest;
}

int profile_complete(profile_result *result)
{
    const lutra_device *device = &result->device->device;
    uint64_t *traffic = calloc(device->n_caches * result->n_steps + 1, sizeof *traffic);
    double sum = 0;
    lutra_error error;
    if (!traffic)
        return tool_out_of_memory();
    for (size_t cache = 0; cache < device->n_caches; cache++)
        if (lutra_model_traffic(result->model->model, result->mode, result->batch,
                                lutra_device_cache_bytes(device, cache, result->threads),
                                traffic + cache * result->n_steps, &error) ||
            tool_interrupted()) {
            free(traffic);
            return tool_fail(&error);
        }
    for (size_t i = 0; i < result->n_steps; i++)
        sum += result->steps[i].numbers.seconds.median;
    for (size_t i = 0; i < result->n_steps; i++) {
        profile_step *step = &result->steps[i];
        uint64_t bytes[LUTRA_MAX_CACHES] = {0};
        profile_numbers *n = &step->numbers;
        for (size_t cache = 0; cache < device->n_caches; cache++)
            bytes[cache] = traffic[cache * result->n_steps + i];
        n->n_steps = 1;
        n->share = n->seconds.median / sum;
        n->macs = step->info.macs * result->batch;
        n->weight_bytes = step->info.weight_bytes;
        n->activation_bytes = (step->info.read_bytes + step->info.written_bytes) * result->batch;
        n->dram_bytes = device->n_caches ? bytes[device->n_caches - 1] : 0;
        if (result->device->is_measured)
            bind_step(result, step, bytes);
    }
    profile_group(result, PROFILE_ALL, 0, &result->all);
    free(traffic);
    return TOOL_DONE;
}

/* ---- steps together ---------------------------------------------------------------------------- */

static void add(profile_numbers *sum, const profile_numbers *step)
{
    sum->n_steps++;
    sum->seconds.median += step->seconds.median;
    sum->share += step->share;
    sum->macs += step->macs;
    sum->weight_bytes += step->weight_bytes;
    sum->activation_bytes += step->activation_bytes;
    sum->dram_bytes += step->dram_bytes;
    for (size_t i = 0; i < PROFILE_MAX_BOUNDS; i++)
        sum->roofline[i] += step->roofline[i];
}

static bool is_alike(const profile_step *a, const profile_step *b, profile_grouping grouping)
{
    switch (grouping) {
    case PROFILE_ALL:
        return true;
    case PROFILE_BY_BLOCK:
        return a->info.block == b->info.block;
    case PROFILE_BY_KIND:
        break;
    }
    return strcmp(a->info.op, b->info.op) == 0 && strcmp(profile_kind(&a->info), profile_kind(&b->info)) == 0;
}

size_t profile_group(const profile_result *result, profile_grouping grouping, size_t from,
                     profile_numbers *numbers)
{
    const profile_step *first = &result->steps[from];
    *numbers = (profile_numbers){0};
    for (size_t i = 0; i < from; i++)
        if (is_alike(first, &result->steps[i], grouping))
            return 0;
    for (size_t i = from; i < result->n_steps; i++)
        if (is_alike(first, &result->steps[i], grouping))
            add(numbers, &result->steps[i].numbers);
    return numbers->n_steps;
}
