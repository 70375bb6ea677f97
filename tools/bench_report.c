/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "bench.h"
#include "json.h"

double bench_gmacs(const bench_result *result)
{
    const double macs = (double)result->model->info->macs * (double)result->settings.batch;
    return 1e-9 * macs / result->seconds.median;
}

double bench_percent_of_peak(const bench_result *result)
{
    return result->peak_gmacs > 0 ? 100 * bench_gmacs(result) / result->peak_gmacs : NAN;
}

static double images_per_second(const bench_result *result)
{
    return (double)result->settings.batch / result->seconds.median;
}

/* What the first picture costs more than a later one. */
static double start_up(const bench_result *result)
{
    return result->probe.start - result->probe.later;
}

/* ---- JSON -------------------------------------------------------------------------------------- */

static json_t *ratios_json(const bench_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->n_ratios; i++) {
        const bench_ratio *ratio = &result->ratios[i];
        json_t *json = json_object();
        json_object_set_new(json, "dense_mode", json_string(tool_mode_name(ratio->dense_mode)));
        json_object_set_new(json, "median", tool_json_real(ratio->ratio.median));
        json_object_set_new(json, "low", tool_json_real(ratio->ratio.low));
        json_object_set_new(json, "high", tool_json_real(ratio->ratio.high));
        json_object_set_new(json, "pairs", tool_json_size(result->n_runs));
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *parts_json(const bench_result *result)
{
    json_t *list = json_array();
    for (size_t i = 0; i < result->n_parts; i++) {
        const bench_part *part = &result->parts[i];
        json_t *json = json_object();
        json_object_set_new(json, "seconds", tool_json_real(part->end));
        json_object_set_new(json, "median_ms", tool_json_real(1e3 * part->median));
        json_object_set_new(json, "peak_gmacs",
                            part->peak_gmacs > 0 ? tool_json_real(part->peak_gmacs) : json_null());
        json_object_set_new(json, "runs", tool_json_size(part->n_runs));
        json_array_append_new(list, json);
    }
    return list;
}

static json_t *result_json(const bench_result *result, const tool_arguments *arguments)
{
    json_t *json = json_object();
    const lutra_model_info *info = result->model->info;
    json_object_set_new(json, "arch", tool_json_text(info->arch));
    json_object_set_new(json, "clusters", tool_json_size(info->n_clusters));
    json_object_set_new(json, "mode", json_string(tool_mode_name(result->settings.mode)));
    json_object_set_new(json, "mode_source", json_string(result->chose_mode ? "auto" : "option"));
    json_object_set_new(json, "batch", tool_json_size(result->settings.batch));
    json_object_set_new(json, "median_ms", tool_json_real(1e3 * result->seconds.median));
    json_object_set_new(json, "p10_ms", tool_json_real(1e3 * result->seconds.p10));
    json_object_set_new(json, "p90_ms", tool_json_real(1e3 * result->seconds.p90));
    json_object_set_new(json, "runs", tool_json_size(result->n_runs));
    json_object_set_new(json, "images_per_second", tool_json_real(images_per_second(result)));
    json_object_set_new(json, "gmacs", tool_json_real(bench_gmacs(result)));
    json_object_set_new(json, "peak_gmacs",
                        result->peak_gmacs > 0 ? tool_json_real(result->peak_gmacs) : json_null());
    json_object_set_new(json, "percent_of_peak", tool_json_real(bench_percent_of_peak(result)));
    json_object_set_new(json, "start_ms", tool_json_real(1e3 * result->probe.start));
    json_object_set_new(json, "later_ms", tool_json_real(1e3 * result->probe.later));
    json_object_set_new(json, "rss_bytes", tool_json_size(result->probe.rss_bytes));
    json_object_set_new(json, "weight_bytes", tool_json_size(result->weight_bytes));
    json_object_set_new(json, "file_bytes", tool_json_size(info->file_bytes));
    json_object_set_new(json, "cold", json_boolean(arguments->cold));
    json_object_set_new(json, "contend", tool_json_size(arguments->contend));
    if (arguments->contend)
        json_object_set_new(json, "contend_gb_per_second", tool_json_real(1e-9 * result->contention));
    if (result->n_ratios)
        json_object_set_new(json, "over_dense", ratios_json(result));
    if (result->n_parts)
        json_object_set_new(json, "parts", parts_json(result));
    tool_json_machine(json, result->settings.threads, result->isa);
    return json;
}

int bench_print_json(const bench_results *results, const tool_arguments *arguments)
{
    json_t *list = json_array();
    for (size_t i = 0; i < results->n; i++)
        json_array_append_new(list, result_json(&results->at[i], arguments));
    return tool_json_print(list, false);
}

/* ---- text -------------------------------------------------------------------------------------- */

static tool_text clusters_text(const bench_result *result)
{
    tool_text text;
    if (result->model->info->n_clusters)
        snprintf(text.text, sizeof text.text, "%zu", result->model->info->n_clusters);
    else
        snprintf(text.text, sizeof text.text, "dense");
    return text;
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (double)(1u << 20);
}

static void print_row(const bench_result *result)
{
    const bench_settings *settings = &result->settings;
    const double percent = bench_percent_of_peak(result);
    tool_text peak = {"?"};
    if (isfinite(percent))
        snprintf(peak.text, sizeof peak.text, "%.0f %%", percent);
    printf("  %8s  %-5s %7zu %6zu %9.2f %7.2f %7.2f %9.1f %7.1f %7s %9.1f %8.2f %11.2f\n",
           clusters_text(result).text, tool_mode_name(settings->mode), settings->threads, settings->batch,
           1e3 * result->seconds.median, 1e3 * result->seconds.p10, 1e3 * result->seconds.p90,
           images_per_second(result), bench_gmacs(result), peak.text, 1e3 * start_up(result),
           mib(result->probe.rss_bytes), mib(result->weight_bytes));
}

static void print_ratio(const bench_result *result, const bench_ratio *ratio)
{
    const bench_settings *settings = &result->settings;
    const tool_interval *r = &ratio->ratio;
    printf("  %s clusters in %s over dense in %s, %zu thread%s, batch %zu: %.3f times the time",
           clusters_text(result).text, tool_mode_name(settings->mode), tool_mode_name(ratio->dense_mode),
           settings->threads, settings->threads == 1 ? "" : "s", settings->batch, r->median);
    if (isfinite(r->low))
        printf(", 95 %% interval %.3f to %.3f", r->low, r->high);
    printf(" (%zu pairs)\n", result->n_runs);
}

void bench_print_table(const bench_results *results, const tool_arguments *arguments)
{
    const bench_result *first = &results->at[0];
    tool_print_bold(stdout, first->model->info->arch);
    printf(": %s multiply-adds an image, %s parameters; %s%s\n", tool_large(first->model->info->macs).text,
           tool_count(first->model->info->n_parameters).text, first->isa,
           arguments->cold ? "; caches emptied before each run" : "");
    if (arguments->contend)
        printf("beside %zu thread%s that read%s %.1f GB/s from memory\n", arguments->contend,
               arguments->contend == 1 ? "" : "s", arguments->contend == 1 ? "s" : "",
               1e-9 * first->contention);
    printf("  %8s  %-5s %7s %6s %9s %7s %7s %9s %7s %7s %9s %8s %11s\n", "clusters", "mode", "threads",
           "batch", "ms a run", "p10", "p90", "images/s", "GMAC/s", "of peak", "start ms", "own MiB",
           "weights");
    for (size_t i = 0; i < results->n; i++)
        print_row(&results->at[i]);
    for (size_t i = 0; i < results->n; i++)
        for (size_t j = 0; j < results->at[i].n_ratios; j++)
            print_ratio(&results->at[i], &results->at[i].ratios[j]);
}

void bench_print_part(const bench_result *result, const bench_part *part)
{
    const bench_part *first = &result->parts[0];
    printf("%7.0f s  %5s %-5s %8.2f ms  %8.1f images/s  %+6.1f %% against the first", part->end,
           clusters_text(result).text, tool_mode_name(result->settings.mode), 1e3 * part->median,
           (double)result->settings.batch / part->median, 100 * (part->median / first->median - 1));
    if (part->peak_gmacs > 0)
        printf("; peak %.1f GMAC/s (%+.1f %%)", part->peak_gmacs,
               100 * (part->peak_gmacs / first->peak_gmacs - 1));
    putchar('\n');
    fflush(stdout);
}
