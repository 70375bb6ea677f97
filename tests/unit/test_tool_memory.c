/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations of the command that fail, one after the other: it fails then too, and says so, once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "faults.h"
#include "inputs.h"
#include "profile.h"

#define MODEL "tests/golden/models/timm-finetuned"
#define OUT_OF_MEMORY "lutra: out of memory\n"

static bench_models models;
static const tool_arguments arguments = {.n_threads = 1, .quiet = true, .json = true, .duration = 1};

/* A clock by which every run takes a second: what would take its time is over at once. */
double __wrap_tool_seconds(void);
double __wrap_tool_seconds(void)
{
    static double now;
    return now += 1;
}

static int open_model(void **state)
{
    (void)state;
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    char *path = tool_join(root ? root : ".", MODEL);
    const int result = path ? bench_models_add(&models, path, &arguments.model) : TOOL_FAILED;
    free(path);
    return result;
}

static int close_model(void **state)
{
    (void)state;
    bench_models_close(&models);
    return 0;
}

/* Arms the `first`-th allocation and sends what `run` prints as an error to `text` [size] -> its status;
 * `*hit`: there was such an allocation. */
static int run_without(size_t first, int (*run)(void), char *text, size_t size, bool *hit)
{
    FILE *file = tmpfile();
    const int terminal = dup(STDERR_FILENO);
    assert_true(file && terminal >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    fault_arm((fault){.kind = FAULT_ALLOCATE, .first = first, .count = 1, .error = ENOMEM});
    const int result = run();
    *hit = fault_disarm();
    assert_true(dup2(terminal, STDERR_FILENO) >= 0);
    close(terminal);
    rewind(file);
    text[fread(text, 1, size - 1, file)] = 0;
    fclose(file);
    return result;
}

static void one_allocation_fails(int (*run)(void))
{
    bool hit = true;
    for (size_t first = 0; hit; first++) {
        char text[1024];
        const int result = run_without(first, run, text, sizeof text, &hit);
        assert_int_equal(result, hit ? TOOL_FAILED : TOOL_DONE);
        assert_string_equal(text, hit ? OUT_OF_MEMORY : "");
    }
}

static int time_model(void)
{
    static const bench_limit limit = {.least = 2, .most = 2};
    tool_progress progress = {.quiet = true};
    bench_results results = {0};
    const int result = bench_time(&models, &arguments, 1, 1, &limit, &progress, &results);
    bench_results_free(&results);
    return result;
}

static void times(void **state)
{
    (void)state;
    one_allocation_fails(time_model);
}

static int predict_model(void)
{
    tool_device device = {0};
    profile_results results = {.n = 0};
    lutra_device_look(&device.device);
    device.device.clock = device.device.clock_all = device.device.dram_one_core =
        device.device.dram_all_cores = 1e9;
    device.device.macs_per_cycle_f32 = device.device.macs_per_cycle_bf16 = device.device.macs_per_cycle_i8 =
        8;
    const int result = profile_predict(&models, &arguments, &device, &results);
    profile_results_free(&results);
    return result;
}

static void predictions(void **state)
{
    (void)state;
    one_allocation_fails(predict_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(times), cmocka_unit_test(predictions)};
    return cmocka_run_group_tests(tests, open_model, close_model);
}
