/* SPDX-License-Identifier: Apache-2.0 */
/* Tables that tell the class of each picture. */
#define _XOPEN_SOURCE 700 /* realpath */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "dataset.h"
#include "terminal.h"

#define MAX_COLUMNS 16
#define BLANKS " \t\r" /* a line of these alone is passed over */

typedef struct label_table {
    const char *path;
    char separator; /* 0: blanks */
    bool has_heading;
    size_t file, class; /* columns */
    size_t n_columns;   /* at most */
    bool only_classes;  /* one a line, for the sorted pictures */
} label_table;

/* `text` without the blanks around it; those behind it are cut off. */
static char *trim(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length && strchr(BLANKS, text[length - 1]))
        text[--length] = 0;
    return text;
}

/* Cuts `line` at `separator` -> `columns`; returns their number, at most `n_most`. Where it is 0, they part
 * at runs of blanks, and the last is the rest of the line: a class may have a name of several words. */
static size_t cut(char *line, char separator, size_t n_most, char *columns[MAX_COLUMNS])
{
    const char separators[] = {separator ? separator : ' ', separator ? 0 : '\t', 0};
    const size_t length = strlen(line);
    size_t n = 0;
    if (length && line[length - 1] == '\r')
        line[length - 1] = 0;
    if (!separator)
        line = trim(line);
    while (n < n_most) {
        columns[n++] = line;
        if (!separator && n == n_most)
            break;
        line += strcspn(line, separators);
        if (!*line)
            break;
        *line++ = 0;
        if (!separator)
            line += strspn(line, separators);
    }
    return n;
}

/* The first of `names` among the columns, by the order of `names`; n where none is there. */
static size_t find_column(char *const columns[], size_t n, const char *const *names)
{
    for (; *names; names++)
        for (size_t i = 0; i < n; i++)
            if (strcasecmp(columns[i], *names) == 0)
                return i;
    return n;
}

/* Where the first line begins that is not blank; the last one where all are. */
static const char *first_line(const char *text)
{
    const char *line = text + strspn(text, BLANKS "\n");
    while (line > text && line[-1] != '\n')
        line--;
    return line;
}

/* "folder/file", or the same with ImageNet's ending where only that is there; NULL when out of memory. */
static char *picture_path(const char *folder, const char *file)
{
    char *path = file[0] == '/' ? strdup(file) : tool_join(folder, file);
    if (!path || access(path, F_OK) == 0)
        return path;
    const size_t size = strlen(path) + sizeof ".JPEG";
    char *with_ending = malloc(size);
    if (with_ending) {
        snprintf(with_ending, size, "%s.JPEG", path);
        if (access(with_ending, F_OK) != 0) {
            free(with_ending);
            return path;
        }
    }
    free(path);
    return with_ending;
}

/* Whether `file` is a picture: by its ending, or because it lies in `folder`. */
static lutra_status find_picture(const char *folder, const char *file, const label_table *table, bool *found,
                                 lutra_error *error)
{
    *found = tool_is_picture_name(file);
    if (*found)
        return LUTRA_OK;
    char *path = picture_path(folder, file);
    if (!path)
        return tool_dataset_error(error, table->path, "out of memory");
    *found = access(path, F_OK) == 0 && !tool_is_folder(path);
    free(path);
    return LUTRA_OK;
}

/* What kind of table it is, from a copy of its first line. */
static lutra_status recognise(label_table *table, char *first, const char *folder, lutra_error *error)
{
    static const char *const files[] = {"file", "filename", "path", "image", "imageid", NULL};
    static const char *const classes[] = {"class_index",      "index", "label", "class", "wnid", "synset",
                                          "predictionstring", NULL};
    char *columns[MAX_COLUMNS];
    table->separator = strchr(first, '\t') ? '\t' : strchr(first, ',') ? ',' : 0;
    const size_t n = cut(first, table->separator, MAX_COLUMNS, columns);
    table->file = find_column(columns, n, files);
    table->class = find_column(columns, n, classes);
    table->has_heading = table->file < n;
    if (table->has_heading && table->class == n)
        return tool_dataset_error(
            error, table->path, "has a column '%s' but none called class_index, index, label, class or wnid",
            columns[table->file]);
    table->n_columns = table->separator ? MAX_COLUMNS : table->has_heading ? n : 2;
    if (table->has_heading)
        return LUTRA_OK;
    table->file = 0;
    table->class = 1;
    table->only_classes = n == 1;
    if (n == 1 || table->separator == '\t')
        return LUTRA_OK;
    /* A class's name may hold blanks and commas. */
    bool is_row;
    const lutra_status status = find_picture(folder, columns[0], table, &is_row, error);
    table->only_classes = !is_row;
    return status;
}

/* The wnid before the boxes in Kaggle's table of ImageNet -> `wnid`. */
static bool wnid_before_boxes(const char *text, char wnid[10])
{
    const size_t length = strcspn(text, " ");
    if (length != 9 || text[0] != 'n' || strspn(text + 1, "0123456789") != 8)
        return false;
    memcpy(wnid, text, length);
    wnid[length] = 0;
    return true;
}

