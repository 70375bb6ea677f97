/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C while profile predicts or models traffic: the call at hand is the last one, and nothing is written.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "inputs.h"
#include "profile.h"

static size_t n_calls; /* of what may take long */

lutra_status __wrap_lutra_predict(const lutra_model *model, const lutra_device *device,
                                  const lutra_prediction_options *options, lutra_step_prediction *steps,
                                  lutra_error *error);
lutra_status __real_lutra_predict(const lutra_model *model, const lutra_device *device,
                                  const lutra_prediction_options *options, lutra_step_prediction *steps,
                                  lutra_error *error);
lutra_status __wrap_lutra_model_traffic(const lutra_model *model, lutra_mode mode, size_t batch,
                                        uint64_t cache_bytes, uint64_t *bytes, lutra_error *error);
lutra_status __real_lutra_model_traffic(const lutra_model *model, lutra_mode mode, size_t batch,
                                        uint64_t cache_bytes, uint64_t *bytes, lutra_error *error);

static void interrupt(void)
{
    if (n_calls++ == 0 && !tool_interrupted()) /* the handler takes one signal */
        raise(SIGINT);
}

lutra_status __wrap_lutra_predict(const lutra_model *model, const lutra_device *device,
                                  const lutra_prediction_options *options, lutra_step_prediction *steps,
                                  lutra_error *error)
{
    interrupt();
    return __real_lutra_predict(model, device, options, steps, error);
}

lutra_status __wrap_lutra_model_traffic(const lutra_model *model, lutra_mode mode, size_t batch,
                                        uint64_t cache_bytes, uint64_t *bytes, lutra_error *error)
{
    interrupt();
    return __real_lutra_model_traffic(model, mode, batch, cache_bytes, bytes, error);
}

/* A model twice, and a described device with two caches. */
typedef struct fixture {
    char *data, *model, *description;
    bench_models models;
    tool_device device;
    profile_results results;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    const tool_arguments arguments = {.quiet = true};
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    assert_non_null(f);
    f->data = tool_join(root ? root : ".", "data");
    f->model = tool_join(root ? root : ".", "tests/golden/models/timm-finetuned");
    f->description = tool_join(root ? root : ".", "data/devices/pi4.json");
    assert_true(f->data && f->model && f->description);
    assert_int_equal(setenv("LUTRA_DATA_DIR", f->data, 1), 0);
    assert_int_equal(lutra_device_read(f->description, &f->device.device, NULL), LUTRA_OK);
    assert_int_equal(bench_models_add(&f->models, f->model, &arguments.model), TOOL_DONE);
    assert_int_equal(bench_models_add(&f->models, f->model, &arguments.model), TOOL_DONE);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    profile_results_free(&f->results);
    bench_models_close(&f->models);
    free(f->data);
    free(f->model);
    free(f->description);
    free(f);
    return 0;
}

static void predicting_ends(void **state)
{
    fixture *f = *state;
    const tool_arguments arguments = {.quiet = true};
    n_calls = 0;
    signal(SIGINT, SIG_DFL); /* a shell has it ignored by what it starts in the background */
    tool_catch_interrupts();
    assert_int_equal(profile_predict(&f->models, &arguments, &f->device, &f->results), TOOL_INTERRUPTED);
    assert_int_equal(n_calls, 1);
}

/* Of the first model, whose steps are there. */
static void traffic_ends(void **state)
{
    fixture *f = *state;
    n_calls = 0;
    assert_true(f->device.device.n_caches > 1);
    assert_int_equal(profile_complete(&f->results.at[0]), TOOL_INTERRUPTED);
    assert_int_equal(n_calls, 1);
}

static void no_page_is_written(void **state)
{
    fixture *f = *state;
    n_calls = 0;
    assert_int_equal(profile_write_page(&f->results, "/nonexistent/page.html"), TOOL_INTERRUPTED);
    assert_int_equal(n_calls, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predicting_ends),
        cmocka_unit_test(traffic_ends),
        cmocka_unit_test(no_page_is_written),
    };
    return cmocka_run_group_tests_name("profile_interrupted", tests, set_up, tear_down);
}
