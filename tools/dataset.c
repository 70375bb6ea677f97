/* SPDX-License-Identifier: Apache-2.0 */
/* The list of pictures with their classes, and how a class is written. */
#include "dataset.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

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
