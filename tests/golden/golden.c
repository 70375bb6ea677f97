/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/kernels.h"

const lutra_context_options golden_f32_options = {.mode = LUTRA_MODE_F32};

void golden_check(lutra_status status, const lutra_error *error)
{
    if (status != LUTRA_OK)
        fail_msg("%s: %s", lutra_status_name(status), error->message);
}

char *golden_join(const char *folder, const char *name)
{
    const size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    assert_non_null(path);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *golden_path(const char *path)
{
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    return golden_join(root ? root : ".", path);
}

char *golden_shared(void)
{
    const char *root = getenv("LUTRA_SHARED");
    struct stat info;
    char *shared = root && *root ? golden_join(root, "") : golden_path("../shared/");
    char *models = golden_join(shared, "models");
    const bool found = stat(models, &info) == 0;
    free(models);
    if (found)
        return shared;
    print_message(
        "# SKIPPED: no %s: the shared models and photos are not here (LUTRA_SHARED names their folder)\n",
        shared);
    free(shared);
    return NULL;
}

bool golden_lacks_codecs(const char *test)
{
#ifdef LUTRA_IMAGES
    (void)test;
    return false;
#else
    print_message("# SKIPPED: %s: this build of Lutra reads no picture files\n", test);
    return true;
#endif
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **golden_names(const char *folder, size_t *n)
{
    DIR *directory = opendir(folder);
    if (!directory)
        fail_msg("cannot open the folder %s", folder);
    char **names = NULL;
    const struct dirent *entry;
    *n = 0;
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        char **more = realloc(names, (*n + 1) * sizeof *names);
        assert_non_null(more);
        names = more;
        names[*n] = strdup(entry->d_name);
        assert_non_null(names[(*n)++]);
    }
    closedir(directory);
    if (*n)
        qsort(names, *n, sizeof *names, compare_names);
    return names;
}

void golden_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

float *golden_f32(const lutra_safetensors *file, const char *name, size_t *n)
{
    const lutra_tensor *tensor = lutra_safetensors_find(file, name);
    *n = 0;
    if (!tensor)
        return NULL;
    assert_int_equal(tensor->dtype, LUTRA_F32);
    float *copy = malloc(tensor->bytes);
    assert_non_null(copy);
    memcpy(copy, tensor->data, tensor->bytes);
    *n = tensor->n_elements;
    return copy;
}

const uint8_t *golden_u8(const lutra_safetensors *file, const char *name, size_t *n)
{
    const lutra_tensor *tensor = lutra_safetensors_find(file, name);
    *n = 0;
    if (!tensor)
        return NULL;
    assert_int_equal(tensor->dtype, LUTRA_U8);
    *n = tensor->n_elements;
    return tensor->data;
}

double golden_difference(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        const double difference = fabs((double)a[i] - (double)b[i]);
        if (!(difference <= worst)) /* a NaN is never <= */
            worst = isnan(difference) ? INFINITY : difference;
    }
    return worst;
}

size_t golden_levels(const char **names, size_t size)
{
    size_t n = 0;
    const lutra_kernels *level;
    for (size_t i = 0; (level = lutra_kernels_level(i)); i++) {
        if (!lutra_kernels_supported(level))
            continue;
        assert_true(n < size);
        names[n++] = lutra_kernels_name(level);
    }
    return n;
}

void golden_select(const char *level)
{
    if (level)
        setenv("LUTRA_ISA", level, 1);
    else
        unsetenv("LUTRA_ISA");
}
