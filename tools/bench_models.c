/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "inputs.h"

#define DEFAULT_CLUSTERS 64

/* Writes a model to `path`. */
typedef struct maker {
    lutra_status (*make)(const struct maker *maker, const char *path, lutra_error *error);
    const char *source; /* a file to begin with */
    const tool_arguments *arguments;
    size_t n_clusters;
    tool_progress *progress;
    lutra_dtype dtype; /* of dense weights */
} maker;

static lutra_status make_random(const maker *m, const char *path, lutra_error *error)
{
    return lutra_random_file(m->arguments->model.arch, m->arguments->seed, path, tool_progress_update,
                             m->progress, error);
}

static lutra_status make_clustered(const maker *m, const char *path, lutra_error *error)
{
    const lutra_cluster_options options = {.n_clusters = m->n_clusters,
                                           .model = {.arch = m->arguments->model.arch},
                                           .progress = tool_progress_update,
                                           .progress_user = m->progress};
    return lutra_cluster_file(m->source, path, &options, NULL, error);
}

static lutra_status make_dense(const maker *m, const char *path, lutra_error *error)
{
    return lutra_export_file(m->source, path, m->dtype, tool_progress_update, m->progress, error);
}

/* Makes a file in a new folder below `where`, opens it and takes its name away. */
static lutra_status make_in(const char *where, const maker *m, int *descriptor, lutra_error *error)
{
    char *folder = tool_join(where, "lutra-bench-XXXXXX"), *path = NULL;
    lutra_status status = LUTRA_OK;
    *descriptor = -1;
    if (!folder || !mkdtemp(folder)) {
        status = tool_io_error(error, where, "make a folder in it", folder ? errno : ENOMEM);
        free(folder);
        return status;
    }
    path = tool_join(folder, "model.safetensors");
    status = path ? m->make(m, path, error) : tool_io_error(error, folder, "name a file in it", ENOMEM);
    if (path && status == LUTRA_OK) {
        *descriptor = open(path, O_RDONLY | O_CLOEXEC);
        if (*descriptor < 0)
            status = tool_io_error(error, path, "open it", errno);
    }
    if (path)
        unlink(path);
    rmdir(folder);
    free(path);
    free(folder);
    return status;
}

static int open_model(bench_model *model)
{
    lutra_error error;
    if (lutra_model_open(model->path, &model->options, &model->model, &error))
        return tool_fail(&error);
    model->info = lutra_model_get_info(model->model);
    return TOOL_DONE;
}

/* In memory where there is a file system for it with room; where one cannot be written, the next is tried. */
static int add_temporary(bench_models *models, const maker *m)
{
    const char *const places[] = {getenv("TMPDIR"), "/dev/shm", "/tmp"};
    bench_model *model = &models->at[models->n];
    lutra_status status = LUTRA_ERROR_IO;
    lutra_error error = {0};
    char path[64];
    *model = (bench_model){.file = -1, .options.image_size = m->arguments->model.image_size};
    tool_progress_begin(m->progress, m->arguments, "preparing");
    for (size_t i = 0; i < sizeof places / sizeof *places && status == LUTRA_ERROR_IO; i++)
        if (places[i] && *places[i])
            status = make_in(places[i], m, &model->file, &error);
    tool_progress_hide(m->progress);
    if (status)
        return tool_fail(&error);
    models->n++;
    snprintf(path, sizeof path, "/proc/self/fd/%d", model->file);
    model->path = strdup(path);
    return model->path ? open_model(model) : tool_out_of_memory();
}

int bench_models_add(bench_models *models, const char *path, const lutra_model_options *options)
{
    bench_model *model = &models->at[models->n++];
    *model = (bench_model){.file = -1, .path = strdup(path), .options = *options};
    return model->path ? open_model(model) : tool_out_of_memory();
}

/* The first model, which is dense, becomes the last; before it come clusterings of it. */
static int cluster_first(bench_models *models, const tool_arguments *arguments, const tool_list *clusters,
                         tool_progress *progress)
{
    const bench_model dense = models->at[0];
    int result = TOOL_DONE;
    models->n = 0;
    for (size_t i = 0; i < clusters->n && !result; i++) {
        const maker m = {make_clustered, dense.path, arguments, clusters->at[i], progress, LUTRA_F32};
        result = add_temporary(models, &m);
    }
    models->at[models->n++] = dense;
    return result;
}

static void close_model(bench_model *model)
{
    lutra_model_close(model->model);
    if (model->file >= 0)
        close(model->file);
    free(model->path);
}

/* A clustered model is timed as it is; with --dense also as what it decodes to. */
static int complete_clustered(bench_models *models, const tool_arguments *arguments, tool_progress *progress)
{
    if (arguments->clusters_list.n) {
        tool_error("%s: its weights are clustered already; --clusters goes with a dense model",
                   models->at[0].path);
        return TOOL_USAGE;
    }
    if (!arguments->dense)
        return TOOL_DONE;
    const maker m = {make_dense, models->at[0].path, arguments, 0, progress, LUTRA_F32};
    return add_temporary(models, &m);
}

static int complete_dense(bench_models *models, const tool_arguments *arguments, tool_progress *progress)
{
    const bool given = arguments->n_inputs > 0;
    tool_list clusters = arguments->clusters_list;
    if (clusters.n == 0 && (!given || arguments->dense))
        clusters = (tool_list){.at = {DEFAULT_CLUSTERS}, .n = 1};
    if (clusters.n == 0)
        return TOOL_DONE;
    const int result = cluster_first(models, arguments, &clusters, progress);
    if (!arguments->dense)
        close_model(&models->at[--models->n]);
    return result;
}

bool bench_check_seed(const tool_arguments *arguments)
{
    const bool idle = arguments->given[TOOL_SEED] && arguments->n_inputs;
    if (idle)
        tool_error("--seed is of random weights; %s has its own", arguments->inputs[0]);
    return !idle;
}

int bench_models_open(bench_models *models, const tool_arguments *arguments, tool_progress *progress)
{
    *models = (bench_models){.n = 0};
    const maker m = {make_random, NULL, arguments, 0, progress, LUTRA_F32};
    const int result = arguments->n_inputs ? bench_models_add(models, arguments->inputs[0], &arguments->model)
                                           : add_temporary(models, &m);
    if (result)
        return result;
    return models->at[0].info->n_clustered ? complete_clustered(models, arguments, progress)
                                           : complete_dense(models, arguments, progress);
}

int bench_models_add_dense(bench_models *models, lutra_dtype dtype, const tool_arguments *arguments,
                           tool_progress *progress)
{
    const maker m = {make_dense, models->at[models->n - 1].path, arguments, 0, progress, dtype};
    return add_temporary(models, &m);
}

void bench_models_close(bench_models *models)
{
    for (size_t i = 0; i < models->n; i++)
        close_model(&models->at[i]);
    models->n = 0;
}
