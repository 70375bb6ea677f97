/* SPDX-License-Identifier: Apache-2.0 */
/* The caches of a CPU of this machine, as sysfs tells. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "profile/device.h"
#include "profile/measure.h"

#define MAX_INDICES 8 /* sysfs's numbers of caches: data, instructions, level 2, level 3 */
/* What is smaller or larger is none: half of each is taken as memory to measure it. */
#define LEAST_BYTES ((uint64_t)1 << 10)
#define MOST_BYTES ((uint64_t)1 << 30)

static bool read_text(const lutra_world *world, size_t cpu, size_t index, const char *what, char *text,
                      size_t size)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/cache/index%zu/%s", cpu, index, what);
    return lutra_sys_text(world, path, text, size) == 0;
}

/* "32K"; 0 where it is not the size of a cache. */
static uint64_t parse_size(const char *text)
{
    static const char units[] = "KMG";
    unsigned long size = 0;
    char unit = 0;
    const int n = sscanf(text, "%9lu%c", &size, &unit);
    const char *found = n == 2 ? strchr(units, unit) : NULL;
    if (n < 1 || (n == 2 && !found))
        return 0;
    const uint64_t bytes = (uint64_t)size << (found ? 10 * (found - units + 1) : 0);
    return bytes >= LEAST_BYTES && bytes <= MOST_BYTES ? bytes : 0;
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
        n = lutra_smaller(n + (last >= first ? last - first + 1 : 0), LUTRA_MAX_CORES);
    }
    return n;
}

size_t lutra_read_caches(const lutra_world *world, size_t cpu, lutra_cache *caches /* [LUTRA_MAX_CACHES] */)
{
    size_t n = 0;
    for (size_t index = 0; index < MAX_INDICES && n < LUTRA_MAX_CACHES; index++) {
        char text[256];
        uint64_t bytes;
        if (!read_text(world, cpu, index, "type", text, sizeof text))
            break;
        if (strncmp(text, "Instruction", strlen("Instruction")) == 0 ||
            !read_text(world, cpu, index, "size", text, sizeof text) || !(bytes = parse_size(text)))
            continue;
        caches[n] = (lutra_cache){.bytes = bytes};
        caches[n].shared_by =
            read_text(world, cpu, index, "shared_cpu_list", text, sizeof text) ? count_cpus(text) : 1;
        caches[n].shared_by += caches[n].shared_by == 0;
        n++;
    }
    return n;
}
