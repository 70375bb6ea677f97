/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "terminal.h"

/* Folders in folders in ...: deeper ones are hardly meant. */
#define MAX_DEPTH 16

static bool add_owned(tool_files *files, char *path)
{
    if (path && files->n == files->capacity) {
        const size_t capacity = files->capacity ? 2 * files->capacity : 64;
        char **larger = realloc(files->paths, capacity * sizeof *larger);
        if (larger) {
            files->paths = larger;
            files->capacity = capacity;
        }
    }
    if (!path || files->n == files->capacity) {
        free(path);
        return false;
    }
    files->paths[files->n++] = path;
    return true;
}

bool tool_files_add(tool_files *files, const char *path)
{
    return add_owned(files, strdup(path));
}

void tool_files_free(tool_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (tool_files){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder, hidden ones left out, sorted. An error number, or 0. */
static int list_folder(const char *path, tool_files *names)
{
    int number = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return errno;
    while (!number) {
        errno = 0; /* allocations leave it as they like, those that succeed too */
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            number = errno;
            break;
        }
        if (entry->d_name[0] != '.' && !tool_files_add(names, entry->d_name))
            number = ENOMEM;
    }
    closedir(folder);
    if (names->n)
        qsort(names->paths, names->n, sizeof *names->paths, by_name);
    return number;
}

static lutra_status folder_error(lutra_error *error, const char *path, int number)
{
    return tool_io_error(error, path, "read the folder", number);
}

static void tell_unreadable(const char *path, int number, size_t *unreadable)
{
    lutra_error error;
    folder_error(&error, path, number);
    tool_error("%s", error.message);
    ++*unreadable;
}

/* And, down to `depth`, those in its subfolders: of these, what cannot be read is told and counted in
 * `*unreadable`. An error number, or 0. */
static int add_pictures(tool_files *files, const char *path, unsigned depth, size_t *unreadable)
{
    tool_files names = {0};
    int number = list_folder(path, &names);
    for (size_t i = 0; !number && i < names.n; i++) {
        struct stat info;
        char *inner = tool_join(path, names.paths[i]);
        if (!inner) {
            number = ENOMEM;
        } else if (depth && lstat(inner, &info) == 0 && S_ISDIR(info.st_mode)) {
            const int inner_number = add_pictures(files, inner, depth - 1, unreadable);
            if (inner_number == ENOMEM)
                number = ENOMEM;
            else if (inner_number)
                tell_unreadable(inner, inner_number, unreadable);
        } else if (tool_is_picture_name(inner) && !tool_is_folder(inner)) {
            number = tool_files_add(files, inner) ? 0 : ENOMEM;
        }
        free(inner);
    }
    tool_files_free(&names);
    return number;
}

lutra_status tool_files_add_folder(tool_files *files, const char *path, lutra_error *error)
{
    const int number = add_pictures(files, path, 0, NULL);
    return number ? folder_error(error, path, number) : LUTRA_OK;
}

lutra_status tool_files_add_subfolders(tool_files *files, const char *path, lutra_error *error)
{
    tool_files names = {0};
    int number = list_folder(path, &names);
    for (size_t i = 0; !number && i < names.n; i++) {
        char *inner = tool_join(path, names.paths[i]);
        if (!inner || (tool_is_folder(inner) && !tool_files_add(files, names.paths[i])))
            number = ENOMEM;
        free(inner);
    }
    tool_files_free(&names);
    return number ? folder_error(error, path, number) : LUTRA_OK;
}

/* False when out of memory. */
static bool expand_folder(tool_files *files, const char *path, size_t *unreadable)
{
    const size_t before = files->n, unreadable_before = *unreadable;
    const int number = add_pictures(files, path, MAX_DEPTH, unreadable);
    if (number == ENOMEM)
        return false;
    if (number) {
        tell_unreadable(path, number, unreadable);
    } else if (files->n == before && *unreadable == unreadable_before) {
        tool_error("%s: holds no pictures (.jpg, .jpeg, .png or .webp)", path);
        ++*unreadable;
    }
    return true;
}

static bool expand_path(tool_files *files, const char *path, size_t *unreadable)
{
    if (tool_is_folder(path))
        return expand_folder(files, path, unreadable);
    if (strcmp(path, "-") == 0)
        for (size_t i = 0; i < files->n; i++)
            if (strcmp(files->paths[i], "-") == 0) {
                tool_error("-: standard input can be read only once");
                ++*unreadable;
                return true;
            }
    return tool_files_add(files, path);
}

static int expand_list(tool_files *files, const char *path, size_t *unreadable)
{
    lutra_error error;
    char *text;
    const lutra_status status = tool_read_text(path, &text, &error);
    if (tool_interrupted()) { /* what a FIFO has given so far may be a part of the list */
        free(text);
        tool_error("interrupted");
        return TOOL_INTERRUPTED;
    }
    if (status) {
        tool_error("%s", error.message);
        ++*unreadable;
        return TOOL_DONE;
    }
    bool memory = true;
    size_t n_lines = 0;
    for (char *line = text, *next; memory && line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        const size_t length = strlen(line);
        if (length && line[length - 1] == '\r')
            line[length - 1] = 0;
        if (!*line)
            continue;
        n_lines++;
        memory = expand_path(files, line, unreadable);
    }
    if (n_lines == 0) {
        tool_error("%s: the list is empty", path);
        ++*unreadable;
    }
    free(text);
    return memory ? TOOL_DONE : tool_out_of_memory();
}

int tool_files_expand(tool_files *files, const char *const *inputs, size_t n, size_t *unreadable)
{
    int result = TOOL_DONE;
    for (size_t i = 0; !result && i < n; i++) {
        if (inputs[i][0] == '@' && inputs[i][1])
            result = expand_list(files, inputs[i] + 1, unreadable);
        else if (!expand_path(files, inputs[i], unreadable))
            result = tool_out_of_memory();
    }
    return result;
}
