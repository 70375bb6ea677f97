/* SPDX-License-Identifier: Apache-2.0 */
#include "data.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inputs.h"

enum { N_PLACES = 4, MAX_PATH = 4096 };

/* The folder of the running program, without "/" at its end -> `folder` [size]; false where it is not known.
 */
static bool program_folder(char *folder, size_t size)
{
    const ssize_t n = readlink("/proc/self/exe", folder, size - 1);
    if (n <= 0)
        return false;
    folder[n] = 0;
    char *slash = strrchr(folder, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

static bool exists(const char *folder, const char *name)
{
    char path[MAX_PATH + 64];
    const int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    return length > 0 && (size_t)length < sizeof path && access(path, R_OK) == 0;
}

/* The folders to look in -> `places`; returns their number. */
static size_t data_places(char places[N_PLACES][MAX_PATH])
{
    const char *chosen = getenv("LUTRA_DATA_DIR");
    char program[4000];
    size_t n = 0;
    if (chosen && *chosen) {
        snprintf(places[0], sizeof places[0], "%s", chosen);
        return 1;
    }
    if (program_folder(program, sizeof program)) {
        if (exists(program, "../build.ninja")) { /* not installed: BUILD/tools/lutra */
            snprintf(places[n++], sizeof places[0], "%s/../../data", program);
            snprintf(places[n++], sizeof places[0], "%s/../../../data",
                     program); /* build/NAME, as ./check has it */
        }
        snprintf(places[n++], sizeof places[0], "%s/../share/lutra", program);
    }
    snprintf(places[n++], sizeof places[0], "%s", LUTRA_DATA_DIR);
    return n;
}

char *tool_find_data(const char *name, lutra_error *error)
{
    char places[N_PLACES][MAX_PATH];
    const size_t n = data_places(places);
    *error = (lutra_error){.status = LUTRA_ERROR_UNSUPPORTED, .offset = LUTRA_NO_OFFSET};
    size_t used = (size_t)snprintf(error->message, sizeof error->message, "there is no %s in", name);
    for (size_t i = 0; i < n; i++) {
        if (exists(places[i], name)) {
            char *path = tool_join(places[i], name);
            if (!path)
                tool_io_error(error, places[i], "look into it", ENOMEM);
            return path;
        }
        if (used < sizeof error->message)
            used += (size_t)snprintf(error->message + used, sizeof error->message - used, "%s %s",
                                     i ? " or" : "", places[i]);
    }
    if (used < sizeof error->message)
        snprintf(error->message + used, sizeof error->message - used,
                 " (LUTRA_DATA_DIR can name the folder)");
    return NULL;
}

/* ---- names of classes -------------------------------------------------------------------------- */

static lutra_status wrong_line(const char *path, size_t line, lutra_error *error)
{
    *error = (lutra_error){.status = LUTRA_ERROR_FORMAT, .offset = LUTRA_NO_OFFSET};
    snprintf(error->path, sizeof error->path, "%s", path);
    snprintf(error->message, sizeof error->message, "%s: line %zu: expected index<TAB>wnid<TAB>name",
             error->path, line);
    return LUTRA_ERROR_FORMAT;
}

/* Cuts `line` into its three columns; false where it is none. */
static bool cut(char *line, size_t *index, const char **wnid, const char **name)
{
    char *end;
    char *first_tab = strchr(line, '\t');
    char *second_tab = first_tab ? strchr(first_tab + 1, '\t') : NULL;
    if (!second_tab)
        return false;
    *first_tab = *second_tab = 0;
    *index = strtoul(line, &end, 10);
    *wnid = first_tab + 1;
    *name = second_tab + 1;
    return end != line && !*end;
}

lutra_status tool_names_read(const char *path, tool_names *names, lutra_error *error)
{
    size_t n_lines = 0, line_number = 0;
    *names = (tool_names){0};
    lutra_status status = tool_read_text(path, &names->text, error);
    if (status)
        return status;
    for (const char *at = names->text; *at; at++)
        n_lines += *at == '\n';
    names->wnid = calloc(n_lines + 1, sizeof *names->wnid);
    names->name = calloc(n_lines + 1, sizeof *names->name);
    if (!names->wnid || !names->name) {
        tool_names_free(names);
        return tool_io_error(error, path, "read it", ENOMEM);
    }
    for (char *line = names->text, *next; line && *line; line = next) {
        size_t index;
        const char *wnid, *name;
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if (line_number++ == 0 && strncmp(line, "index\t", 6) == 0)
            continue;
        if (!cut(line, &index, &wnid, &name) || index > n_lines) {
            tool_names_free(names);
            return wrong_line(path, line_number, error);
        }
        names->wnid[index] = wnid;
        names->name[index] = name;
        if (index >= names->n)
            names->n = index + 1;
    }
    return LUTRA_OK;
}

void tool_names_free(tool_names *names)
{
    free(names->text);
    free(names->wnid);
    free(names->name);
    *names = (tool_names){0};
}
