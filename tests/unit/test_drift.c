/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of a hostile model whose outputs together are more than a size can tell: no room of less is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "drift.h"

#define N_STEPS 5

/* The bytes that each step of the model writes; there is no model. */
static uint64_t written[N_STEPS];

size_t __wrap_lutra_model_n_steps(const lutra_model *model);
lutra_status __wrap_lutra_model_step(const lutra_model *model, size_t index, lutra_step_info *info,
                                     lutra_error *error);

size_t __wrap_lutra_model_n_steps(const lutra_model *model)
{
    (void)model;
    return N_STEPS;
}

lutra_status __wrap_lutra_model_step(const lutra_model *model, size_t index, lutra_step_info *info,
                                     lutra_error *error)
{
    (void)model;
    (void)error;
    *info = (lutra_step_info){.written_bytes = written[index]};
    return LUTRA_OK;
}

static void outputs_lie_behind_each_other(void **state)
{
    (void)state;
    tool_drift drift;
    for (size_t i = 0; i < N_STEPS; i++)
        written[i] = 8 * i;
    assert_true(tool_drift_create(&drift, NULL));
    for (size_t i = 0; i < N_STEPS; i++)
        assert_int_equal(drift.offset[i + 1] - drift.offset[i], 2 * i);
    tool_drift_free(&drift);
}

/* Their floats, as sizes of 32 or of 64 bits add up, are one. */
static void outputs_that_wrap_round(void **state)
{
    (void)state;
    tool_drift drift;
    for (size_t i = 0; i < N_STEPS - 1; i++)
        written[i] = SIZE_MAX;
    written[N_STEPS - 1] = 5 * sizeof(float);
    assert_false(tool_drift_create(&drift, NULL));
    tool_drift_free(&drift);
}

/* Cut to a size, its floats would be none. */
static void an_output_beyond_any_size(void **state)
{
    (void)state;
    tool_drift drift;
    if (SIZE_MAX > UINT32_MAX)
        skip(); /* a size holds them */
    for (size_t i = 0; i < N_STEPS; i++)
        written[i] = 8;
    written[2] = sizeof(float) * ((uint64_t)1 << 61);
    assert_false(tool_drift_create(&drift, NULL));
    tool_drift_free(&drift);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_lie_behind_each_other),
        cmocka_unit_test(outputs_that_wrap_round),
        cmocka_unit_test(an_output_beyond_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
