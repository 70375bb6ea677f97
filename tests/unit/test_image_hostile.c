/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are no pictures, or lie about themselves, give an error that says so: no crash, no leak (the
 * sanitizers watch), and never a picture with rows that were not in the file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h> /* jpeglib.h needs FILE */

#include <jpeglib.h>

#include "image/exif.h"
#include "image_golden.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct {
    const char *name;
    size_t width, height;
    uint32_t upright;
    size_t stored_width, stored_height;
    uint32_t stored, resized;
} files[] = {
#include "encoded.inc"
};

enum { SIDE = 24 };

static lutra_status read_bytes(const uint8_t *data, size_t size, bool ignore_exif,
                               uint8_t pixels[SIDE * SIDE * 3], lutra_error *error)
{
    lutra_preprocessing p = {.width = SIDE, .height = SIDE, .crop_pct = 0.9, .resample = 3};
    p.ignore_exif = ignore_exif;
    *error = (lutra_error){.message = ""};
    return lutra_image_read_memory(data, size, "it", &p, pixels, error);
}

static void expect(const uint8_t *data, size_t size, lutra_status status, const char *message)
{
    uint8_t pixels[SIDE * SIDE * 3];
    lutra_error error;
    assert_int_equal(read_bytes(data, size, false, pixels, &error), status);
    assert_string_equal(error.message, message);
}

static void what_is_no_picture_says_so(void **state)
{
    (void)state;
    const uint8_t text[] = "This is a text, and not a short one at that.";
    expect(text, 0, LUTRA_ERROR_FORMAT, "it: is empty");
    expect(text, sizeof text, LUTRA_ERROR_FORMAT, "it: byte 0: is not a JPEG, PNG or WebP picture");
    expect((const uint8_t *)"\xff\xd8\xff", 3, LUTRA_ERROR_FORMAT, "it: byte 3: the picture is cut short");
    expect((const uint8_t *)"\x89PNG\r\n\x1a\n", 8, LUTRA_ERROR_FORMAT,
           "it: byte 8: the picture is cut short");
    expect((const uint8_t *)"RIFF\4\0\0\0WEBP", 12, LUTRA_ERROR_FORMAT,
           "it: the WebP picture is damaged or cut short");
}

static void a_path_that_is_no_file_says_so(void **state)
{
    (void)state;
    lutra_preprocessing p = {.width = SIDE, .height = SIDE, .crop_pct = 1.0};
    uint8_t pixels[SIDE * SIDE * 3];
    lutra_error error;
    assert_int_equal(lutra_image_read("/nowhere/a.jpg", &p, pixels, &error), LUTRA_ERROR_IO);
    assert_string_equal(error.message, "/nowhere/a.jpg: cannot open it: No such file or directory");
    assert_int_equal(lutra_image_read("/", &p, pixels, &error), LUTRA_ERROR_IO);
    assert_string_equal(error.message, "/: is not a regular file");
    assert_int_equal(lutra_image_read("/dev/null", &p, pixels, NULL), LUTRA_ERROR_IO);
}

/* Cut anywhere, a file is refused, or (only its end marker is missing) gives what the whole file gives. */
static void cut(const char *name, const uint8_t *data, size_t size)
{
    uint8_t whole[SIDE * SIDE * 3], pixels[SIDE * SIDE * 3];
    size_t n_accepted = 0, step = size / 60 + 1;
    lutra_error error;
    assert_int_equal(read_bytes(data, size, true, whole, &error), LUTRA_OK);
    for (size_t cut = 0; cut < size; cut += cut + 40 < size ? step : 1) {
        uint8_t *part = malloc(cut ? cut : 1); /* of its own, so that reading beyond is noticed */
        assert_non_null(part);
        memcpy(part, data, cut);
        lutra_status status = read_bytes(part, cut, true, pixels, &error);
        free(part);
        if (status == LUTRA_OK) {
            n_accepted++;
            if (memcmp(pixels, whole, sizeof whole) != 0)
                fail_msg("%s: %zu of %zu bytes give another picture", name, cut, size);
            continue;
        }
        if (status != LUTRA_ERROR_FORMAT || strncmp(error.message, "it: ", 4) != 0)
            fail_msg("%s: %zu of %zu bytes: %s", name, cut, size, error.message);
    }
    if (n_accepted > 40)
        fail_msg("%s: %zu cuts are accepted", name, n_accepted);
}

static void cut_files_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        size_t size = 0;
        uint8_t *data = golden_read(files[i].name, &size);
        assert_non_null(data);
        cut(files[i].name, data, size);
        free(data);
    }
}

