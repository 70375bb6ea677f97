/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/default_threads.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/size.h"
#include "lutra/lutra.h"

/* How many of two numbers stand in the first line of a file of /sys, and what they are. */
static int read_numbers(const char *path, long long *first, long long *second)
{
    char line[64];
    FILE *file = fopen(path, "re");
    const int n = file && fgets(line, sizeof line, file) ? sscanf(line, "%lld %lld", first, second) : 0;
    if (file)
        fclose(file);
    return n;
}

/* What Linux says a CPU can do, 1024 being the most that any of the machine does; 0 where it does not say. */
static long long capacity_of(const char *root, size_t cpu)
{
    char path[4096];
    long long capacity, unused;
    snprintf(path, sizeof path, "%s/sys/devices/system/cpu/cpu%zu/cpu_capacity", root, cpu);
    return read_numbers(path, &capacity, &unused) >= 1 ? capacity : 0;
}

/* A CPU belongs to the fastest if it does three quarters of what the best one does. Cores of one kind differ
 * by some per cent with the luck of their silicon, and the single "prime" core of a phone by a tenth or two
 * from the large ones beside it; small cores reach half at the most. Tasks are handed out one by one, so the
 * slower ones hold nobody up. */
size_t lutra_fastest_cpus(const char *root, const size_t *allowed, size_t n_allowed, size_t *fastest)
{
    long long most = 0;
    bool is_known = true;
    size_t n = 0;
    for (size_t i = 0; i < n_allowed; i++) {
        const long long capacity = capacity_of(root, allowed[i]);
        is_known &= capacity > 0;
        most = capacity > most ? capacity : most;
    }
    for (size_t i = 0; i < n_allowed; i++)
        if (!is_known || capacity_of(root, allowed[i]) >= most - most / 4)
            fastest[n++] = allowed[i];
    return n;
}

/* The numbers of a file of a control group's; false where it is not there or has none. */
static bool read_quota(const char *root, const char *group, const char *file, long long *quota,
                       long long *period)
{
    char path[4096];
    const int length = snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/%s", root, group, file);
    return length >= 0 && (size_t)length < sizeof path && read_numbers(path, quota, period) > 0;
}

/* Of one control group, in whole CPUs; SIZE_MAX: none. A part of a CPU counts for nothing: a thread that has
 * to wait for the next period would hold up all others. Version 2 has both numbers in one file, version 1
 * each in its own, with a quota of -1 for none. */
static size_t quota_of(const char *root, const char *group, int version)
{
    long long quota = -1, period = 0, unused;
    if (version == 2)
        read_quota(root, group, "cpu.max", &quota, &period);
    else if (read_quota(root, group, "cpu.cfs_quota_us", &quota, &unused))
        read_quota(root, group, "cpu.cfs_period_us", &period, &unused);
    return quota >= 0 && period > 0 ? (size_t)(quota / period) : SIZE_MAX;
}

/* The least quota of a control group and those that it lies in, up to the one at the top [n_top letters]. */
static size_t least_quota(const char *root, char *group, size_t n_top, int version)
{
    size_t least = SIZE_MAX;
    for (char *end = group + strlen(group); end && end >= group + n_top; end = strrchr(group, '/')) {
        *end = '\0';
        least = lutra_smaller(least, quota_of(root, group, version));
    }
    return least;
}

/* Whether `name` is one of a list that commas part. */
static bool has_controller(const char *list, const char *name)
{
    for (const size_t n = strlen(name); list; list = strchr(list, ','), list += list != NULL)
        if (strncmp(list, name, n) == 0 && (!list[n] || list[n] == ','))
            return true;
    return false;
}

/* Lines of /proc/self/cgroup are "NUMBER:CONTROLLERS:PATH"; that of version 2 is "0::PATH". The controllers
 * of version 1 are folders, of which "cpu" is one or a link to one. In a container the path may be one of the
 * machine around it, which is not to be seen: then its own group is at the top. */
static size_t quota(const char *root)
{
    char path[4096], line[4096];
    size_t least = SIZE_MAX;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char group[sizeof line + 4];
        line[strcspn(line, "\n")] = '\0';
        const char *controllers = strchr(line, ':');
        char *of = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!of || of[1] != '/')
            continue;
        *of = '\0';
        const int version = strcmp(line, "0:") == 0 ? 2 : 1;
        if (version == 1 && !has_controller(controllers + 1, "cpu"))
            continue;
        const char *top = version == 1 ? "/cpu" : "";
        snprintf(group, sizeof group, "%s%s", top, of + 1);
        least = lutra_smaller(least, least_quota(root, group, strlen(top), version));
    }
    if (file)
        fclose(file);
    return least;
}

size_t lutra_useful_threads(const char *root, const size_t *allowed, size_t n_allowed)
{
    size_t cpus[LUTRA_MAX_CPUS];
    const size_t paid = quota(root), fastest = lutra_fastest_cpus(root, allowed, n_allowed, cpus);
    return lutra_larger(1, lutra_smaller(lutra_smaller(fastest, paid), LUTRA_MAX_THREADS));
}

/* 0: there are more than the set has room for. */
static size_t allowed_cpus(size_t *cpus /* [LUTRA_MAX_CPUS] */)
{
    cpu_set_t mask;
    size_t n = 0;
    if (sched_getaffinity(0, sizeof mask, &mask))
        return 0;
    for (size_t cpu = 0; cpu < LUTRA_MAX_CPUS; cpu++)
        if (CPU_ISSET(cpu, &mask))
            cpus[n++] = cpu;
    return n;
}

size_t lutra_working_cpus(const char *root, size_t *cpus /* [LUTRA_MAX_CPUS] */)
{
    size_t n = allowed_cpus(cpus);
    if (n == 0)
        cpus[n++] = 0;
    return lutra_fastest_cpus(root, cpus, n, cpus);
}

size_t lutra_default_threads(void)
{
    size_t allowed[LUTRA_MAX_CPUS];
    const size_t n = allowed_cpus(allowed);
    if (n == 0)
        return lutra_smaller(lutra_cpu_count(), LUTRA_MAX_THREADS);
    return lutra_useful_threads("", allowed, n);
}
