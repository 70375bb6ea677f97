/* SPDX-License-Identifier: Apache-2.0 */
/* What cluster has done, and the ways to tell it. */
#ifndef LUTRA_TOOLS_CLUSTER_H
#define LUTRA_TOOLS_CLUSTER_H

#include "command.h"

typedef struct tool_clustering {
    const tool_arguments *arguments;
    size_t n_clusters;               /* 0: a budget */
    size_t n_pictures, n_validation; /* calibrated on, judged on */
    const char *isa;                 /* the level of kernels */
    const lutra_cluster_report *report;
} tool_clustering;

/* All print on standard output, or write arguments->report, and return the exit status. */
int tool_cluster_text(const tool_clustering *clustering);
int tool_cluster_json(const tool_clustering *clustering);
int tool_cluster_write_report(const tool_clustering *clustering);

/* The sensitivities in arguments->report, where it is a report with the same scope and codebook: for
 * lutra_cluster_options.known. False where it has none; free with lutra_cluster_report_free. */
bool tool_cluster_read_report(const tool_arguments *arguments, lutra_cluster_report *known);

/* Root mean square of an error over that of what it is the error of. */
double tool_relative_error(double squared_error, double squared);

/* The most memory this process ever held. */
uint64_t tool_peak_rss_bytes(void);

/* "bytes", "bits", "kl". */
const char *tool_budget_unit_name(lutra_budget_unit unit);

#endif
