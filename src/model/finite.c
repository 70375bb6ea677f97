/* SPDX-License-Identifier: Apache-2.0 */
#include "model/finite.h"

#include <string.h>

/* The least double that rounds to an infinite float: halfway from the greatest finite one to 2^128. */
#define INFINITE_FLOAT 0x47effffff0000000u

/* A number is not finite when all bits of its exponent are set; a double, which is used as a float, when none
 * holds it. One loop a width, which compilers turn into vector code: a dense model is read once at memory
 * speed. */
static bool all_finite_16(const uint8_t *data, size_t n, uint16_t exponent)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        memcpy(&bits, data + 2 * i, 2);
        bad |= (bits & exponent) == exponent;
    }
    return !bad;
}

static bool all_finite_32(const uint8_t *data, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, data + 4 * i, 4);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

static bool all_finite_64(const uint8_t *data, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, data + 8 * i, 8);
        bad |= (bits & 0x7fffffffffffffffu) >= INFINITE_FLOAT;
    }
    return !bad;
}

static bool all_finite(lutra_dtype dtype, const uint8_t *data, size_t n)
{
    switch (dtype) {
    case LUTRA_F64:
        return all_finite_64(data, n);
    case LUTRA_F32:
        return all_finite_32(data, n);
    case LUTRA_F16:
        return all_finite_16(data, n, 0x7c00);
    default:
        return all_finite_16(data, n, 0x7f80);
    }
}

lutra_status lutra_check_finite(const lutra_tensor *tensor, lutra_error *error)
{
    const size_t size = lutra_dtype_size(tensor->dtype);
    if (all_finite(tensor->dtype, tensor->data, tensor->n_elements))
        return LUTRA_OK;
    size_t i = 0;
    while (all_finite(tensor->dtype, tensor->data + i * size, 1))
        i++;
    return lutra_fail(error, LUTRA_ERROR_FORMAT, tensor->path, tensor->offset + i * size,
                      "tensor \"%.200s\" has %s at element %zu", tensor->name,
                      tensor->dtype == LUTRA_F64 ? "what no finite float holds" : "a NaN or infinity", i);
}
