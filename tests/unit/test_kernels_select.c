/* SPDX-License-Identifier: Apache-2.0 */
/* Which level of kernels is taken: the best, or the one that LUTRA_ISA names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"
#include "kernels/table.h"

static void the_best_supported_level_is_taken(void **state)
{
    (void)state;
    const lutra_kernels *best = NULL, *taken = NULL, *level;
    for (size_t i = 0; (level = lutra_kernels_level(i)) != NULL; i++)
        if (lutra_kernels_supported(level))
            best = level;
    unsetenv("LUTRA_ISA");
    assert_int_equal(lutra_kernels_select(&taken, NULL), LUTRA_OK);
    assert_ptr_equal(taken, best);
    setenv("LUTRA_ISA", "", 1);
    assert_int_equal(lutra_kernels_select(&taken, NULL), LUTRA_OK);
    assert_ptr_equal(taken, best);
}

static void every_level_is_named_and_whole(void **state)
{
    (void)state;
    const lutra_kernels *level;
    assert_string_equal(lutra_kernels_name(lutra_kernels_level(0)), "reference");
    assert_true(lutra_kernels_supported(lutra_kernels_level(0)));
    for (size_t i = 0; (level = lutra_kernels_level(i)) != NULL; i++) {
        assert_in_range(level->tile_rows, 1, LUTRA_MAX_TILE_ROWS);
        assert_in_range(level->tile_panels, 1, LUTRA_MAX_TILE_PANELS);
#define LUTRA_KERNEL(name, parameters) assert_non_null(level->name);
#include "kernels/kernels.inc"
    }
}

static void the_environment_names_a_level(void **state)
{
    (void)state;
    const lutra_kernels *level;
    for (size_t i = 0; (level = lutra_kernels_level(i)) != NULL; i++) {
        const char *name = NULL;
        lutra_error error = {.message = ""};
        setenv("LUTRA_ISA", lutra_kernels_name(level), 1);
        const lutra_status status = lutra_isa(&name, &error);
        if (lutra_kernels_supported(level)) {
            assert_int_equal(status, LUTRA_OK);
            assert_string_equal(name, lutra_kernels_name(level));
        } else {
            assert_int_equal(status, LUTRA_ERROR_ARGUMENT);
            assert_non_null(strstr(error.message, "does not support it"));
        }
    }
}

static void unknown_names_list_the_supported_ones(void **state)
{
    (void)state;
    const char *names[] = {"mmx", "avx", "AVX2", "avx5120", " "};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const lutra_kernels *taken = NULL, *level;
        lutra_error error;
        setenv("LUTRA_ISA", names[i], 1);
        assert_int_equal(lutra_kernels_select(&taken, &error), LUTRA_ERROR_ARGUMENT);
        assert_null(taken);
        assert_non_null(strstr(error.message, names[i]));
        for (size_t j = 0; (level = lutra_kernels_level(j)) != NULL; j++)
            if (lutra_kernels_supported(level))
                assert_non_null(strstr(error.message, lutra_kernels_name(level)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_supported_level_is_taken),
        cmocka_unit_test(every_level_is_named_and_whole),
        cmocka_unit_test(the_environment_names_a_level),
        cmocka_unit_test(unknown_names_list_the_supported_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
