/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "inspect.h"
#include "json.h"
#include "terminal.h"

#define MAX_NAME_WIDTH 56

/* `text` padded to `width`. */
static void print_name(const char *text, int width)
{
    const int length = (int)strlen(text);
    tool_print(stdout, text);
    printf("%*s", length < width ? width - length : 0, "");
}

static int wider(int width, const char *text)
{
    const int length = (int)strlen(text);
    return length > MAX_NAME_WIDTH || length < width ? width : length;
}

static void shape_text(const lutra_tensor_info *tensor, char *text, size_t size)
{
    size_t used = 0;
    snprintf(text, size, "scalar");
    for (size_t i = 0; i < tensor->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, i ? "x" : "", tensor->shape[i]);
}

static void print_tensors(const lutra_tensor_file *file)
{
    const size_t n = lutra_tensor_file_n_tensors(file);
    int width = 6;
    for (size_t i = 0; i < n; i++)
        width = wider(width, lutra_tensor_file_tensor(file, i)->name);
    printf("%s%-*s  %16s  %-8s %8s %5s %7s %13s%s\n", tool_bold(stdout), width, "tensor", "shape", "type",
           "clusters", "bits", "scope", "bytes", tool_plain(stdout));
    for (size_t i = 0; i < n; i++) {
        const lutra_tensor_info *tensor = lutra_tensor_file_tensor(file, i);
        char shape[LUTRA_MAX_RANK * 21 + 1];
        shape_text(tensor, shape, sizeof shape);
        print_name(tensor->name, width);
        printf("  %16s  %-8s ", shape, lutra_dtype_name(tensor->dtype));
        if (tensor->n_clusters)
            printf("%8zu %5zu %7s", tensor->n_clusters, tensor->bits, tensor->scope);
        else
            printf("%8s %5s %7s", "-", "-", "-");
        printf(" %13s\n", tool_count(tensor->bytes).text);
    }
}

static void print_preprocessing(const lutra_preprocessing *p)
{
    static const char *const what[] = {"shorter side", "both sides", "longer side"};
    printf("pictures      %zux%zu pixels: ", p->width, p->height);
    if (p->resize_height && p->resize_width)
        printf("resized to %zux%zu", p->resize_width, p->resize_height);
    else if (p->resize_height)
        printf("%s resized to %zu", what[p->crop_mode], p->resize_height);
    else
        printf("%s resized to %.0f (crop_pct %g)", what[p->crop_mode], floor((double)p->height / p->crop_pct),
               p->crop_pct);
    printf(", %s, %s crop\n", tool_resample_name(p->resample), tool_crop_name(p->crop_mode));
    printf("              mean %g %g %g, deviation %g %g %g\n", (double)p->mean[0], (double)p->mean[1],
           (double)p->mean[2], (double)p->std[0], (double)p->std[1], (double)p->std[2]);
}

static void print_model(const tool_inspection *inspection)
{
    if (!inspection->model) {
        printf("model         none that runs: ");
        tool_print(stdout, inspection->no_model.message);
        putchar('\n');
        return;
    }
    const lutra_model_info *info = lutra_model_get_info(inspection->model);
    printf("architecture  ");
    tool_print_bold(stdout, info->arch);
    printf(" (family %s, known by %s%s)\n", info->family,
           strcmp(info->arch_source, "shapes") == 0 ? "" : "its ", info->arch_source);
    printf(
        "              depth %zu, width %zu, %zu heads, MLP %zu, patches %zux%zu, %zu tokens (%zu of them no "
        "patches)\n",
        info->depth, info->dim, info->n_heads, info->mlp_dim, info->patch_size, info->patch_size,
        info->n_tokens, info->n_prefix_tokens);
    if (info->n_classes) {
        const char *first = lutra_model_label(inspection->model, 0);
        printf("classes       %s, %s\n", tool_count(info->n_classes).text, first ? "named" : "without names");
    } else {
        printf("classes       none: %zu features\n", info->n_features);
    }
    print_preprocessing(&info->preprocessing);
    printf("a run         %sMACs per picture\n", tool_large(info->macs).text);
    printf("parameters    %s, %s of them clustered\n", tool_count(info->n_parameters).text,
           tool_count(info->n_clustered).text);
    if (info->n_copied_tensors)
        printf("copied        %zu tensors lie unaligned in the file and are copied to memory when it is "
               "opened\n",
               info->n_copied_tensors);
}

static void print_totals(const tool_inspection *inspection)
{
    const tool_totals totals = tool_inspect_totals(inspection);
    printf("tensors       %zu, %s", totals.n_tensors, tool_bytes(totals.bytes).text);
    if (totals.elements)
        printf(", %.3f bits per number", 8 * (double)totals.bytes / (double)totals.elements);
    putchar('\n');
    if (totals.n_clustered_tensors)
        printf("clustered     %zu, %s, %.3f bits per weight with codebooks and scales\n",
               totals.n_clustered_tensors, tool_bytes(totals.clustered_bytes).text,
               8 * (double)totals.clustered_bytes / (double)totals.clustered_elements);
    if (inspection->arguments->verify)
        printf("verified      every index lies within its codebook\n");
}

static int print_plan(const lutra_model *model)
{
    const size_t n = lutra_model_n_steps(model);
    lutra_error error;
    lutra_step_info step, sum = {0};
    int width = 5;
    for (size_t i = 0; i < n; i++) {
        if (lutra_model_step(model, i, &step, &error))
            return tool_fail(&error);
        width = wider(width, step.name);
    }
    printf("\n%s%-4s %-16s %-*s %20s %10s %11s %11s %11s%s\n", tool_bold(stdout), "step", "operation", width,
           "name", "size", "MACs", "weights", "read", "written", tool_plain(stdout));
    for (size_t i = 0; i < n; i++) {
        char size[72];
        if (lutra_model_step(model, i, &step, &error))
            return tool_fail(&error);
        if (step.k)
            snprintf(size, sizeof size, "%zux%zux%zu", step.m, step.n, step.k);
        else
            snprintf(size, sizeof size, "%zux%zu", step.m, step.n);
        printf("%4zu %-16s ", i, step.op);
        print_name(step.name ? step.name : "", width);
        printf(" %20s %10s %11s %11s %11s\n", size, tool_large(step.macs).text,
               tool_bytes(step.weight_bytes).text, tool_bytes(step.read_bytes).text,
               tool_bytes(step.written_bytes).text);
        sum.macs += step.macs;
        sum.weight_bytes += step.weight_bytes;
        sum.read_bytes += step.read_bytes;
        sum.written_bytes += step.written_bytes;
    }
    printf("%s%-21s %-*s %20s %10s %11s %11s %11s%s\n", tool_bold(stdout), "all", width, "", "",
           tool_large(sum.macs).text, tool_bytes(sum.weight_bytes).text, tool_bytes(sum.read_bytes).text,
           tool_bytes(sum.written_bytes).text, tool_plain(stdout));
    return TOOL_DONE;
}

int tool_inspect_text(const tool_inspection *inspection)
{
    print_tensors(inspection->file);
    putchar('\n');
    print_totals(inspection);
    print_model(inspection);
    return inspection->arguments->plan ? print_plan(inspection->model) : TOOL_DONE;
}
