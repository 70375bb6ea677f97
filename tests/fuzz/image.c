/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A picture in any format, to a model's input: refused with a reason, or every pixel of the input written,
 * whatever was there before. How it is cut follows from the file's last four bytes, so that any picture is an
 * input as it is. What is no picture in a file is taken for a camera's frame.
 */
#include <string.h>

#include "fuzz.h"
#include "image/picture.h"

enum { MAX_SIDE = 24, MAX_PIXELS = 1 << 20 };

/* Stands before the library's own (the linker's --wrap), which allows 2^28 pixels: a minute for each. */
lutra_status __wrap_lutra_picture_begin(lutra_picture *picture, uint64_t width, uint64_t height,
                                        unsigned orientation, lutra_error *error);
lutra_status __real_lutra_picture_begin(lutra_picture *picture, uint64_t width, uint64_t height,
                                        unsigned orientation, lutra_error *error);

lutra_status __wrap_lutra_picture_begin(lutra_picture *picture, uint64_t width, uint64_t height,
                                        unsigned orientation, lutra_error *error)
{
    const lutra_status status = __real_lutra_picture_begin(picture, width, height, orientation, error);
    if (status == LUTRA_OK && width * height > MAX_PIXELS)
        return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, "input", 0, "larger than fuzzing has time for");
    return status;
}

static lutra_preprocessing choose(fuzz_bytes bytes)
{
    static const double crops[] = {1, 0.875, 0.5, 0.01};
    lutra_preprocessing p = {.mean = {0.5f, 0.4f, 0.3f}, .std = {0.5f, 0.4f, 0.3f}};
    const uint8_t kind = fuzz_take(&bytes), size = fuzz_take(&bytes);
    p.resample = kind % 6;
    p.crop_mode = (lutra_crop_mode)(kind / 6 % 3);
    p.ignore_exif = kind / 18 % 2;
    p.crop_pct = crops[kind / 36 % 4];
    p.height = 1 + size % MAX_SIDE;
    p.width = 1 + fuzz_take(&bytes) % MAX_SIDE;
    const uint8_t resize = fuzz_take(&bytes);
    if (resize % 4 == 1 || resize % 4 == 2)
        p.resize_height = 1 + resize / 4;
    if (resize % 4 == 2)
        p.resize_width = 1 + resize / 8;
    return p;
}

static lutra_status read_frame(const uint8_t *data, size_t size, const lutra_preprocessing *p,
                               uint8_t *pixels, lutra_error *error)
{
    fuzz_bytes bytes = {data, size};
    const lutra_pixel_order order = (lutra_pixel_order)(fuzz_take(&bytes) % 3);
    const size_t width = 1 + fuzz_take_below(&bytes, 64), stride = width * (order == LUTRA_RGBA ? 4 : 3);
    return lutra_image_from_rgb8(bytes.data, width, bytes.size / stride, stride, order, p, pixels, error);
}

static lutra_status read_picture(const uint8_t *data, size_t size, const lutra_preprocessing *p,
                                 uint8_t *pixels, lutra_error *error)
{
    const lutra_status status = lutra_image_read_memory(data, size, "input", p, pixels, error);
    if (status && strstr(error->message, "is not a JPEG"))
        return read_frame(data, size, p, pixels, error);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    uint8_t pixels[2][MAX_SIDE * MAX_SIDE * 3];
    const lutra_preprocessing p = choose((fuzz_bytes){data + size - 4, 4});
    lutra_error error;
    memset(pixels[0], 0, sizeof pixels[0]);
    memset(pixels[1], 255, sizeof pixels[1]);
    const lutra_status status = read_picture(data, size, &p, pixels[0], &error);
    if (status) {
        fuzz_require_error(status, &error);
        return 0;
    }
    fuzz_require(read_picture(data, size, &p, pixels[1], &error) == LUTRA_OK);
    fuzz_require(memcmp(pixels[0], pixels[1], p.height * p.width * 3) == 0);
    return 0;
}
