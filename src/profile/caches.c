/* SPDX-License-Identifier: Apache-2.0 */
/* The caches of this machine, as sysfs tells. */
#include <stdio.h>
#include <string.h>

#include "profile/measure.h"

#define MAX_INDICES 8 /* sysfs's numbers of caches: data, instructions, level 2, level 3 */

static bool read_text(size_t index, const char *what, char *text, size_t size)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%zu/%s", index, what);
    FILE *file = fopen(path, "r");
    const bool read = file && fgets(text, (int)size, file);
    if (file)
        fclose(file);
    return read;
}

/* "0-3,8-11": how many there are. */
static size_t count_cpus(const char *list)
{
    size_t n = 0;
    int used = 0;
    unsigned first, last;
    for (; sscanf(list, "%9u%n", &first, &used) == 1; list += *list == ',') {
        list += used;
        last = first;
        if (sscanf(list, "-%9u%n", &last, &used) == 1)
            list += used;
        n += last >= first ? last - first + 1 : 0;
    }
    return n;
}

size_t lutra_read_caches(lutra_cache *caches /* [LUTRA_MAX_CACHES] */)
{
    size_t n = 0;
    for (size_t index = 0; index < MAX_INDICES && n < LUTRA_MAX_CACHES; index++) {
        char text[256], unit = 0;
        unsigned long size = 0;
        if (!read_text(index, "type", text, sizeof text))
            break;
        if (strncmp(text, "Instruction", strlen("Instruction")) == 0 ||
            !read_text(index, "size", text, sizeof text) || sscanf(text, "%9lu%c", &size, &unit) < 1 || !size)
            continue;
        caches[n] = (lutra_cache){.bytes = (uint64_t)size << (unit == 'M' ? 20 : unit == 'K' ? 10 : 0)};
        caches[n].shared_by = read_text(index, "shared_cpu_list", text, sizeof text) ? count_cpus(text) : 1;
        caches[n].shared_by += caches[n].shared_by == 0;
        n++;
    }
    return n;
}
