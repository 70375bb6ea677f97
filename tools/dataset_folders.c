/* SPDX-License-Identifier: Apache-2.0 */
/* One folder of pictures per class. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"
#include "terminal.h"

static lutra_status add_class(tool_dataset *dataset, const char *folder, const char *name, size_t truth,
                              lutra_error *error)
{
    tool_files pictures = {0};
    char *path = tool_join(folder, name);
    lutra_status status = path ? tool_files_add_folder(&pictures, path, error)
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

lutra_status tool_dataset_read_folders(tool_dataset *dataset, const char *folder, const tool_session *session,
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
