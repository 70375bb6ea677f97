/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "cluster.h"
#include "terminal.h"

/* VmHWM of /proc, else what getrusage says. */
uint64_t tool_peak_rss_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    struct rusage usage;
    if (kib == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        kib = (unsigned long long)usage.ru_maxrss;
    return kib * 1024;
}

double tool_relative_error(double squared_error, double squared_weight)
{
    return squared_weight > 0 ? sqrt(squared_error / squared_weight) : 0;
}

static void print_tensors(const lutra_cluster_report *report, bool with_outputs)
{
    int width = 6;
    for (size_t i = 0; i < report->n_tensors; i++) {
        const int length = (int)strlen(report->tensors[i].name);
        width = length > width ? length : width;
    }
    printf("%s%-*s %13s %8s %5s %14s %14s%s\n", tool_bold(stdout), width, "matrix", "shape", "clusters",
           "bits", "weight error", with_outputs ? "output error" : "k-means gap", tool_plain(stdout));
    for (size_t i = 0; i < report->n_tensors; i++) {
        const lutra_tensor_report *tensor = &report->tensors[i];
        char shape[48];
        snprintf(shape, sizeof shape, "%zu x %zu", tensor->n, tensor->k);
        tool_print(stdout, tensor->name);
        printf("%*s %13s %8zu %5zu %12.3f %%", width - (int)strlen(tensor->name), "", shape,
               tensor->n_clusters, tensor->bits,
               100 * tool_relative_error(tensor->squared_error, tensor->squared_weight));
        if (with_outputs && !(tensor->squared_output > 0))
            printf(" %14s\n", "-");
        else
            printf(" %12.4f %%\n", 100 * (with_outputs ? tool_relative_error(tensor->squared_output_error,
                                                                             tensor->squared_output)
                                                       : tensor->optimality_gap));
    }
    putchar('\n');
}

const char *tool_budget_unit_name(lutra_budget_unit unit)
{
    static const char *const names[] = {"none", "bytes", "bits", "kl"};
    return names[unit];
}

/* The points of the curve nearest to whole and half bits. */
static void print_curve(const lutra_cluster_report *report)
{
    printf("%s   bits          file    ratio  KL, estimated%s\n", tool_bold(stdout), tool_plain(stdout));
    for (size_t i = 0; i < report->n_points; i++) {
        const lutra_budget_point *point = &report->curve[i];
        const double half = ceil(2 * point->bits - 1e-9) / 2;
        if (i + 1 < report->n_points && report->curve[i + 1].bits <= half + 1e-9)
            continue;
        printf("%7.2f %13s %7.2fx %14.5f\n", point->bits, tool_bytes(point->bytes).text,
               (double)report->bytes_in / (double)point->bytes, point->kl);
    }
    putchar('\n');
}

static void print_budget(const tool_clustering *clustering)
{
    const lutra_cluster_report *report = clustering->report;
    printf("index        %.3f bits on average, as many for each matrix as its sensitivity is worth\n",
           report->chosen.bits);
    printf("loss         KL %.5f on %zu pictures %s\n", report->chosen.kl, report->n_loss_pictures,
           report->loss_is_of_validation ? "that were not calibrated on"
                                         : "that were calibrated on (none were left over): others lose more");
    if (report->n_rounds > 1)
        printf("rounds       %zu, until the loss was what was asked for\n", report->n_rounds);
}

static void print_weights(const tool_clustering *clustering)
{
    static const char *const scopes[] = {"a codebook per matrix, rows scaled", "a codebook per matrix",
                                         "one codebook for the model"};
    const lutra_cluster_report *report = clustering->report;
    printf("weights      %s in ", tool_count(report->n_clustered).text);
    if (clustering->n_clusters) {
        printf("%zu", clustering->n_clusters);
    } else {
        size_t least = 256, most = 2;
        for (size_t i = 0; i < report->n_tensors; i++) {
            const size_t n = report->tensors[i].n_clusters;
            least = n < least ? n : least;
            most = n > most ? n : most;
        }
        printf("%zu to %zu", least, most);
    }
    printf(" clusters (%s), %.3f bits each with codebooks and scales\n", scopes[clustering->arguments->scope],
           report->bits_per_weight);
}

int tool_cluster_text(const tool_clustering *clustering)
{
    const tool_arguments *arguments = clustering->arguments;
    const lutra_cluster_report *report = clustering->report;
    const size_t n_pictures = clustering->n_pictures;
    if (arguments->errors || arguments->budget_unit)
        print_tensors(report, n_pictures > 0);
    if (arguments->budget_unit)
        print_curve(report);
    printf("before       %10s  ", tool_bytes(report->bytes_in).text);
    tool_print(stdout, arguments->inputs[0]);
    printf("\nafter        %10s  ", tool_bytes(report->bytes_out).text);
    tool_print(stdout, arguments->output);
    printf("\nratio        %s%.2f times smaller%s\n", tool_bold(stdout),
           (double)report->bytes_in / (double)report->bytes_out, tool_plain(stdout));
    print_weights(clustering);
    if (n_pictures)
        printf("calibrated   on %zu pictures\n", n_pictures);
    if (arguments->budget_unit)
        print_budget(clustering);
    printf("error        %.3f %% of the weights' root mean square\n",
           100 * tool_relative_error(report->squared_error, report->squared_weight));
    if (!n_pictures) /* k-means is only where calibration begins */
        printf("optimality   k-means at most %.4f %% above its optimum, before integers and scales of rows\n",
               100 * report->optimality_gap);
    printf("took         %.2f s on %zu thread%s, at most %s in memory\n", report->seconds, report->n_threads,
           report->n_threads == 1 ? "" : "s", tool_bytes(tool_peak_rss_bytes()).text);
    return TOOL_DONE;
}
