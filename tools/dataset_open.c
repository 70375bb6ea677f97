/* SPDX-License-Identifier: Apache-2.0 */
/* Which of the ways in which pictures come with their classes a folder has. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataset.h"
#include "terminal.h"

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
                        : tool_dataset_read_folders(dataset, folder, session, &imagenet, error);
    if (!status)
        status = check(dataset, folder, labels ? labels : folder, error);
    if (status)
        tool_dataset_free(dataset);
    tool_names_free(&imagenet);
    free(beside);
    return status;
}
