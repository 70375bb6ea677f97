/* SPDX-License-Identifier: Apache-2.0 */
/* Large photos are read with memory for some rows, not for the picture: the kernel refuses more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jpeglib.h>
#include <spng.h>
#include <webp/encode.h>

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

/* A line of the kernel's about this process, in bytes: "VmData" is private writable memory, what RLIMIT_DATA
 * limits, "VmHWM" the most that was resident. */
static size_t status_bytes(const char *name)
{
    char line[256];
    size_t kib = 0, length = strlen(name);
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, name, length) == 0 && sscanf(line + length, ": %zu kB", &kib) == 1)
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
    size_t most = status_bytes("VmData") + picture->allowance;
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

static int make_webp(const void *argument)
{
    const large *picture = argument;
    const size_t row_bytes = (size_t)picture->width * 3;
    FILE *file = fdopen(picture->descriptor, "wb");
    uint8_t *rows = malloc(row_bytes * picture->height), *encoded = NULL;
    if (!file || !rows)
        return 1;
    for (size_t y = 0; y < picture->height; y++)
        draw_row(rows + y * row_bytes, picture->width, y);
    const size_t size =
        WebPEncodeLosslessRGB(rows, (int)picture->width, (int)picture->height, (int)row_bytes, &encoded);
    const bool written = size > 0 && fwrite(encoded, size, 1, file) == 1;
    WebPFree(encoded);
    free(rows);
    return fclose(file) != 0 || !written;
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

/* 0 where the kernel keeps a process to its limit. QEMU's emulation of another processor does not. */
static int exceed_limit(const void *argument)
{
    (void)argument;
    struct rlimit limit = {status_bytes("VmData"), status_bytes("VmData")};
    void *volatile memory = setrlimit(RLIMIT_DATA, &limit) == 0
                                ? malloc(64 * KIB * KIB)
                                : NULL; /* volatile: compilers leave a pair of malloc and free out */
    const int exceeded = memory != NULL;
    free(memory);
    return exceeded;
}

/* Interlaced rows come in no order: this one needs the whole picture, which also shows that the limit works.
 */
static void too_little_memory_is_an_error(void **state)
{
    (void)state;
    if (SANITIZED || in_child(exceed_limit, NULL) != 0)
        skip();
    large picture = {.width = 5000, .height = 4000, .interlaced = true, .allowance = 512 * KIB};
    assert_int_equal(make_and_read(make_png, picture), LUTRA_ERROR_MEMORY);
}

/* Libwebp takes four bytes a pixel beside our three. */
static void too_little_memory_for_webp_is_no_damage(void **state)
{
    (void)state;
    if (SANITIZED || in_child(exceed_limit, NULL) != 0)
        skip();
    large picture = {.width = 2000, .height = 1500, .allowance = 2000 * 1500 * 3 + 4096 * KIB};
    assert_int_equal(make_and_read(make_webp, picture), LUTRA_ERROR_MEMORY);
    picture.allowance += 2000 * 1500 * 4;
    assert_int_equal(make_and_read(make_webp, picture), LUTRA_OK);
}

/* A golden file that is made to declare 16384 x 16384 pixels, the most that is allowed. */
typedef struct liar {
    const char *name;
    void (*declare)(uint8_t *data, size_t size);
} liar;

static uint8_t *find(uint8_t *data, size_t size, const char *what, size_t length)
{
    for (size_t at = 0; at + length <= size; at++)
        if (memcmp(data + at, what, length) == 0)
            return data + at;
    return NULL;
}

static void declare_progressive(uint8_t *data, size_t size)
{
    uint8_t *frame = find(data, size, "\xff\xc2", 2);
    if (frame)
        memcpy(frame + 5, "\x40\0\x40\0", 4);
}

static void declare_interlaced(uint8_t *data, size_t size)
{
    (void)size;
    memcpy(data + 16, "\0\0\x40\0\0\0\x40\0", 8);
    uint32_t crc = golden_crc(data + 12, 17);
    for (size_t i = 0; i < 4; i++)
        data[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

/* 16383 x 16383, WebP's own limit: two numbers of 14 bits, less one. */
static void declare_webp(uint8_t *data, size_t size)
{
    uint8_t *stream = find(data, size, "VP8L", 4);
    if (stream)
        memcpy(stream + 9, "\xfe\xbf\xff\xf", 4);
}

/* 0 where the lie was found out within 16 MiB more of resident memory (an emulator has some before). */
static int read_liar(const void *argument)
{
    const liar *file = argument;
    lutra_preprocessing p = {.width = 224, .height = 224, .crop_pct = 0.875, .resample = 3};
    static uint8_t pixels[224 * 224 * 3];
    size_t size = 0;
#ifdef M_PERTURB
    mallopt(M_PERTURB, 0); /* Meson has glibc fill what is allocated, which would make all of it resident */
#endif
    uint8_t *data = golden_read(file->name, &size);
    if (!data)
        return 1;
    file->declare(data, size);
    lutra_error error;
    const size_t before = status_bytes("VmHWM");
    lutra_status status = lutra_image_read_memory(data, size, file->name, &p, pixels, &error);
    free(data);
    if (status != LUTRA_ERROR_FORMAT || !strstr(error.message, "cut short"))
        return 2;
    return before > 0 && status_bytes("VmHWM") < before + 16 * 1024 * KIB ? 0 : 3;
}

static void what_is_only_declared_gets_no_memory(void **state)
{
    (void)state;
    static const liar liars[] = {{"progressive.jpg", declare_progressive},
                                 {"rgb_8_interlaced.png", declare_interlaced},
                                 {"lossless.webp", declare_webp}};
    if (SANITIZED)
        skip();
    for (size_t i = 0; i < sizeof liars / sizeof *liars; i++)
        assert_int_equal(in_child(read_liar, &liars[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_jpeg_is_streamed),
        cmocka_unit_test(a_large_turned_jpeg_is_streamed),
        cmocka_unit_test(a_large_png_is_streamed),
        cmocka_unit_test(too_little_memory_is_an_error),
        cmocka_unit_test(too_little_memory_for_webp_is_no_damage),
        cmocka_unit_test(what_is_only_declared_gets_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
