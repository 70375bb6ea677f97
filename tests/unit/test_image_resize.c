/* SPDX-License-Identifier: Apache-2.0 */
/* Resizing, turning and cropping give the bytes of Pillow, timm, torchvision and transformers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "image/axis.h"
#include "image/geometry.h"
#include "image/resizer.h"
#include "image_golden.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The checksum of a synthetic picture after preprocessing. */
static uint32_t preprocess(size_t width, size_t height, uint32_t seed, unsigned orientation,
                           const lutra_preprocessing *p)
{
    lutra_error error = {.message = ""};
    lutra_resizer *resizer = NULL;
    uint8_t *source = golden_noise(width, height, seed), *pixels = malloc(p->width * p->height * 3);
    assert_true(source && pixels);
    memset(pixels, 0x5a, p->width * p->height * 3);
    lutra_status status = lutra_resizer_create(p, width, height, orientation, pixels, &resizer, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(status, LUTRA_OK);
    for (size_t y = 0; y < height; y++)
        lutra_resizer_row(resizer, source + y * width * 3);
    lutra_resizer_free(resizer);
    uint32_t crc = golden_crc(pixels, p->width * p->height * 3);
    free(source);
    free(pixels);
    return crc;
}

static void resize_equals_pillow(void **state)
{
    static const struct {
        size_t width, height, new_width, new_height;
        uint32_t crc[6];
    } cases[] = {
#include "resized.inc"
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int resample = 0; resample < 6; resample++) {
            lutra_preprocessing p = golden_exact(cases[i].new_width, cases[i].new_height, resample);
            uint32_t crc = preprocess(cases[i].width, cases[i].height, (uint32_t)i, 1, &p);
            if (crc != cases[i].crc[resample])
                fail_msg("%zu x %zu -> %zu x %zu, filter %d", cases[i].width, cases[i].height,
                         cases[i].new_width, cases[i].new_height, resample);
        }
}

static void turning_equals_exif_transpose_then_resize(void **state)
{
    static const struct {
        size_t width, height, new_width, new_height;
        int resample;
        uint32_t crc[8];
    } cases[] = {
#include "oriented.inc"
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (unsigned orientation = 1; orientation <= 8; orientation++) {
            lutra_preprocessing p = golden_exact(cases[i].new_width, cases[i].new_height, cases[i].resample);
            uint32_t crc = preprocess(cases[i].width, cases[i].height, (uint32_t)i, orientation, &p);
            if (crc != cases[i].crc[orientation - 1])
                fail_msg("%zu x %zu -> %zu x %zu, filter %d, orientation %u", cases[i].width, cases[i].height,
                         cases[i].new_width, cases[i].new_height, cases[i].resample, orientation);
        }
}

static void geometry_equals_timm_and_transformers(void **state)
{
    static const struct {
        size_t width, height, input_width, input_height;
        double crop_pct;
        size_t resize_height;
        lutra_crop_mode mode;
        size_t resized_width, resized_height, begin_x, begin_y, padding_x, padding_y;
    } cases[] = {
#include "geometry.inc"
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        lutra_preprocessing p = {.width = cases[i].input_width,
                                 .height = cases[i].input_height,
                                 .crop_pct = cases[i].crop_pct,
                                 .resize_height = cases[i].resize_height,
                                 .crop_mode = cases[i].mode};
        lutra_geometry g;
        lutra_error error;
        assert_int_equal(lutra_geometry_plan(&p, cases[i].width, cases[i].height, &g, &error), LUTRA_OK);
        if (g.x.resized != cases[i].resized_width || g.y.resized != cases[i].resized_height)
            fail_msg("row %zu: %zu x %zu is resized to %zu x %zu, not %zu x %zu", i, cases[i].width,
                     cases[i].height, g.x.resized, g.y.resized, cases[i].resized_width,
                     cases[i].resized_height);
        if (g.x.begin != cases[i].begin_x || g.y.begin != cases[i].begin_y ||
            g.x.padding != cases[i].padding_x || g.y.padding != cases[i].padding_y)
            fail_msg("row %zu: the crop begins at %zu, %zu after %zu, %zu", i, g.x.begin, g.y.begin,
                     g.x.padding, g.y.padding);
    }
}

static void preprocessing_equals_timm_and_transformers(void **state)
{
    static const struct {
        size_t width, height;
        uint32_t seed;
        size_t input_width, input_height;
        double crop_pct;
        size_t resize_height, resize_width;
        lutra_crop_mode mode;
        int resample;
        uint32_t crc;
    } cases[] = {
#include "preprocessed.inc"
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        lutra_preprocessing p = {.width = cases[i].input_width,
                                 .height = cases[i].input_height,
                                 .crop_pct = cases[i].crop_pct,
                                 .resize_width = cases[i].resize_width,
                                 .resize_height = cases[i].resize_height,
                                 .crop_mode = cases[i].mode,
                                 .resample = cases[i].resample,
                                 .mean = {0.485f, 0.3f, 0.5f}};
        if (preprocess(cases[i].width, cases[i].height, cases[i].seed, 1, &p) != cases[i].crc)
            fail_msg("row %zu: %zu x %zu, crop mode %d, filter %d", i, cases[i].width, cases[i].height,
                     cases[i].mode, cases[i].resample);
    }
}

/* A black and white picture can make a sum as large as its positive, or as small as its negative weights. */
static void sums_stay_within_32_bits(void **state)
{
    (void)state;
    for (int resample = 0; resample < 6; resample++)
        for (size_t source = 1; source < 70; source++)
            for (size_t resized = 1; resized < 200; resized++) {
                lutra_axis_request request = {
                    .source = source, .resized = resized, .n_wanted = resized, .resample = resample};
                lutra_axis axis;
                assert_int_equal(lutra_axis_create(&request, &axis, NULL), LUTRA_OK);
                for (size_t i = 0; i < resized; i++) {
                    int64_t highest = 1 << (LUTRA_WEIGHT_BITS - 1), lowest = highest;
                    for (size_t t = 0; t < axis.taps[i].count; t++) {
                        int64_t weight = axis.weights[i * axis.max_taps + t];
                        *(weight > 0 ? &highest : &lowest) += 255 * weight;
                    }
                    if (highest > INT32_MAX || lowest < INT32_MIN)
                        fail_msg("filter %d, %zu -> %zu, output %zu", resample, source, resized, i);
                }
                lutra_axis_free(&axis);
            }
}

/* ---- frames in memory ---- */

static void frames_of_every_order_and_stride_are_equal(void **state)
{
    (void)state;
    enum { WIDTH = 50, HEIGHT = 31, STRIDE = WIDTH * 4 + 7 };
    static const struct {
        lutra_pixel_order order;
        size_t bytes, place[3]; /* of red, green and blue */
    } orders[] = {{LUTRA_RGB, 3, {0, 1, 2}}, {LUTRA_BGR, 3, {2, 1, 0}}, {LUTRA_RGBA, 4, {0, 1, 2}}};
    lutra_preprocessing p = {.width = 24, .height = 20, .crop_pct = 0.9, .resample = 3};
    uint32_t expected = preprocess(WIDTH, HEIGHT, 7, 1, &p);
    uint8_t *source = golden_noise(WIDTH, HEIGHT, 7), *frame = malloc(STRIDE * HEIGHT), pixels[24 * 20 * 3];
    assert_true(source && frame);
    for (size_t i = 0; i < COUNT(orders); i++) {
        lutra_error error;
        memset(frame, 0xa5, STRIDE * HEIGHT);
        for (size_t y = 0; y < HEIGHT; y++)
            for (size_t x = 0; x < WIDTH; x++)
                for (size_t c = 0; c < 3; c++)
                    frame[y * STRIDE + x * orders[i].bytes + orders[i].place[c]] =
                        source[(y * WIDTH + x) * 3 + c];
        assert_int_equal(
            lutra_image_from_rgb8(frame, WIDTH, HEIGHT, STRIDE, orders[i].order, &p, pixels, &error),
            LUTRA_OK);
        assert_int_equal(golden_crc(pixels, sizeof pixels), expected);
    }
    free(source);
    free(frame);
}

static void impossible_frames_are_refused(void **state)
{
    (void)state;
    lutra_preprocessing p = {.width = 4, .height = 4, .crop_pct = 1.0, .resample = 3};
    uint8_t source[4 * 4 * 4] = {0}, pixels[4 * 4 * 3];
    lutra_error error;
    assert_int_equal(lutra_image_from_rgb8(source, 0, 4, 12, LUTRA_RGB, &p, pixels, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_image_from_rgb8(source, 4, 4, 11, LUTRA_RGB, &p, pixels, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_image_from_rgb8(source, 4, 4, 15, LUTRA_RGBA, &p, pixels, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_image_from_rgb8(source, 4, 4, 16, (lutra_pixel_order)3, &p, pixels, &error),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_image_from_rgb8(source, SIZE_MAX / 2, 4, SIZE_MAX, LUTRA_RGB, &p, pixels, NULL),
                     LUTRA_ERROR_ARGUMENT);
    assert_int_equal(lutra_image_from_rgb8(source, (size_t)1 << 20, (size_t)1 << 20, (size_t)1 << 22,
                                           LUTRA_RGB, &p, pixels, &error),
                     LUTRA_ERROR_UNSUPPORTED);
}

static void impossible_options_are_refused(void **state)
{
    (void)state;
    const lutra_preprocessing good = {.width = 4, .height = 4, .crop_pct = 1.0, .resample = 3};
    lutra_preprocessing bad[11];
    for (size_t i = 0; i < COUNT(bad); i++)
        bad[i] = good;
    bad[0].width = 0;
    bad[1].height = SIZE_MAX / 2;
    bad[2].crop_pct = 0.0;
    bad[3].crop_pct = 1.5;
    bad[4].crop_pct = 1e-300;
    bad[5].crop_pct = (double)NAN;
    bad[6].resample = 6;
    bad[7].resample = -1;
    bad[8].crop_mode = (lutra_crop_mode)3;
    bad[9].resize_width = 4;
    bad[10].resize_height = 4;
    bad[10].crop_mode = LUTRA_CROP_BORDER;
    uint8_t source[3] = {1, 2, 3}, pixels[4 * 4 * 3];
    lutra_error error;
    assert_int_equal(lutra_image_from_rgb8(source, 1, 1, 3, LUTRA_RGB, &good, pixels, &error), LUTRA_OK);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(lutra_image_from_rgb8(source, 1, 1, 3, LUTRA_RGB, &bad[i], pixels, &error),
                         LUTRA_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, "preprocessing: "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_equals_pillow),
        cmocka_unit_test(turning_equals_exif_transpose_then_resize),
        cmocka_unit_test(geometry_equals_timm_and_transformers),
        cmocka_unit_test(preprocessing_equals_timm_and_transformers),
        cmocka_unit_test(sums_stay_within_32_bits),
        cmocka_unit_test(frames_of_every_order_and_stride_are_equal),
        cmocka_unit_test(impossible_frames_are_refused),
        cmocka_unit_test(impossible_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
