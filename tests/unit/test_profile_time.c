/* SPDX-License-Identifier: Apache-2.0 */
/* What the hardware counts in a run, with counters that count runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inputs.h"
#include "profile.h"

#define MODEL "tests/golden/models/timm-finetuned"
#define BYTES 64 /* that one reads between two readings */

/* There is one of each kind. */
struct lutra_counter {
    uint64_t bytes, most; /* beyond which it fails */
};
static lutra_counter counters[PROFILE_N_COUNTERS] = {{.most = UINT64_MAX}, {.most = UINT64_MAX}};

lutra_status __wrap_lutra_counter_open(lutra_counter **counter, lutra_error *error);
lutra_status __wrap_lutra_counter_open_memory(lutra_counter **counter, lutra_error *error);
lutra_status __wrap_lutra_counter_read(lutra_counter *counter, uint64_t *bytes, lutra_error *error);
void __wrap_lutra_counter_close(lutra_counter *counter);

lutra_status __wrap_lutra_counter_open(lutra_counter **counter, lutra_error *error)
{
    (void)error;
    *counter = &counters[PROFILE_MISSES];
    return LUTRA_OK;
}

lutra_status __wrap_lutra_counter_open_memory(lutra_counter **counter, lutra_error *error)
{
    (void)error;
    *counter = &counters[PROFILE_CONTROLLERS];
    return LUTRA_OK;
}

lutra_status __wrap_lutra_counter_read(lutra_counter *counter, uint64_t *bytes, lutra_error *error)
{
    (void)error;
    *bytes = counter->bytes += BYTES;
    return counter->bytes > counter->most ? LUTRA_ERROR_UNSUPPORTED : LUTRA_OK;
}

void __wrap_lutra_counter_close(lutra_counter *counter)
{
    (void)counter;
}

static void open_twice(bench_models *models, const tool_arguments *arguments)
{
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    char *path = tool_join(root ? root : ".", MODEL);
    assert_non_null(path);
    assert_int_equal(bench_models_add(models, path, &arguments->model), TOOL_DONE);
    assert_int_equal(bench_models_add(models, path, &arguments->model), TOOL_DONE);
    free(path);
}

/* A run is read before and behind: the runs of the warm-up are not among those that are timed. */
static void bytes_are_those_of_a_run(void **state)
{
    (void)state;
    bench_models models = {.n = 0};
    tool_arguments arguments = {.n_threads = 1, .quiet = true};
    open_twice(&models, &arguments);
    for (arguments.repeat = 1; arguments.repeat <= 3; arguments.repeat++) {
        tool_progress progress;
        profile_results results = {.n = 0};
        tool_progress_begin(&progress, &arguments, "timing");
        assert_int_equal(profile_time(&models, &arguments, &progress, &results), TOOL_DONE);
        assert_int_equal(results.n, 2);
        for (size_t i = 0; i < results.n; i++)
            for (size_t j = 0; j < PROFILE_N_COUNTERS; j++) {
                assert_true(results.at[i].is_counted[j]);
                assert_int_equal(results.at[i].counted_bytes[j], BYTES);
            }
        profile_results_free(&results);
    }
    bench_models_close(&models);
}

/* What it counted until then is no run's. */
static void a_counter_that_fails_is_left_out(void **state)
{
    (void)state;
    bench_models models = {.n = 0};
    const tool_arguments arguments = {.n_threads = 1, .quiet = true, .repeat = 3};
    tool_progress progress;
    profile_results results = {.n = 0};
    open_twice(&models, &arguments);
    counters[PROFILE_MISSES].most = counters[PROFILE_MISSES].bytes + 6 * BYTES;
    tool_progress_begin(&progress, &arguments, "timing");
    assert_int_equal(profile_time(&models, &arguments, &progress, &results), TOOL_DONE);
    for (size_t i = 0; i < results.n; i++) {
        assert_false(results.at[i].is_counted[PROFILE_MISSES]);
        assert_true(results.at[i].is_counted[PROFILE_CONTROLLERS]);
        assert_int_equal(results.at[i].counted_bytes[PROFILE_CONTROLLERS], BYTES);
    }
    profile_results_free(&results);
    bench_models_close(&models);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_are_those_of_a_run),
                                       cmocka_unit_test(a_counter_that_fails_is_left_out)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
