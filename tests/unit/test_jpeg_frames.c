/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting a stream of JPEGs into frames: by structure, whatever the bytes inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "jpeg_frames.h"

/* A frame with an EXIF segment that holds a whole thumbnail, a scan with a stuffed FF and a restart, a second
 * scan. */
static const uint8_t frame[] = {
    0xff, 0xd8,                                                 /* SOI */
    0xff, 0xe1, 0x00, 0x08, 0xff, 0xd8, 0xff, 0xd9, 0xff, 0xd9, /* APP1 with SOI and EOI inside */
    0xff, 0xff, 0xdb, 0x00, 0x03, 0x07,                         /* a fill byte, DQT */
    0xff, 0xda, 0x00, 0x04, 0x01, 0x02,                         /* SOS */
    0x11, 0xff, 0x00, 0xd9, 0xff, 0xd3, 0x22, 0xff, 0xff, 0xd1,
    0x44,                         /* data: FF stuffed, RST3, fill and RST1 */
    0xff, 0xc4, 0x00, 0x02,       /* DHT without content */
    0xff, 0xda, 0x00, 0x02, 0xd9, /* a second scan */
    0xff, 0xd9,                   /* EOI */
};

/* Feeds `data`; every frame found must be `frame`. Returns their number. */
static size_t count(tool_frame_cutter *cutter, const uint8_t *data, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (!tool_frame_byte(cutter, data[i]))
            continue;
        assert_int_equal(cutter->size, sizeof frame);
        assert_memory_equal(cutter->data, frame, sizeof frame);
        n++;
    }
    return n;
}

static void frames_follow_each_other(void **state)
{
    (void)state;
    const uint8_t between[] = {0x00, 0xff, 0x00, 0xd8, 0xff}; /* no SOI; its last FF fills the next one */
    tool_frame_cutter cutter = {0};
    assert_int_equal(count(&cutter, frame, sizeof frame), 1);
    assert_int_equal(count(&cutter, frame, sizeof frame), 1);
    assert_int_equal(count(&cutter, between, sizeof between), 0);
    assert_false(tool_frame_cut_off(&cutter));
    assert_int_equal(count(&cutter, frame, sizeof frame), 1);
    tool_frame_free(&cutter);
}

static void every_cut_is_noticed(void **state)
{
    (void)state;
    for (size_t size = 2; size < sizeof frame; size++) {
        tool_frame_cutter cutter = {0};
        assert_int_equal(count(&cutter, frame, size), 0);
        assert_true(tool_frame_cut_off(&cutter));
        assert_int_equal(count(&cutter, frame + size, sizeof frame - size), 1);
        assert_false(tool_frame_cut_off(&cutter));
        tool_frame_free(&cutter);
    }
}

/* The frame after a cut one is found, and the cut one counted, but where the cut is inside a segment. */
static void a_frame_that_breaks_off_is_told_of(void **state)
{
    (void)state;
    static const struct {
        size_t begin, end; /* cuts inside a segment: behind its code, before its last byte */
    } segments[] = {{4, 12}, {15, 18}, {20, 24}, {37, 39}, {41, 43}};
    for (size_t size = 2; size < sizeof frame; size++) {
        bool in_segment = false;
        for (size_t i = 0; i < sizeof segments / sizeof *segments; i++)
            in_segment = in_segment || (size >= segments[i].begin && size < segments[i].end);
        if (in_segment)
            continue;
        tool_frame_cutter cutter = {0};
        assert_int_equal(count(&cutter, frame, sizeof frame), 1);
        assert_int_equal(count(&cutter, frame, size), 0);
        assert_int_equal(count(&cutter, frame, sizeof frame), 1);
        assert_int_equal(cutter.number, 3);
        assert_int_equal(cutter.n_abandoned, 1);
        assert_false(tool_frame_cut_off(&cutter));
        tool_frame_free(&cutter);
    }
}

/* As libjpeg reads them: bytes that are no marker, stuffing, restarts, lengths below their own two bytes. */
static void what_stands_between_segments_is_passed_over(void **state)
{
    (void)state;
    static const uint8_t odd[] = {
        0xff, 0xd8, 0x00, 0x12, 0xff, 0x00, 0xff, 0xd0, 0xff, 0xe0, 0x00, 0x01, 0xff, 0xe0,
        0x00, 0x00, 0x00, 0xff, 0xda, 0x00, 0x02, 0x11, 0xff, 0x01, 0x00, 0xff, 0xd9,
    };
    tool_frame_cutter cutter = {0};
    for (size_t i = 0; i < sizeof odd; i++)
        assert_int_equal(tool_frame_byte(&cutter, odd[i]), i == sizeof odd - 1);
    assert_int_equal(cutter.size, sizeof odd);
    assert_memory_equal(cutter.data, odd, sizeof odd);
    assert_int_equal(count(&cutter, frame, sizeof frame), 1);
    assert_int_equal(cutter.n_abandoned, 0);
    tool_frame_free(&cutter);
}

/* What a scan holds beyond 64 MiB is not kept, its frame is told of; the next one is found again. */
static void endless_frame_is_bounded(void **state)
{
    (void)state;
    tool_frame_cutter cutter = {0};
    assert_int_equal(count(&cutter, frame, sizeof frame - 2), 0);
    for (size_t i = 0; i < (size_t)65 << 20; i++)
        assert_false(tool_frame_byte(&cutter, 0x55));
    assert_true(cutter.capacity <= (size_t)64 << 20);
    assert_false(tool_frame_byte(&cutter, 0xff));
    assert_true(tool_frame_byte(&cutter, 0xd9));
    assert_true(cutter.too_large);
    assert_int_equal(count(&cutter, frame, sizeof frame), 1);
    assert_false(cutter.too_large);
    tool_frame_free(&cutter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_follow_each_other),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(a_frame_that_breaks_off_is_told_of),
        cmocka_unit_test(what_stands_between_segments_is_passed_over),
        cmocka_unit_test(endless_frame_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
