/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lutra-kernels: every kernel of every level that this CPU supports against the reference, and every
 * operation against plain arithmetic in double precision; with --bench, how fast each is beside the machine's
 * peak.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const struct subject {
    const char *name;
    test_function *test, *bench;
    size_t offset; /* of the kernel in the table; 0 for an operation */
} subjects[] = {
#define LUTRA_KERNEL(name, parameters) {#name, test_##name, bench_##name, offsetof(lutra_kernels, name)},
#include "kernels/kernels.inc"
#define OPERATION(name) {#name, test_##name, bench_##name, 0},
#include "tests.inc"
};
#define N_SUBJECTS (sizeof subjects / sizeof *subjects)

/* lutra-kernels-emulated is this program with the levels' intrinsics in portable C, so that every kernel is
 * tested on every CPU. */
#if defined(LUTRA_EMULATED)
#define EMULATED true
#else
#define EMULATED false
#endif

struct options {
    uint64_t seed;
    bool bench;
    const char *only;  /* part of a subject's name */
    const char *level; /* or NULL for all */
};

/* A kernel that a level takes over from a lesser one was tested there. */
static bool is_inherited(const lutra_kernels *kernels, const lutra_kernels *lesser,
                         const struct subject *subject)
{
    return lesser && subject->offset &&
           memcmp((const char *)kernels + subject->offset, (const char *)lesser + subject->offset,
                  sizeof kernels->multiply_f32) == 0;
}

static size_t run_level(const struct options *options, size_t index, size_t *n_passed)
{
    size_t n_failed = 0;
    harness h = {.kernels = lutra_kernels_level(index), .reference = lutra_kernels_level(0)};
    const lutra_kernels *lesser = index ? lutra_kernels_level(index - 1) : NULL;
    if (options->bench) {
        h.peak_gmacs = measure_peak(h.kernels->name, LUTRA_MODE_F32);
        h.peak_bf16_gmacs = measure_peak(h.kernels->name, LUTRA_MODE_BF16);
        h.peak_i8_gmacs = measure_peak(h.kernels->name, LUTRA_MODE_INT8);
        printf("%s: peak of one core %.1f GMAC/s in f32, %.1f in bf16, %.1f in int8\n", h.kernels->name,
               h.peak_gmacs, h.peak_bf16_gmacs, h.peak_i8_gmacs);
    }
    for (size_t i = 0; i < N_SUBJECTS; i++) {
        if ((options->only && !strstr(subjects[i].name, options->only)) ||
            is_inherited(h.kernels, lesser, &subjects[i]))
            continue;
        h.kernel = subjects[i].name;
        h.random = options->seed * 1000003u + i * 101u + index;
        h.n_cases = h.n_failures = 0;
        subjects[i].test(&h);
        printf("%s %s %s: %zu cases\n", h.n_failures || !h.n_cases ? "not ok" : "ok", h.kernels->name,
               h.kernel, h.n_cases);
        if (h.n_failures || !h.n_cases)
            n_failed++;
        else
            ++*n_passed;
        if (options->bench)
            subjects[i].bench(&h);
        fflush(stdout);
    }
    return n_failed;
}

static void list_levels(void)
{
    const lutra_kernels *kernels;
    for (size_t i = 0; (kernels = lutra_kernels_level(i)) != NULL; i++)
        if (lutra_kernels_supported(kernels))
            printf("%s%s", i ? " " : "", lutra_kernels_name(kernels));
    printf("\n");
}

static struct options read_options(int argc, char **argv)
{
    struct options options = {.seed = 1};
    const char *seed = getenv("LUTRA_TEST_SEED");
    if (seed)
        options.seed = strtoull(seed, NULL, 0);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0) {
            options.bench = true;
        } else if (strcmp(argv[i], "--levels") == 0) {
            list_levels();
            exit(0);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            options.seed = strtoull(argv[++i], NULL, 0);
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            options.only = argv[++i];
        } else if (strcmp(argv[i], "--level") == 0 && i + 1 < argc) {
            options.level = argv[++i];
        } else {
            fprintf(stderr,
                    "usage: lutra-kernels [--levels] [--bench] [--seed N] [--only KERNEL] [--level LEVEL]\n");
            exit(2);
        }
    }
    return options;
}

int main(int argc, char **argv)
{
    const struct options options = read_options(argc, argv);
    char summary[512] = "", missing[256] = "";
    size_t n_failed = 0, n_run = 0;
    const lutra_kernels *kernels;
    printf("seed %llu\n", (unsigned long long)options.seed);
    for (size_t i = 0; (kernels = lutra_kernels_level(i)) != NULL; i++) {
        size_t n_passed = 0, failed = 0;
        if (options.level && strcmp(options.level, kernels->name) != 0)
            continue;
        if (EMULATED && i == 0) /* plain C has nothing to emulate */
            continue;
        if (!EMULATED && !lutra_kernels_supported(kernels)) {
            printf(
                "NOT RUN: this CPU does not support the level %s; lutra-kernels-emulated tests its kernels, "
                "but not its instructions\n",
                kernels->name);
            snprintf(missing + strlen(missing), sizeof missing - strlen(missing), " %s", kernels->name);
            continue;
        }
        failed = run_level(&options, i, &n_passed);
        n_failed += failed;
        n_run += n_passed + failed;
        snprintf(summary + strlen(summary), sizeof summary - strlen(summary), "%s %zu of %zu (%s); ",
                 kernels->name, n_passed, n_passed + failed, EMULATED ? "emulated" : "native");
    }
    if (n_run == 0)
        fprintf(stderr, "nothing matched\n");
    printf("passed: %snot run:%s\n", summary, *missing ? missing : " none");
    return n_failed || n_run == 0;
}