/* A JPEG in arithmetic codes; NULL where libjpeg has none. */
static uint8_t *make_arithmetic(bool progressive, unsigned restart_rows, size_t *size)
{
#ifdef C_ARITH_CODING_SUPPORTED
    enum { WIDTH = 90, HEIGHT = 70 };
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL;
    unsigned long n = 0;
    uint8_t *pixels = golden_noise(WIDTH, HEIGHT, 1);
    assert_non_null(pixels);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &data, &n);
    jpeg.image_width = WIDTH;
    jpeg.image_height = HEIGHT;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg.arith_code = TRUE;
    jpeg.restart_in_rows = (int)restart_rows;
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (size_t y = 0; y < HEIGHT; y++) {
        JSAMPROW row = pixels + y * WIDTH * 3;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(pixels);
    *size = n;
    return data;
#else
    (void)progressive;
    (void)restart_rows;
    *size = 0;
    return NULL;
#endif
}

static void cut_arithmetic_codes_are_refused(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < 4; kind++) {
        size_t size;
        uint8_t *data = make_arithmetic(kind & 1, kind & 2 ? 1 : 0, &size);
        if (!data)
            skip();
        cut("arithmetic codes", data, size);
        free(data);
    }
}

/* libjpeg ends a scan at an impossible code, with zeros for the rest. */
static void impossible_arithmetic_codes_are_refused(void **state)
{
    (void)state;
    size_t size, n_impossible = 0;
    uint8_t *data = make_arithmetic(false, 0, &size), pixels[SIDE * SIDE * 3];
    if (!data)
        skip();
    for (size_t at = size / 2; at < size / 2 + 100; at++) {
        lutra_error error;
        data[at] ^= 0x55;
        const lutra_status status = read_bytes(data, size, true, pixels, &error);
        n_impossible += status == LUTRA_ERROR_FORMAT && strstr(error.message, "data is damaged");
        data[at] ^= 0x55;
    }
    assert_true(n_impossible > 0);
    free(data);
}

/* Whatever a byte becomes: an answer, and no report by a sanitizer. */
static void changed_bytes_do_no_harm(void **state)
{
    (void)state;
    uint32_t random = 1;
    size_t n_refused = 0;
    for (size_t i = 0; i < COUNT(files); i++) {
        size_t size = 0;
        uint8_t *data = golden_read(files[i].name, &size), pixels[SIDE * SIDE * 3];
        assert_true(data && size > 0);
        for (int round = 0; round < 60; round++) {
            lutra_error error;
            random = random * 1664525u + 1013904223u;
            /* Half of the changes hit the headers. */
            size_t at = (random >> 8) % (round % 2 ? size : size < 128 ? size : 128);
            uint8_t before = data[at];
            random = random * 1664525u + 1013904223u;
            data[at] = (uint8_t)(random >> 24);
            lutra_status status = read_bytes(data, size, false, pixels, &error);
            assert_true((status == LUTRA_OK) == (error.message[0] == '\0'));
            n_refused += status != LUTRA_OK;
            data[at] = before;
        }
        free(data);
    }
    assert_true(n_refused > COUNT(files) * 10);
}

/* ---- sizes that are only declared ---- */

static void big_endian_32(uint8_t *out, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* The PNG at `data` with another size in its header. */
static void declare_png(uint8_t *data, uint32_t width, uint32_t height)
{
    big_endian_32(data + 16, width);
    big_endian_32(data + 20, height);
    big_endian_32(data + 29, golden_crc(data + 12, 17));
}

static void declared_giants_are_refused(void **state)
{
    (void)state;
    size_t size = 0;
    uint8_t *data = golden_read("rgb_8.png", &size);
    assert_non_null(data);
    declare_png(data, 100000, 100000);
    expect(data, size, LUTRA_ERROR_UNSUPPORTED,
           "it: the picture is 100000 x 100000 pixels; the limits are 2^28 pixels and 2^20 a side");
    declare_png(data, (1u << 28), 1);
    expect(data, size, LUTRA_ERROR_UNSUPPORTED,
           "it: the picture is 268435456 x 1 pixels; the limits are 2^28 pixels and 2^20 a side");
    declare_png(data, 0, 5);
    uint8_t pixels[SIDE * SIDE * 3];
    lutra_error error;
    assert_int_equal(read_bytes(data, size, false, pixels, &error), LUTRA_ERROR_FORMAT);
    declare_png(data, 16384, 16384); /* within the limit, but the rows are missing */
    assert_int_equal(read_bytes(data, size, false, pixels, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "the picture is cut short"));
    free(data);

    data = golden_read("rgb_444.jpg", &size);
    assert_non_null(data);
    size_t at = 0;
    while (at + 9 < size && !(data[at] == 0xff && data[at + 1] == 0xc0))
        at++;
    memcpy(data + at + 5, "\xff\xdc\xff\xdc", 4); /* 65500 x 65500 */
    expect(data, size, LUTRA_ERROR_UNSUPPORTED,
           "it: the picture is 65500 x 65500 pixels; the limits are 2^28 pixels and 2^20 a side");
    memset(data + at + 5, 0, 2); /* a height of 0: to be told by a later marker, which nobody writes */
    assert_int_equal(read_bytes(data, size, false, pixels, &error), LUTRA_ERROR_FORMAT);
    free(data);
}

/* 12 bits a sample, and lossless compression. */
static void jpegs_of_other_kinds_are_unsupported(void **state)
{
    (void)state;
    size_t size = 0, at = 0;
    uint8_t *data = golden_read("rgb_444.jpg", &size), pixels[SIDE * SIDE * 3];
    lutra_error error;
    assert_non_null(data);
    while (at + 9 < size && !(data[at] == 0xff && data[at + 1] == 0xc0))
        at++;
    data[at + 4] = 12;
    assert_int_equal(read_bytes(data, size, false, pixels, &error), LUTRA_ERROR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "not a JPEG that Lutra reads: "));
    data[at + 4] = 8;
    data[at + 1] = 0xc3;
    assert_int_equal(read_bytes(data, size, false, pixels, &error), LUTRA_ERROR_UNSUPPORTED);
    free(data);
}

