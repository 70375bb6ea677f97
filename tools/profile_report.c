/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "json.h"
#include "profile.h"

#define BAR_WIDTH 16

/* A bar of `part` in 0..1, by eighths where the terminal is one, so that small shares can be told apart. */
static void print_bar(double part)
{
    const bool fine = *tool_plain(stdout) != 0;
    const int eighths = (int)lround(part * BAR_WIDTH * 8);
    for (int i = 0; i < BAR_WIDTH; i++) {
        const int here = eighths - 8 * i;
        if (here >= 8)
            fputs(fine ? "\342\226\210" : "#", stdout);
        else if (here > 0 && fine)
            printf("\342\226%c", 0x90 - here); /* U+2588 + 8 - here */
        else if (here >= 4)
            putchar('#');
        else
            putchar(' ');
    }
}

static void print_heading(const profile_result *result, const char *what)
{
    printf("\n%s%-28s %8s %6s %-*s %9s %8s %10s %10s %10s %6s  %-10s%s\n", tool_bold(stdout), what,
           result->is_predicted ? "pred. ms" : "ms", "share", BAR_WIDTH, "", "MACs", "GMAC/s", "weights",
           "activat.", "DRAM", "MAC/B", "roofline", tool_plain(stdout));
}

static void print_roofline(const profile_result *result, const profile_numbers *n)
{
    const char *bound = profile_bound(result, n);
    if (bound)
        printf("%3.0f %% %s", profile_percent(n), bound);
    else
        putchar('?');
}

static void print_row(const profile_result *result, const char *name, const profile_numbers *n)
{
    char shown[29];
    lutra_escape(&name, shown, sizeof shown);
    printf("%-28s %8.3f %5.1f%% ", shown, 1e3 * n->seconds.median, 100 * n->share);
    print_bar(n->share);
    printf(" %9s ", tool_large(n->macs).text);
    if (n->macs)
        printf("%8.1f", profile_gmacs(n));
    else
        printf("%8s", "");
    printf(" %10s %10s ", tool_bytes(n->weight_bytes).text, tool_bytes(n->activation_bytes).text);
    printf("%10s ", result->device->device.n_caches ? tool_bytes(n->dram_bytes).text : "?");
    if (n->macs)
        printf("%6.1f  ", profile_intensity(n));
    else
        printf("%6s  ", "");
    print_roofline(result, n);
    putchar('\n');
}

static void print_groups(const profile_result *result, profile_grouping grouping)
{
    for (size_t i = 0; i < result->n_steps; i++) {
        const lutra_step_info *info = &result->steps[i].info;
        profile_numbers numbers;
        char name[160];
        if (!profile_group(result, grouping, i, &numbers))
            continue;
        if (grouping == PROFILE_BY_KIND)
            snprintf(name, sizeof name, "%s%s%s", info->op, strcmp(info->op, profile_kind(info)) ? " " : "",
                     strcmp(info->op, profile_kind(info)) ? profile_kind(info) : "");
        else if (info->block == LUTRA_NO_BLOCK)
            snprintf(name, sizeof name, "before and behind");
        else
            snprintf(name, sizeof name, "block %zu", info->block);
        print_row(result, name, &numbers);
    }
}

static const char *weights_text(const profile_result *result, char *text, size_t size)
{
    const lutra_model_info *info = result->model->info;
    if (info->n_clusters)
        snprintf(text, size, "%zu clusters", info->n_clusters);
    else
        snprintf(text, size, "dense");
    return text;
}

static void print_energy(const profile_energy *energy)
{
    const lutra_energy *e = &energy->energy;
    if (!energy->is_measured) {
        printf("energy: unavailable (");
        tool_print(stdout, energy->reason);
        printf("); the bare operations take at least %.3g mJ a picture (a lower bound from counts, not "
               "measured)\n",
               energy->lower_bound);
        return;
    }
    printf("energy: %.4g mJ a picture beyond idle (10th to 90th percentile %.4g to %.4g), %.4g with it; idle "
           "%.3g W, "
           "running %.3g W\n        by %s: %s; %.0f seconds\n",
           e->mj, e->mj_p10, e->mj_p90, e->mj_raw, e->idle_watts, e->busy_watts, energy->source, energy->what,
           e->seconds);
    if (isfinite(e->celsius_after))
        printf("        %.0f degrees Celsius before, %.0f after\n", e->celsius_before, e->celsius_after);
    if (isfinite(e->mhz_after))
        printf("        %.0f MHz at the begin of the runs, %.0f at their end\n", e->mhz_before, e->mhz_after);
    if (e->is_throttled)
        printf("        the processor slowed down on the way: cool it, or take a part of the cores\n");
}

static void print_result(const profile_result *result)
{
    char weights[32];
    const lutra_device *device = &result->device->device;
    tool_print_bold(stdout, result->model->info->arch);
    printf(", %s, %s, %zu thread%s, batch %zu on ", weights_text(result, weights, sizeof weights),
           tool_mode_name(result->mode), result->threads, result->threads == 1 ? "" : "s", result->batch);
    tool_print(stdout, device->title);
    printf(" (");
    tool_print(stdout, result->isa);
    printf("): ");
    if (result->is_predicted)
        printf("predicted %.3f ms a run; nothing was run\n", 1e3 * result->seconds.median);
    else
        printf("%.3f ms a run (10th to 90th percentile %.3f to %.3f, %zu runs)\n",
               1e3 * result->seconds.median, 1e3 * result->seconds.p10, 1e3 * result->seconds.p90,
               result->n_runs);
    print_heading(result, "operation");
    print_groups(result, PROFILE_BY_KIND);
    print_row(result, "all", &result->all);
    print_heading(result, "block");
    print_groups(result, PROFILE_BY_BLOCK);
    printf("\nweights: %s that each run must read (compulsory)\n", tool_bytes(result->all.weight_bytes).text);
    if (device->n_caches)
        printf("DRAM: %s from main memory when runs follow each other (modelled: a last cache of %s)\n",
               tool_bytes(result->all.dram_bytes).text,
               tool_bytes(lutra_device_cache_bytes(device, device->n_caches - 1, result->threads)).text);
    if (result->is_counted[PROFILE_MISSES])
        printf("DRAM: %s counted by the hardware (misses of the last cache)\n",
               tool_bytes(result->counted_bytes[PROFILE_MISSES]).text);
    if (result->is_counted[PROFILE_CONTROLLERS])
        printf("DRAM: %s counted by the memory controllers, for whatever program ran meanwhile\n",
               tool_bytes(result->counted_bytes[PROFILE_CONTROLLERS]).text);
    print_energy(&result->energy);
}

static void print_ratio(const profile_result *a, const profile_result *b)
{
    printf("\n%s%.3f times the time of the other, %.3f times the weights' bytes",
           a->is_predicted ? "predicted: " : "", a->seconds.median / b->seconds.median,
           (double)a->all.weight_bytes / (double)b->all.weight_bytes);
    if (a->device->device.n_caches && b->all.dram_bytes)
        printf(", %.3f times the modelled bytes from main memory",
               (double)a->all.dram_bytes / (double)b->all.dram_bytes);
    printf(" (both in %s)\n", tool_mode_name(a->mode));
}

void profile_print_table(const profile_results *results)
{
    for (size_t i = 0; i < results->n; i++) {
        if (i)
            putchar('\n');
        print_result(&results->at[i]);
    }
    if (results->n > 1)
        print_ratio(&results->at[0], &results->at[1]);
}
