/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzzing target on files, or on all files of folders, without libFuzzer: with any compiler, sanitizer
 * or emulator.
 *
 *     fuzz-TARGET PATH...     prints one line of TAP for each PATH; a folder that is not there is none
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    fuzz_require(file && fseek(file, 0, SEEK_END) == 0);
    const size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = malloc(size ? size : 1); /* just so long, so that a sanitizer sees what reads beyond */
    fuzz_require(data && fread(data, 1, size, file) == size);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static size_t replay(const char *path)
{
    struct stat info;
    struct dirent **entries;
    if (stat(path, &info) != 0)
        return 0;
    if (!S_ISDIR(info.st_mode)) {
        replay_file(path);
        return 1;
    }
    const int n = scandir(path, &entries, is_shown, alphasort);
    fuzz_require(n >= 0);
    for (int i = 0; i < n; i++) {
        char name[4096];
        fuzz_require((size_t)snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name) < sizeof name);
        /* Where the target ends the program, the last line tells which input it was. */
        fprintf(stderr, "# %s\n", name);
        replay_file(name);
        free(entries[i]);
    }
    free(entries);
    return (size_t)n;
}

int main(int argc, char **argv)
{
    printf("1..%d\n", argc - 1);
    for (int i = 1; i < argc; i++) {
        const size_t n = replay(argv[i]);
        printf("ok %d - %s: %zu inputs\n", i, argv[i], n);
    }
    return 0;
}
