/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one tag of EXIF that matters here. Written out rather than taken from libexif: that parses every tag
 * and the makers' notes of strangers' files to reach these two bytes.
 */
#ifndef LUTRA_IMAGE_EXIF_H
#define LUTRA_IMAGE_EXIF_H

#include <stddef.h>
#include <stdint.h>

/* The orientation (1..8) of `size` bytes of EXIF, with or without the "Exif\0\0" before its TIFF header; 1
 * where it is absent or broken. */
unsigned lutra_exif_orientation(const uint8_t *data, size_t size);

#endif
