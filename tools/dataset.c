/* SPDX-License-Identifier: Apache-2.0 */
#include "dataset.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "terminal.h"

lutra_status tool_dataset_error(lutra_error *error, const char *path, const char *format, ...)
{
    *error = (lutra_error){.status = LUTRA_ERROR_FORMAT, .offset = LUTRA_NO_OFFSET};
    snprintf(error->path, sizeof error->path, "%s", path);
    const int used = snprintf(error->message, sizeof error->message, "%s: ", error->path);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message + used, sizeof error->message - (size_t)used, format, arguments);
    va_end(arguments);
    return LUTRA_ERROR_FORMAT;
}

lutra_status tool_dataset_add(tool_dataset *dataset, const char *path, size_t truth, lutra_error *error)
{
    const size_t n = dataset->files.n;
    /* Grown at powers of two, beside the list of files. */
    if ((n & (n - 1)) == 0) {
        size_t *larger = realloc(dataset->truth, (n ? 2 * n : 1) * sizeof *larger);
        if (!larger)
            return tool_io_error(error, path, "list it", ENOMEM);
        dataset->truth = larger;
    }
    dataset->truth[n] = truth;
    return tool_files_add(&dataset->files, path) ? LUTRA_OK : tool_io_error(error, path, "list it", ENOMEM);
}

void tool_dataset_free(tool_dataset *dataset)
{
    tool_files_free(&dataset->files);
    free(dataset->truth);
    *dataset = (tool_dataset){0};
}

size_t tool_class_find(const tool_session *session, const tool_names *imagenet, const char *text,
                       size_t *index)
{
    const size_t n_classes = session->info->n_classes;
    size_t n_found = 0;
    char *end;
    if (text[0] >= '0' && text[0] <= '9') {
        const unsigned long long number = strtoull(text, &end, 10);
        if (!*end) {
            *index = (size_t)number;
            return number < n_classes;
        }
    }
    for (size_t i = 0; i < n_classes; i++) {
        const char *label = lutra_model_label(session->model, i);
        if (!label)
            break;
        if (strcmp(label, text) == 0) {
            *index = i;
            n_found++;
        }
    }
    for (size_t i = 0; i < imagenet->n && i < n_classes && !n_found; i++)
        if (imagenet->wnid[i] && strcmp(imagenet->wnid[i], text) == 0) {
            *index = i;
            n_found = 1;
        }
    return n_found;
}

/* ---- one folder per class ---------------------------------------------------------------------- */

static lutra_status add_class(tool_dataset *dataset, const char *folder, const char *name, size_t truth,
                              lutra_error *error)
{
    tool_files pictures = {0};
    char *path = tool_join(folder, name);
    lutra_status status = path ? tool_files_add_folder(&pictures, path, false, error)
                               : tool_io_error(error, folder, "list it", ENOMEM);
    for (size_t i = 0; !status && i < pictures.n; i++)
        status = tool_dataset_add(dataset, pictures.paths[i], truth, error);
    tool_files_free(&pictures);
    free(path);
    return status;
}

/* A folder's class by its name; a bare number is no name here, as sorted folders "0", "1", "10" are common.
 */
static bool named_class(const tool_session *session, const tool_names *imagenet, const char *name,
                        size_t *index)
{
    return name[strspn(name, "0123456789")] != 0 && tool_class_find(session, imagenet, name, index) == 1;
}

