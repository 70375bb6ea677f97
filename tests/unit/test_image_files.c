/* SPDX-License-Identifier: Apache-2.0 */
/* Every kind of picture file gives the pixels that Pillow gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "image_golden.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *name;
    size_t width, height; /* upright */
    uint32_t upright;
    size_t stored_width, stored_height;
    uint32_t stored, resized;
} files[] = {
#include "encoded.inc"
};

enum { RESIZED_WIDTH = 29, RESIZED_HEIGHT = 23 };

static void check_pixels(const char *name, const lutra_preprocessing *p, uint32_t expected)
{
    char path[1024];
    lutra_error error = {.message = ""};
    uint8_t *pixels = malloc(p->width * p->height * 3);
    assert_non_null(pixels);
    golden_path(name, path);
    lutra_status status = lutra_image_read(path, p, pixels, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, LUTRA_OK);
    uint32_t crc = golden_crc(pixels, p->width * p->height * 3);
    free(pixels);
    if (crc != expected)
        fail_msg("%s at %zu x %zu differs", name, p->width, p->height);
}

static void files_decode_as_pillow_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        lutra_preprocessing p = golden_exact(files[i].width, files[i].height, 3);
        check_pixels(files[i].name, &p, files[i].upright);
    }
}

static void orientation_is_ignored_on_demand(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        lutra_preprocessing p = golden_exact(files[i].stored_width, files[i].stored_height, 3);
        p.ignore_exif = true;
        check_pixels(files[i].name, &p, files[i].stored);
    }
}

static void files_are_resized_upright(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        lutra_preprocessing p = golden_exact(RESIZED_WIDTH, RESIZED_HEIGHT, 3);
        check_pixels(files[i].name, &p, files[i].resized);
    }
}

static void standard_input_is_read_to_its_end(void **state)
{
    (void)state;
    char path[1024];
    int saved = dup(STDIN_FILENO), opened;
    golden_path(files[0].name, path);
    opened = open(path, O_RDONLY);
    assert_true(saved >= 0 && opened >= 0);
    assert_int_equal(dup2(opened, STDIN_FILENO), STDIN_FILENO);
    close(opened);

    lutra_preprocessing p = golden_exact(RESIZED_WIDTH, RESIZED_HEIGHT, 3);
    uint8_t pixels[RESIZED_WIDTH * RESIZED_HEIGHT * 3];
    lutra_error error;
    lutra_status first = lutra_image_read("-", &p, pixels, &error);
    lutra_status again = lutra_image_read("-", &p, NULL, &error);
    dup2(saved, STDIN_FILENO);
    close(saved);
    assert_int_equal(first, LUTRA_OK);
    assert_int_equal(golden_crc(pixels, sizeof pixels), files[0].resized);
    assert_int_equal(again, LUTRA_ERROR_FORMAT);
    assert_string_equal(error.message, "standard input: is empty");
}

/* photos.tsv beside the other golden files: name, checksum of the preprocessed pixels. */
static void photos_equal_timm_and_pillow(void **state)
{
    (void)state;
    const char *shared = getenv("LUTRA_SHARED"), *root = getenv("LUTRA_SOURCE_ROOT");
    lutra_preprocessing p = {.width = 224, .height = 224, .crop_pct = 0.875, .resample = 3};
    static uint8_t pixels[224 * 224 * 3];
    char path[1024], line[256], name[128];
    unsigned crc, n = 0;
    if (shared)
        snprintf(path, sizeof path, "%s/images/imagenet-sample", shared);
    else
        snprintf(path, sizeof path, "%s/../shared/images/imagenet-sample", root ? root : ".");
    if (access(path, R_OK) != 0) {
        print_message("%s is missing: 500 photos are not compared with timm and Pillow\n", path);
        skip();
    }
    size_t folder = strlen(path);
    char table[1024];
    golden_path("photos.tsv", table);
    FILE *file = fopen(table, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%127[^#\t]\t%x", name, &crc) != 2)
            continue;
        snprintf(path + folder, sizeof path - folder, "/%s", name);
        lutra_error error = {.message = ""};
        lutra_image_read(path, &p, pixels, &error);
        assert_string_equal(error.message, "");
        if (golden_crc(pixels, sizeof pixels) != crc)
            fail_msg("%s differs", name);
        n++;
    }
    fclose(file);
    assert_int_equal(n, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_decode_as_pillow_does),  cmocka_unit_test(orientation_is_ignored_on_demand),
        cmocka_unit_test(files_are_resized_upright),    cmocka_unit_test(standard_input_is_read_to_its_end),
        cmocka_unit_test(photos_equal_timm_and_pillow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
