/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of inputs.h that look at the file system. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inputs.h"
#include "terminal.h"

/* A list or a table of some ten million pictures; a device in a stranger's folder has no end. */
#define MAX_INPUT_BYTES ((size_t)1 << 30)

lutra_status tool_io_error(lutra_error *error, const char *path, const char *action, int number)
{
    *error = (lutra_error){.status = LUTRA_ERROR_IO, .offset = LUTRA_NO_OFFSET};
    snprintf(error->path, sizeof error->path, "%s", path);
    snprintf(error->message, sizeof error->message, "%s: cannot %s: %s", error->path, action,
             strerror(number));
    return LUTRA_ERROR_IO;
}

char *tool_join(const char *folder, const char *name)
{
    const size_t n = strlen(folder);
    const char *slash = n && folder[n - 1] != '/' ? "/" : "";
    const size_t size = n + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s%s%s", folder, slash, name);
    return path;
}

bool tool_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool ends_with(const char *text, const char *ending)
{
    const size_t n = strlen(text), n_ending = strlen(ending);
    return n >= n_ending && strcasecmp(text + n - n_ending, ending) == 0;
}

bool tool_is_picture_name(const char *path)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(path, endings[i]))
            return true;
    return false;
}

static bool is_model_folder(const char *path)
{
    bool found = false;
    DIR *folder = opendir(path);
    if (!folder) /* whoever opens it will say what is short */
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM;
    for (const struct dirent *entry; !found && (entry = readdir(folder));)
        found = strcmp(entry->d_name, "config.json") == 0 || ends_with(entry->d_name, ".safetensors");
    closedir(folder);
    return found;
}

bool tool_is_model(const char *path)
{
    if (ends_with(path, ".safetensors") || ends_with(path, ".safetensors.index.json"))
        return true;
    if (tool_is_folder(path))
        return is_model_folder(path);
    /* A safetensors file begins with the header's length, 8 bytes, and the JSON of the header. */
    unsigned char start[9];
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return false;
    const ssize_t n = read(descriptor, start, sizeof start);
    close(descriptor);
    return n == (ssize_t)sizeof start && start[8] == '{' && start[5] == 0 && start[6] == 0 && start[7] == 0;
}