static lutra_status read_folders(tool_dataset *dataset, const char *folder, const tool_session *session,
                                 const tool_names *imagenet, lutra_error *error)
{
    tool_files names = {0};
    size_t index, n_named = 0;
    const char *stranger = NULL;
    const size_t n_classes = session->info->n_classes;
    lutra_status status = tool_files_add_subfolders(&names, folder, error);
    if (!status && names.n == 0)
        status = tool_dataset_error(
            error, folder, "holds no folders of classes; --labels FILE can tell the pictures' classes");
    for (size_t i = 0; !status && i < names.n; i++)
        if (named_class(session, imagenet, names.paths[i], &index))
            n_named++;
        else
            stranger = names.paths[i];
    if (!status && n_named && stranger)
        status =
            tool_dataset_error(error, folder,
                               "%zu of its %zu folders are named as classes of the model, but '%.200s' is "
                               "not, or as several; --labels FILE can tell the pictures' classes",
                               n_named, names.n, stranger);
    if (!status && stranger && names.n != n_classes)
        status =
            tool_dataset_error(error, folder,
                               "its %zu folders are neither named as classes of the model nor as many as its "
                               "%zu classes; --labels FILE can tell the pictures' classes",
                               names.n, n_classes);
    const bool by_name = !stranger;
    for (size_t i = 0; !status && i < names.n; i++) {
        index = i;
        if (by_name)
            named_class(session, imagenet, names.paths[i], &index);
        status = add_class(dataset, folder, names.paths[i], index, error);
    }
    snprintf(dataset->order, sizeof dataset->order, "%zu folders, %s", names.n,
             by_name ? "each named as its class (or its ImageNet wnid)"
                     : "taken in sorted order as classes 0, 1, ... (as torchvision's ImageFolder does)");
    tool_files_free(&names);
    return status;
}

/* ---- either ------------------------------------------------------------------------------------ */

static lutra_status check(const tool_dataset *dataset, const char *folder, const char *labels,
                          lutra_error *error)
{
    size_t n_there = 0;
    if (dataset->files.n == 0)
        return tool_dataset_error(error, folder, "holds no pictures (.jpg, .jpeg, .png or .webp)");
    for (size_t i = 0; i < dataset->files.n && !n_there; i++)
        n_there += access(dataset->files.paths[i], R_OK) == 0;
    if (n_there == 0)
        return tool_dataset_error(error, labels, "none of the %zu pictures it names is in %s",
                                  dataset->files.n, folder);
    return LUTRA_OK;
}

/* "folder/labels.tsv", allocated -> `labels`; NULL where there is none. */
static lutra_status find_labels(const char *folder, char **labels, lutra_error *error)
{
    struct stat info;
    char *path = tool_join(folder, "labels.tsv");
    lutra_status status = LUTRA_OK;
    *labels = NULL;
    if (!path)
        return tool_io_error(error, folder, "read the folder", ENOMEM);
    if (lstat(path, &info) != 0) /* a link that leads nowhere is there */
        status = errno == ENOENT ? LUTRA_OK : tool_io_error(error, path, "examine it", errno);
    else if (stat(path, &info) != 0)
        status = tool_io_error(error, path, "examine it", errno);
    else if (S_ISREG(info.st_mode)) /* a FIFO in its place would not end */
        *labels = path;
    if (!*labels)
        free(path);
    return status;
}

lutra_status tool_dataset_open(tool_dataset *dataset, const tool_arguments *arguments,
                               const tool_session *session, lutra_error *error)
{
    const char *folder = arguments->images, *labels = arguments->truth;
    char *beside = NULL;
    tool_names imagenet;
    *dataset = (tool_dataset){0};
    if (!tool_is_folder(folder))
        return tool_io_error(error, folder, "read the folder", access(folder, F_OK) ? errno : ENOTDIR);
    lutra_status status = tool_imagenet_names(session->info, &imagenet, error);
    if (status == LUTRA_ERROR_UNSUPPORTED)
        status = LUTRA_OK; /* then wnids tell no classes */
    if (!status && !labels) {
        status = find_labels(folder, &beside, error);
        labels = beside;
    }
    if (!status)
        status = labels ? tool_dataset_read_labels(dataset, labels, folder, session, &imagenet, error)
                        : read_folders(dataset, folder, session, &imagenet, error);
    if (!status)
        status = check(dataset, folder, labels ? labels : folder, error);
    if (status)
        tool_dataset_free(dataset);
    tool_names_free(&imagenet);
    free(beside);
    return status;
}
