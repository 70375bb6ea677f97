/* SPDX-License-Identifier: Apache-2.0 */
#include "devices.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"
#include "inputs.h"
#include "suggest.h"

#define SUFFIX ".json"

static bool has_suffix(const char *name)
{
    const size_t n = strlen(name), n_suffix = strlen(SUFFIX);
    return n > n_suffix && strcmp(name + n - n_suffix, SUFFIX) == 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool append(tool_device_names *names, const char *file)
{
    char **grown = realloc(names->at, (names->n + 1) * sizeof *grown);
    char *name = grown ? strndup(file, strlen(file) - strlen(SUFFIX)) : NULL;
    if (grown)
        names->at = grown;
    if (!name)
        return false;
    names->at[names->n++] = name;
    return true;
}

lutra_status tool_device_names_read(tool_device_names *names, lutra_error *error)
{
    *names = (tool_device_names){0};
    char *folder = tool_find_data("devices", error);
    if (!folder)
        return error->status;
    lutra_status status = LUTRA_OK;
    DIR *directory = opendir(folder);
    const struct dirent *entry;
    if (!directory)
        status = tool_io_error(error, folder, "read it", errno);
    while (directory && (entry = readdir(directory)))
        if (has_suffix(entry->d_name) && !append(names, entry->d_name)) {
            status = tool_io_error(error, folder, "read it", ENOMEM);
            break;
        }
    if (directory)
        closedir(directory);
    free(folder);
    if (status)
        tool_device_names_free(names);
    else if (names->n)
        qsort(names->at, names->n, sizeof *names->at, compare);
    return status;
}

void tool_device_names_free(tool_device_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->at[i]);
    free(names->at);
    *names = (tool_device_names){0};
}

/* No such name: those that come near it, and all there are. */
static lutra_status unknown(const char *name, const tool_device_names *names, lutra_error *error)
{
    tool_suggestions near = {.word = name};
    char text[256];
    for (size_t i = 0; i < names->n; i++)
        tool_suggest(&near, names->at[i]);
    *error = (lutra_error){.status = LUTRA_ERROR_ARGUMENT, .offset = LUTRA_NO_OFFSET};
    int used = snprintf(error->message, sizeof error->message, "unknown device '%.100s'%s; there are", name,
                        tool_suggestions_text(&near, text, sizeof text));
    for (size_t i = 0; i < names->n && (size_t)used < sizeof error->message; i++)
        used += snprintf(error->message + used, sizeof error->message - (size_t)used, "%s %s", i ? "," : "",
                         names->at[i]);
    return LUTRA_ERROR_ARGUMENT;
}

/* The file of the description that comes with Lutra. Allocated; NULL with the error where there is none. */
static char *find_file(const char *name, lutra_error *error)
{
    char file[96];
    snprintf(file, sizeof file, "devices/%.80s" SUFFIX, name);
    return tool_find_data(file, error);
}

lutra_status tool_device_read(const char *name, lutra_device *device, lutra_error *error)
{
    if (strchr(name, '/') || has_suffix(name))
        return lutra_device_read(name, device, error);
    tool_device_names names;
    lutra_status status = tool_device_names_read(&names, error);
    if (status)
        return status;
    char *path = NULL;
    if (names.n && bsearch(&name, names.at, names.n, sizeof *names.at, compare)) {
        path = find_file(name, error);
        status = path ? lutra_device_read(path, device, error) : error->status;
    } else {
        status = unknown(name, &names, error);
    }
    free(path);
    tool_device_names_free(&names);
    return status;
}

char *tool_device_path(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache == '/')
        return tool_join(cache, "lutra/device.json");
    return tool_join(home && *home ? home : ".", ".cache/lutra/device.json");
}

lutra_status tool_devices_check_output(const char *output, lutra_error *error)
{
    tool_device_names names;
    char *own = tool_device_path();
    lutra_status status = own ? tool_check_output(output, (const char *const *)&own, 1, error)
                              : tool_io_error(error, output, "name this machine's description", ENOMEM);
    free(own);
    if (status)
        return status;
    status = tool_device_names_read(&names, error);
    for (size_t i = 0; i < names.n && !status; i++) {
        char *path = find_file(names.at[i], error);
        status = path ? tool_check_output(output, (const char *const *)&path, 1, error) : error->status;
        free(path);
    }
    tool_device_names_free(&names);
    return status;
}
