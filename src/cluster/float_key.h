/* SPDX-License-Identifier: Apache-2.0 */
/* Floats as unsigned integers of the same order. Only for finite numbers. */
#ifndef LUTRA_CLUSTER_FLOAT_KEY_H
#define LUTRA_CLUSTER_FLOAT_KEY_H

#include <stdint.h>
#include <string.h>

static inline uint32_t lutra_float_to_key(float x)
{
    uint32_t bits;
    x += 0.0f; /* -0 counts as 0 */
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static inline float lutra_key_to_float(uint32_t key)
{
    const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
