/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a picture survives each of its allocations failing: LUTRA_ERROR_MEMORY, and nothing leaks (the
 * sanitizers watch). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image_golden.h"

/* Of the allocations to come, the one that fails; the linker sends the library's calls here. */
static size_t countdown = SIZE_MAX;

static bool fails(void)
{
    return countdown != SIZE_MAX && countdown-- == 0;
}

void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *pointer, size_t size);
void *__wrap_realloc(void *pointer, size_t size);

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *pointer, size_t size)
{
    return fails() ? NULL : __real_realloc(pointer, size);
}

/* Fails the first allocation, then the second, and so on until one does not come; how many came. */
static size_t fail_each(const char *path)
{
    lutra_preprocessing p = {.width = 16, .height = 16, .crop_pct = 0.9, .resample = 3};
    uint8_t pixels[16 * 16 * 3];
    for (size_t n = 0;; n++) {
        lutra_error error = {.message = ""};
        countdown = n;
        lutra_status status = lutra_image_read(path, &p, pixels, &error);
        bool all_came = countdown != SIZE_MAX;
        countdown = SIZE_MAX;
        if (all_came) {
            assert_int_equal(status, LUTRA_OK);
            return n;
        }
        assert_int_equal(status, LUTRA_ERROR_MEMORY);
        assert_non_null(strstr(error.message, "cannot allocate"));
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *const names[] = {"rgb_420.jpg",          "cmyk.jpg",  "exif_6.jpg", "rgb_8.png",
                                 "rgb_8_interlaced.png", "lossy.webp"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[1024];
        golden_path(names[i], path);
        /* A resizer, two axes of three, four buffers of rows, and the decoder's own. */
        assert_true(fail_each(path) >= 1 + 6 + 4 + 1);
    }
}

static void standard_input_may_fail_to_grow(void **state)
{
    (void)state;
    lutra_preprocessing p = golden_exact(4, 4, 3);
    uint8_t pixels[4 * 4 * 3];
    lutra_error error;
    countdown = 0;
    lutra_status status = lutra_image_read("-", &p, pixels, &error);
    countdown = SIZE_MAX;
    assert_int_equal(status, LUTRA_ERROR_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(standard_input_may_fail_to_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
