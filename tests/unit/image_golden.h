/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of pictures share: synthetic pixels (the formula of tests/golden/make_images.py), their
 * checksum, and the files beside it. */
#ifndef TEST_IMAGE_GOLDEN_H
#define TEST_IMAGE_GOLDEN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lutra/lutra.h"

/* zlib's CRC-32. */
static inline uint32_t golden_crc(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

/* [height][width][3]; the caller frees it. */
static inline uint8_t *golden_noise(size_t width, size_t height, uint32_t seed)
{
    uint8_t *pixels = malloc(width * height * 3), *out = pixels;
    for (uint32_t y = 0; pixels && y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < 3; c++) {
                uint32_t h = x * 374761393u + y * 668265263u + c * 2246822519u + seed * 3266489917u;
                h = (h ^ h >> 13) * 1274126177u;
                h ^= h >> 16;
                uint32_t kind = h >> 8 & 3;
                *out++ = (uint8_t)(kind == 0 ? 0 : kind == 1 ? 255 : h & 255);
            }
    return pixels;
}

/* A resize to exactly this size, nothing cut. */
static inline lutra_preprocessing golden_exact(size_t width, size_t height, int resample)
{
    return (lutra_preprocessing){.width = width,
                                 .height = height,
                                 .resize_width = width,
                                 .resize_height = height,
                                 .crop_mode = LUTRA_CROP_SQUASH,
                                 .resample = resample};
}

static inline void golden_path(const char *name, char path[1024])
{
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    snprintf(path, 1024, "%s/tests/golden/images/%s", root ? root : ".", name);
}

/* The whole file, or NULL; the caller frees it. */
static inline uint8_t *golden_read(const char *name, size_t *size)
{
    char path[1024];
    golden_path(name, path);
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    const size_t capacity = 1 << 20;
    uint8_t *data = malloc(capacity);
    *size = data ? fread(data, 1, capacity, file) : 0;
    fclose(file);
    return data;
}

#endif