static lutra_status refuse_output(lutra_error *error, const char *output, const char *mistake)
{
    *error = (lutra_error){.status = LUTRA_ERROR_ARGUMENT, .offset = LUTRA_NO_OFFSET};
    snprintf(error->path, sizeof error->path, "%s", output);
    snprintf(error->message, sizeof error->message, "%s: %s", error->path, mistake);
    return LUTRA_ERROR_ARGUMENT;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* "folder/name" -> its name; `folder` is what the system tells of the folder. An error number, or 0. */
static int find_folder(const char *path, struct stat *folder, const char **name)
{
    const char *slash = strrchr(path, '/');
    char *text = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    *name = slash ? slash + 1 : path;
    if (!text)
        return ENOMEM;
    const int number = stat(text, folder) == 0 ? 0 : errno;
    free(text);
    return number;
}

/* Whether both name one file, be it there or not. */
static bool is_same_place(const char *a, const char *b)
{
    struct stat of_a, of_b;
    const char *name_of_a, *name_of_b;
    if (stat(a, &of_a) == 0 && stat(b, &of_b) == 0)
        return is_same(&of_a, &of_b);
    return find_folder(a, &of_a, &name_of_a) == 0 && find_folder(b, &of_b, &name_of_b) == 0 &&
           is_same(&of_a, &of_b) && strcmp(name_of_a, name_of_b) == 0;
}

lutra_status tool_check_output(const char *output, const char *const *inputs, size_t n, lutra_error *error)
{
    struct stat folder;
    const char *name;
    if (strcmp(output, "-") == 0)
        return refuse_output(error, output, "standard output takes no file; name one to write");
    const int number = find_folder(output, &folder, &name);
    if (number)
        return tool_io_error(error, output, "open its folder", number);
    if (!*name || tool_is_folder(output))
        return refuse_output(error, output, "is a folder; name a file to write");
    for (size_t i = 0; i < n; i++)
        if (inputs[i] && is_same_place(output, inputs[i] + (inputs[i][0] == '@' && inputs[i][1])))
            return refuse_output(error, output, "is an input too; name another file to write");
    return LUTRA_OK;
}

/* By its name, where it is there. */
static bool is_configuration(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    return (strcmp(name, "config.json") == 0 || strcmp(name, "preprocessor_config.json") == 0) &&
           access(path, F_OK) == 0;
}

lutra_status tool_check_document(const char *output, const char *const *inputs, size_t n, lutra_error *error)
{
    const lutra_status status = tool_check_output(output, inputs, n, error);
    if (status)
        return status;
    if (tool_is_model(output))
        return refuse_output(error, output, "is a model; name another file to write");
    if (is_configuration(output))
        return refuse_output(error, output, "is the configuration of a model; name another file to write");
    return LUTRA_OK;
}

/* The rest of what `descriptor` reads, ended by 0 -> `bytes` [`*n` + 1]; an error number, or 0. */
static int read_rest(int descriptor, char **bytes, size_t *n)
{
    size_t size = 0, capacity = 1u << 16;
    char *data = malloc(capacity);
    int number = data ? 0 : ENOMEM;
    while (!number) {
        if (!tool_wait_to_read(descriptor)) {
            number = EINTR;
            break;
        }
        const ssize_t more = read(descriptor, data + size, capacity - 1 - size);
        if (more == 0)
            break;
        if (more < 0) {
            number = errno == EINTR || errno == EAGAIN ? 0 : errno;
            continue;
        }
        size += (size_t)more;
        if (size < capacity - 1)
            continue;
        char *larger = capacity < MAX_INPUT_BYTES ? realloc(data, 2 * capacity) : NULL;
        if (!larger)
            number = capacity < MAX_INPUT_BYTES ? ENOMEM : EFBIG;
        data = larger ? larger : data;
        capacity *= 2;
    }
    if (number) {
        free(data);
        return number;
    }
    data[size] = 0;
    *bytes = data;
    *n = size;
    return 0;
}

lutra_status tool_read_file(const char *path, char **bytes, size_t *n, lutra_error *error)
{
    const bool standard_input = strcmp(path, "-") == 0;
    const char *name = standard_input ? "standard input" : path;
    /* O_NONBLOCK: nobody may ever write to a FIFO, and Ctrl-C is to end the waiting for it. */
    const int descriptor = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    *bytes = NULL;
    if (descriptor < 0)
        return tool_io_error(error, name, "open it", errno);
    const int number = read_rest(descriptor, bytes, n);
    if (!standard_input)
        close(descriptor);
    return number ? tool_io_error(error, name, "read it", number) : LUTRA_OK;
}

/* To whoever reads a text up to its 0, all behind one within it would be missing. */
static lutra_status check_text(const char *path, const char *text, size_t n_bytes, lutra_error *error)
{
    const char *zero = memchr(text, 0, n_bytes);
    if (!zero)
        return LUTRA_OK;
    *error = (lutra_error){.status = LUTRA_ERROR_FORMAT, .offset = (uint64_t)(zero - text)};
    snprintf(error->path, sizeof error->path, "%s", path);
    snprintf(error->message, sizeof error->message, "%s: byte %zu is 0: not a text", error->path,
             (size_t)(zero - text));
    return LUTRA_ERROR_FORMAT;
}

lutra_status tool_read_text(const char *path, char **text, lutra_error *error)
{
    size_t n = 0;
    lutra_status status = tool_read_file(path, text, &n, error);
    if (!status)
        status = check_text(path, *text, n, error);
    if (status) {
        free(*text);
        *text = NULL;
    } else if (n >= 3 && memcmp(*text, "\xef\xbb\xbf", 3) == 0) {
        memmove(*text, *text + 3, n - 3 + 1); /* with the 0 */
    }
    return status;
}
