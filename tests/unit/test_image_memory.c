/* SPDX-License-Identifier: Apache-2.0 */
/* Large photos are read with memory for some rows, not for the picture: the kernel refuses more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jpeglib.h>
#include <spng.h>

#include "image_golden.h"

/* A limit on memory would stop the sanitizers themselves: under them the pictures are only read. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

#define KIB ((size_t)1024)

/* Private writable memory of this process, bytes: what RLIMIT_DATA limits. */
static size_t data_size(void)
{
    char line[256];
    size_t kib = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmData: %zu kB", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * KIB;
}

/* Runs in a child, so that neither its memory nor what it frees is at hand afterwards; its exit status. */
static int in_child(int (*work)(const void *), const void *argument)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(work(argument));
    int result = 0;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

typedef struct large {
    unsigned width, height;
    uint8_t orientation; /* JPEG */
    bool interlaced;     /* PNG */
    char path[64];
    int descriptor;
    size_t allowance; /* bytes that reading it may add */
} large;

static int read_within(const void *argument)
{
    const large *picture = argument;
    lutra_preprocessing p = {.width = 224, .height = 224, .crop_pct = 0.875, .resample = 3};
    static uint8_t pixels[224 * 224 * 3];
    size_t most = data_size() + picture->allowance;
    struct rlimit limit = {most, most};
    if (!SANITIZED && setrlimit(RLIMIT_DATA, &limit) != 0)
        return 99;
    return (int)lutra_image_read(picture->path, &p, pixels, NULL);
}

/* Writes the picture with `work` and returns the status of reading it. */
static lutra_status make_and_read(int (*work)(const void *), large picture)
{
    strcpy(picture.path, "/tmp/lutra-test-XXXXXX");
    picture.descriptor = mkstemp(picture.path);
    assert_true(picture.descriptor >= 0);
    int made = in_child(work, &picture);
    int status = in_child(read_within, &picture);
    close(picture.descriptor);
    unlink(picture.path);
    assert_int_equal(made, 0);
    return (lutra_status)status;
}

static void draw_row(uint8_t *row, size_t width, size_t y)
{
    for (size_t x = 0; x < width; x++) {
        row[x * 3] = (uint8_t)(x >> 4);
        row[x * 3 + 1] = (uint8_t)(y >> 4);
        row[x * 3 + 2] = (uint8_t)((x ^ y) >> 5);
    }
}

static int make_jpeg(const void *argument)
{
    const large *picture = argument;
    uint8_t exif[] = "Exif\0\0II*\0\x8\0\0\0\x1\0\x12\x1\x3\0\x1\0\0\0\x0\0\0\0\0\0\0";
    exif[24] = picture->orientation;
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *file = fdopen(picture->descriptor, "wb");
    uint8_t *row = malloc((size_t)picture->width * 3);
    if (!file || !row)
        return 1;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = picture->width;
    jpeg.image_height = picture->height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, exif, sizeof exif - 1);
    for (unsigned y = 0; y < picture->height; y++) {
        draw_row(row, picture->width, y);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    return fclose(file) != 0;
}

static int make_png(const void *argument)
{
    const large *picture = argument;
    struct spng_ihdr header = {
        .width = picture->width, .height = picture->height, .bit_depth = 8, .color_type = 2};
    size_t row_bytes = (size_t)picture->width * 3, size = row_bytes * picture->height;
    FILE *file = fdopen(picture->descriptor, "wb");
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    uint8_t *rows = malloc(size);
    if (!file || !png || !rows)
        return 1;
    header.interlace_method = picture->interlaced;
    for (size_t y = 0; y < picture->height; y++)
        draw_row(rows + y * row_bytes, picture->width, y);
    spng_set_png_file(png, file);
    spng_set_option(png, SPNG_IMG_COMPRESSION_LEVEL, 1);
    spng_set_ihdr(png, &header);
    int code = spng_encode_image(png, rows, size, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    spng_ctx_free(png);
    free(rows);
    return fclose(file) != 0 || code != 0;
}

/* 100 MiB of pixels, and less than half a MiB seen: libjpeg holds some rows of blocks, the filter 79 rows of
 * 224 pixels. */
static void a_large_jpeg_is_streamed(void **state)
{
    (void)state;
    large picture = {.width = 7000, .height = 5000, .orientation = 1, .allowance = 1024 * KIB};
    assert_int_equal(make_and_read(make_jpeg, picture), LUTRA_OK);
}

/* Lying on its side, as telephones store it: the filter holds 113 rows of 4375 pixels, 1.4 MiB. */
static void a_large_turned_jpeg_is_streamed(void **state)
{
    (void)state;
    large picture = {.width = 7000, .height = 5000, .orientation = 6, .allowance = 3072 * KIB};
    assert_int_equal(make_and_read(make_jpeg, picture), LUTRA_OK);
}

static void a_large_png_is_streamed(void **state)
{
    (void)state;
    large picture = {.width = 5000, .height = 4000, .allowance = 512 * KIB};
    assert_int_equal(make_and_read(make_png, picture), LUTRA_OK);
}

/* Interlaced rows come in no order: this one needs the whole picture, which also shows that the limit works.
 */
static void too_little_memory_is_an_error(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    large picture = {.width = 5000, .height = 4000, .interlaced = true, .allowance = 512 * KIB};
    assert_int_equal(make_and_read(make_png, picture), LUTRA_ERROR_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_jpeg_is_streamed),
        cmocka_unit_test(a_large_turned_jpeg_is_streamed),
        cmocka_unit_test(a_large_png_is_streamed),
        cmocka_unit_test(too_little_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