/* A progressive file of 60 KB whose scans would take hours on a large picture. */
static void endless_scans_are_refused(void **state)
{
    (void)state;
    size_t size = 0, scan = 2;
    uint8_t *data = golden_read("grey_progressive.jpg", &size);
    assert_non_null(data);
    while (!(data[scan] == 0xff && data[scan + 1] == 0xda))
        scan += 2 + ((size_t)data[scan + 2] << 8 | data[scan + 3]);
    size_t length = 0; /* of the first scan: up to the next marker that is no stuffing */
    while (data[scan + length + 1] != 0xc4 || data[scan + length] != 0xff)
        length++;
    enum { REPEATS = 300 };
    uint8_t *bomb = malloc(size + length * REPEATS);
    assert_non_null(bomb);
    memcpy(bomb, data, scan);
    for (size_t i = 0; i <= REPEATS; i++)
        memcpy(bomb + scan + i * length, data + scan, length);
    size_t rest = scan + length;
    memcpy(bomb + scan + (REPEATS + 1) * length, data + rest, size - rest);
    uint8_t pixels[SIDE * SIDE * 3];
    lutra_error error;
    assert_int_equal(read_bytes(bomb, size + length * REPEATS, false, pixels, &error), LUTRA_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "scans"));
    free(bomb);
    free(data);
}

/* ---- EXIF ---- */

static void broken_exif_means_upright(void **state)
{
    (void)state;
    /* One entry: tag 0x0112, SHORT, count 1, value 6. */
    const uint8_t good[] = "II*\0\x8\0\0\0\x1\0\x12\x1\x3\0\x1\0\0\0\x6\0\0\0\0\0\0";
    const size_t size = sizeof good - 1;
    assert_int_equal(lutra_exif_orientation(good, size), 6);
    for (size_t cut = 0; cut < 8 + 2 + 12; cut++) {
        uint8_t *part = malloc(cut ? cut : 1);
        assert_non_null(part);
        memcpy(part, good, cut);
        assert_int_equal(lutra_exif_orientation(part, cut), 1);
        free(part);
    }
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {
        {0, 'X'},  /* neither byte order */
        {3, 1},    /* not 42 */
        {7, 0xff}, /* the directory beyond the end */
        {4, 24},   /* the directory at the end */
        {11, 2},   /* another tag */
        {12, 1},   /* a BYTE */
        {18, 0},   /* orientation 0 */
        {18, 9},   /* orientation 9 */
        {19, 1},   /* orientation 262 */
    };
    for (size_t i = 0; i < COUNT(changes); i++) {
        uint8_t bad[sizeof good];
        memcpy(bad, good, sizeof good);
        bad[changes[i].at] = changes[i].value;
        if (lutra_exif_orientation(bad, size) != 1)
            fail_msg("change %zu", i);
    }
    uint8_t as_long[sizeof good];
    memcpy(as_long, good, sizeof good);
    as_long[12] = 4;
    assert_int_equal(lutra_exif_orientation(as_long, size), 6);
    as_long[20] = 1; /* orientation 65542 */
    assert_int_equal(lutra_exif_orientation(as_long, size), 1);
    uint8_t many[sizeof good];
    memcpy(many, good, sizeof good);
    memset(many + 8, 0xff, 4); /* 65535 entries, and not the tag */
    assert_int_equal(lutra_exif_orientation(many, size), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_picture_says_so),
        cmocka_unit_test(a_path_that_is_no_file_says_so),
        cmocka_unit_test(cut_files_are_refused),
        cmocka_unit_test(cut_arithmetic_codes_are_refused),
        cmocka_unit_test(impossible_arithmetic_codes_are_refused),
        cmocka_unit_test(changed_bytes_do_no_harm),
        cmocka_unit_test(declared_giants_are_refused),
        cmocka_unit_test(endless_scans_are_refused),
        cmocka_unit_test(jpegs_of_other_kinds_are_unsupported),
        cmocka_unit_test(broken_exif_means_upright),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