static lutra_status class_of(const label_table *table, size_t line, char *text, const tool_session *session,
                             const tool_names *imagenet, size_t *index, lutra_error *error)
{
    char wnid[10];
    text = trim(text);
    size_t n_found = tool_class_find(session, imagenet, text, index);
    if (n_found == 0 && wnid_before_boxes(text, wnid))
        n_found = tool_class_find(session, imagenet, wnid, index);
    if (n_found == 1)
        return LUTRA_OK;
    if (n_found > 1)
        return tool_dataset_error(error, table->path,
                                  "line %zu: '%.64s' is the name of %zu classes of the model; write an index",
                                  line, text, n_found);
    return tool_dataset_error(error, table->path,
                              "line %zu: '%.64s' is no class of the model, which has %zu (0..%zu)%s", line,
                              text, session->info->n_classes, session->info->n_classes - 1,
                              imagenet->n || lutra_model_label(session->model, 0) ? "" : " without names");
}

/* A table comes with pictures from anywhere: it names only what lies in their folder. */
static bool is_inside(const char *folder, const char *file)
{
    for (const char *part = file; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
            return false;
    }
    if (file[0] != '/')
        return true;
    char *whole = realpath(folder, NULL);
    const size_t n = whole ? strlen(whole) : 0, n_given = strlen(folder);
    const bool inside = (n > 0 && strncmp(file, whole, n) == 0 && (file[n] == '/' || whole[n - 1] == '/')) ||
                        (n_given > 0 && strncmp(file, folder, n_given) == 0 &&
                         (file[n_given] == '/' || folder[n_given - 1] == '/'));
    free(whole);
    return inside;
}

static lutra_status add_row(tool_dataset *dataset, const label_table *table, size_t line, char *text,
                            const char *folder, const tool_session *session, const tool_names *imagenet,
                            lutra_error *error)
{
    char *columns[MAX_COLUMNS];
    size_t index;
    const size_t n = cut(text, table->separator, table->n_columns, columns);
    if (n <= table->file || n <= table->class)
        return tool_dataset_error(error, table->path,
                                  "line %zu: has %zu columns where at least %zu are needed", line, n,
                                  (table->file > table->class ? table->file : table->class) + 1);
    lutra_status status = class_of(table, line, columns[table->class], session, imagenet, &index, error);
    if (status)
        return status;
    if (!is_inside(folder, columns[table->file]))
        return tool_dataset_error(error, table->path, "line %zu: '%.200s' does not lie in %.200s", line,
                                  columns[table->file], folder);
    char *path = picture_path(folder, columns[table->file]);
    if (!path)
        return tool_dataset_error(error, table->path, "out of memory");
    status = tool_dataset_add(dataset, path, index, error);
    free(path);
    return status;
}

/* One class a line, for the sorted pictures of the folder. */
static lutra_status add_ordered(tool_dataset *dataset, const label_table *table, size_t line, char *text,
                                const tool_files *pictures, const tool_session *session,
                                const tool_names *imagenet, lutra_error *error)
{
    size_t index;
    text = trim(text);
    if (text[strspn(text, "0123456789")] == 0)
        return tool_dataset_error(error, table->path,
                                  "line %zu: a number alone does not tell a class, as ImageNet's development "
                                  "kit counts in an order of "
                                  "its own; write 'PICTURE CLASS' lines, or one wnid a line",
                                  line);
    if (dataset->files.n == pictures->n)
        return tool_dataset_error(error, table->path, "line %zu: the folder holds only %zu pictures", line,
                                  pictures->n);
    const lutra_status status = class_of(table, line, text, session, imagenet, &index, error);
    return status ? status : tool_dataset_add(dataset, pictures->paths[dataset->files.n], index, error);
}

static lutra_status read_rows(tool_dataset *dataset, const label_table *table, char *text, const char *folder,
                              const tool_session *session, const tool_names *imagenet, lutra_error *error)
{
    tool_files pictures = {0};
    size_t line_number = 0;
    bool is_heading = table->has_heading; /* the first line that is not blank */
    lutra_status status = LUTRA_OK;
    if (table->only_classes)
        status = tool_files_add_folder(&pictures, folder, error);
    for (char *line = text, *next; !status && line && !tool_interrupted(); line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line_number++;
        if (line[strspn(line, BLANKS)] == 0)
            continue;
        if (is_heading) {
            is_heading = false;
            continue;
        }
        status = table->only_classes
                     ? add_ordered(dataset, table, line_number, line, &pictures, session, imagenet, error)
                     : add_row(dataset, table, line_number, line, folder, session, imagenet, error);
    }
    if (!status && tool_interrupted())
        status = tool_io_error(error, table->path, "read it", EINTR);
    if (!status && table->only_classes && dataset->files.n != pictures.n)
        status = tool_dataset_error(error, table->path, "has %zu lines for the %zu pictures in %s",
                                    dataset->files.n, pictures.n, folder);
    tool_files_free(&pictures);
    return status;
}

lutra_status tool_dataset_read_labels(tool_dataset *dataset, const char *labels, const char *folder,
                                      const tool_session *session, const tool_names *imagenet,
                                      lutra_error *error)
{
    char *text;
    label_table table = {.path = labels};
    lutra_status status = tool_read_text(labels, &text, error);
    if (status)
        return status;
    const char *line = first_line(text);
    char *first = strndup(line, strcspn(line, "\n"));
    if (!first)
        status = tool_dataset_error(error, labels, "out of memory");
    else if (first[strspn(first, BLANKS)] == 0)
        status = tool_dataset_error(error, labels, "is empty");
    else
        status = recognise(&table, first, folder, error);
    if (!status)
        status = read_rows(dataset, &table, text, folder, session, imagenet, error);
    if (!status && dataset->files.n == 0)
        status = tool_dataset_error(error, labels, "names no pictures");
    snprintf(dataset->order, sizeof dataset->order, "%s",
             table.only_classes ? "one class a line for the sorted pictures" : "a class per picture");
    free(first);
    free(text);
    return status;
}
