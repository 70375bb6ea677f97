/* SPDX-License-Identifier: Apache-2.0 */
/* A build without picture codecs says so, and still takes frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image_golden.h"

static void picture_files_are_unsupported(void **state)
{
    (void)state;
    char path[1024];
    lutra_preprocessing p = golden_exact(8, 8, 3);
    uint8_t pixels[8 * 8 * 3];
    lutra_error error;
    golden_path("rgb_444.jpg", path);
    assert_int_equal(lutra_image_read(path, &p, pixels, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "rgb_444.jpg: this build of Lutra reads no picture files"));
    assert_int_equal(lutra_image_read_memory("x", 1, "a", &p, pixels, &error), LUTRA_ERROR_UNSUPPORTED);
}

static void frames_are_taken(void **state)
{
    (void)state;
    lutra_preprocessing p = golden_exact(2, 1, 3);
    const uint8_t source[6] = {1, 2, 3, 4, 5, 6};
    uint8_t pixels[6];
    assert_int_equal(lutra_image_from_rgb8(source, 2, 1, 6, LUTRA_BGR, &p, pixels, NULL), LUTRA_OK);
    assert_memory_equal(pixels, ((const uint8_t[6]){3, 2, 1, 6, 5, 4}), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(picture_files_are_unsupported),
        cmocka_unit_test(frames_are_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
