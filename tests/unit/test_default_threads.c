/* SPDX-License-Identifier: Apache-2.0 */
/* How many threads are worth it, on machines made of files. */
#define _XOPEN_SOURCE 700 /* nftw */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/default_threads.h"
#include "lutra/lutra.h"

#define MAX_CPUS 128

typedef struct machine {
    char root[64];
    size_t cpus[MAX_CPUS], n_cpus;
} machine;

static void put(const machine *m, const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", m->root, path);
    for (char *at = full + strlen(m->root) + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = '\0';
        mkdir(full, 0700);
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* `capacities` [n]; 0: the file is not there. */
static void make(machine *m, const unsigned *capacities, size_t n)
{
    *m = (machine){.root = "/tmp/lutra-machine-XXXXXX", .n_cpus = n};
    assert_non_null(mkdtemp(m->root));
    for (size_t i = 0; i < n; i++) {
        char path[128], text[16];
        m->cpus[i] = i;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%zu/cpu_capacity", i);
        snprintf(text, sizeof text, "%u\n", capacities[i]);
        if (capacities[i])
            put(m, path, text);
    }
}

static int drop(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
    (void)status;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void unmake(machine *m)
{
    assert_int_equal(nftw(m->root, drop, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static size_t threads_of(const machine *m)
{
    return lutra_useful_threads(m->root, m->cpus, m->n_cpus);
}

static size_t threads_with(const unsigned *capacities, size_t n)
{
    machine m;
    make(&m, capacities, n);
    const size_t threads = threads_of(&m);
    unmake(&m);
    return threads;
}

static void those_of_the_fastest_cluster(void **state)
{
    (void)state;
    static const unsigned equal[4] = {1024, 1024, 1024, 1024},
                          little_first[6] = {446, 446, 446, 446, 1024, 1024},
                          uneven_twins[8] = {414, 414, 414, 414, 1010, 1010, 1024, 1024},
                          prime[8] = {325, 325, 325, 325, 870, 870, 870, 1024}, unsaid[3] = {0, 0, 0},
                          half_said[3] = {1024, 400, 0};
    assert_int_equal(threads_with(equal, 4), 4);
    assert_int_equal(threads_with(little_first, 6), 2);
    assert_int_equal(threads_with(uneven_twins, 8), 4);
    assert_int_equal(threads_with(prime, 8), 4);
    assert_int_equal(threads_with(unsaid, 3), 3);
    assert_int_equal(threads_with(half_said, 3), 3);
}

static void of_allowed_cpus_only(void **state)
{
    (void)state;
    static const unsigned capacities[6] = {446, 446, 446, 446, 1024, 1024};
    machine m;
    make(&m, capacities, 6);
    m.n_cpus = 4; /* the little ones */
    assert_int_equal(threads_of(&m), 4);
    m.cpus[0] = 5;
    assert_int_equal(threads_of(&m), 1);
    unmake(&m);
}

static void which_cpus_these_are(void **state)
{
    (void)state;
    static const unsigned capacities[6] = {446, 1024, 446, 1024, 446, 446};
    machine m;
    size_t cpus[LUTRA_MAX_CPUS];
    make(&m, capacities, 6);
    assert_int_equal(lutra_fastest_cpus(m.root, m.cpus, 6, cpus), 2);
    assert_true(cpus[0] == 1 && cpus[1] == 3);
    assert_int_equal(lutra_fastest_cpus(m.root, m.cpus, 6, m.cpus), 2);
    assert_true(m.cpus[0] == 1 && m.cpus[1] == 3);
    assert_true(lutra_working_cpus("", cpus) >= 1);
    unmake(&m);
}

static void from_one_to_the_most_that_a_pool_has(void **state)
{
    (void)state;
    static const unsigned unsaid[MAX_CPUS];
    assert_int_equal(threads_with(unsaid, 0), 1);
    assert_int_equal(threads_with(unsaid, LUTRA_MAX_THREADS), LUTRA_MAX_THREADS);
    assert_int_equal(threads_with(unsaid, MAX_CPUS), LUTRA_MAX_THREADS);
}

static void as_many_as_the_quota_pays_for(void **state)
{
    (void)state;
    static const unsigned unsaid[8];
    machine m;
    make(&m, unsaid, 8);
    put(&m, "/proc/self/cgroup", "4:memory:/elsewhere\n0::/service/worker\n");
    assert_int_equal(threads_of(&m), 8);
    put(&m, "/sys/fs/cgroup/service/worker/cpu.max", "max 100000\n");
    assert_int_equal(threads_of(&m), 8);
    put(&m, "/sys/fs/cgroup/service/cpu.max", "350000 100000\n"); /* of the group around it */
    assert_int_equal(threads_of(&m), 3);
    put(&m, "/sys/fs/cgroup/service/worker/cpu.max", "200000 100000\n");
    assert_int_equal(threads_of(&m), 2);
    put(&m, "/sys/fs/cgroup/cpu.max", "50000 100000\n"); /* half a CPU, as in a container */
    assert_int_equal(threads_of(&m), 1);
    put(&m, "/sys/fs/cgroup/cpu.max", "100000 0\n");
    assert_int_equal(threads_of(&m), 2);
    put(&m, "/sys/fs/cgroup/elsewhere/cpu.max", "100000 100000\n");
    assert_int_equal(threads_of(&m), 2);
    unmake(&m);
}

/* Version 1, alone or beside version 2, whose group then says nothing of CPUs. */
static void as_many_as_an_older_quota_pays_for(void **state)
{
    (void)state;
    static const unsigned unsaid[8];
    machine m;
    make(&m, unsaid, 8);
    put(&m, "/proc/self/cgroup", "9:cpuset:/elsewhere\n4:cpu,cpuacct:/docker/worker\n0::/system\n");
    assert_int_equal(threads_of(&m), 8);
    put(&m, "/sys/fs/cgroup/cpu/docker/worker/cpu.cfs_quota_us", "-1\n");
    put(&m, "/sys/fs/cgroup/cpu/docker/worker/cpu.cfs_period_us", "100000\n");
    assert_int_equal(threads_of(&m), 8);
    put(&m, "/sys/fs/cgroup/cpu/docker/worker/cpu.cfs_quota_us", "450000\n");
    assert_int_equal(threads_of(&m), 4);
    put(&m, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n"); /* as in a container */
    assert_int_equal(threads_of(&m), 4);
    put(&m, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    assert_int_equal(threads_of(&m), 2);
    put(&m, "/sys/fs/cgroup/cpu.cfs_quota_us", "100000\n"); /* of no group */
    put(&m, "/sys/fs/cgroup/cpu.cfs_period_us", "100000\n");
    put(&m, "/sys/fs/cgroup/cpuset/elsewhere/cpu.cfs_quota_us", "100000\n");
    put(&m, "/sys/fs/cgroup/cpuset/elsewhere/cpu.cfs_period_us", "100000\n");
    assert_int_equal(threads_of(&m), 2);
    put(&m, "/proc/self/cgroup", "4:cpuacct,cpu:/\nrubbish\n1:cpu\n:\n");
    assert_int_equal(threads_of(&m), 2);
    put(&m, "/proc/self/cgroup", "4:cpuacct:/\n");
    assert_int_equal(threads_of(&m), 8);
    unmake(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_of_the_fastest_cluster),
        cmocka_unit_test(of_allowed_cpus_only),
        cmocka_unit_test(which_cpus_these_are),
        cmocka_unit_test(from_one_to_the_most_that_a_pool_has),
        cmocka_unit_test(as_many_as_the_quota_pays_for),
        cmocka_unit_test(as_many_as_an_older_quota_pays_for),
    };
    return cmocka_run_group_tests_name("default_threads", tests, NULL, NULL);
}
