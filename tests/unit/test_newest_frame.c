/* SPDX-License-Identifier: Apache-2.0 */
/* Of a stream's frames the newest is handed over, by its own number, and the others are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "newest_frame.h"

static void offer(tool_newest_frame *newest, uint64_t number, bool too_large)
{
    uint8_t data[] = {(uint8_t)number, 0xd8};
    const tool_frame_cutter cutter = {
        .data = data, .size = sizeof data, .number = number, .too_large = too_large};
    tool_newest_frame_offer(newest, &cutter);
}

static void expect(tool_newest_frame *newest, uint64_t number, uint64_t dropped)
{
    tool_taken_frame taken;
    assert_true(tool_newest_frame_take(newest, &taken));
    assert_int_equal(taken.number, number);
    assert_int_equal(taken.dropped, dropped);
    assert_int_equal(taken.size, 2);
    assert_int_equal(taken.data[0], number);
    free(taken.data);
}

static void the_newest_replaces_what_waits(void **state)
{
    (void)state;
    tool_newest_frame newest = TOOL_NO_FRAME_YET;
    tool_taken_frame taken;
    offer(&newest, 1, false);
    expect(&newest, 1, 0);
    offer(&newest, 2, false);
    offer(&newest, 3, false);
    offer(&newest, 5, false); /* 4 broke off */
    expect(&newest, 5, 2);
    offer(&newest, 6, false);
    tool_newest_frame_end(&newest);
    expect(&newest, 6, 0);
    assert_false(tool_newest_frame_take(&newest, &taken));
}

static void what_cannot_be_kept_leaves_what_waits_as_it_is(void **state)
{
    (void)state;
    tool_newest_frame newest = TOOL_NO_FRAME_YET;
    offer(&newest, 1, false);
    expect(&newest, 1, 0);
    offer(&newest, 2, false);
    offer(&newest, 3, true);
    expect(&newest, 2, 0);
    offer(&newest, 4, false);
    expect(&newest, 4, 0);
    assert_int_equal(newest.too_large, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_replaces_what_waits),
        cmocka_unit_test(what_cannot_be_kept_leaves_what_waits_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
