/* SPDX-License-Identifier: Apache-2.0 */
#include "image/exif.h"

#include <stdbool.h>
#include <string.h>

#define UPRIGHT 1
#define TAG_ORIENTATION 0x0112
#define TYPE_SHORT 3
#define TYPE_LONG 4   /* not as EXIF demands, but there are writers */
#define ENTRY_SIZE 12 /* tag 2, type 2, count 4, value 4 */

typedef struct cursor {
    const uint8_t *data; /* [size] */
    size_t size;
    bool big_endian;
} cursor;

/* 0 beyond the end: every use takes that for "absent". */
static uint32_t read_number(const cursor *c, size_t offset, size_t n_bytes)
{
    uint32_t value = 0;
    if (offset > c->size || c->size - offset < n_bytes)
        return 0;
    for (size_t i = 0; i < n_bytes; i++)
        value = value << 8 | c->data[offset + (c->big_endian ? i : n_bytes - 1 - i)];
    return value;
}

unsigned lutra_exif_orientation(const uint8_t *data, size_t size)
{
    if (size >= 6 && memcmp(data, "Exif\0\0", 6) == 0) {
        data += 6;
        size -= 6;
    }
    if (size < 8 || (memcmp(data, "II*\0", 4) != 0 && memcmp(data, "MM\0*", 4) != 0))
        return UPRIGHT;
    cursor c = {data, size, data[0] == 'M'};
    size_t directory = read_number(&c, 4, 4);
    size_t n_entries = read_number(&c, directory, 2);
    for (size_t i = 0; i < n_entries; i++) {
        size_t entry = directory + 2 + i * ENTRY_SIZE;
        if (entry > size || size - entry < ENTRY_SIZE)
            return UPRIGHT;
        if (read_number(&c, entry, 2) != TAG_ORIENTATION)
            continue;
        uint32_t type = read_number(&c, entry + 2, 2);
        uint32_t orientation = read_number(&c, entry + 8, type == TYPE_LONG ? 4 : 2);
        bool valid = (type == TYPE_SHORT || type == TYPE_LONG) && orientation >= 1 && orientation <= 8;
        return valid ? (unsigned)orientation : UPRIGHT;
    }
    return UPRIGHT;
}
