/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on sizes: on those that come from files true and the result, or false on overflow. */
#ifndef LUTRA_BASE_SIZE_H
#define LUTRA_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool lutra_size_add(size_t a, size_t b, size_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}

static inline bool lutra_size_multiply(size_t a, size_t b, size_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/* A 64-bit number as a size; false where the machine's sizes are too short for it. */
static inline bool lutra_size_from(uint64_t number, size_t *size)
{
    *size = (size_t)number;
    return *size == number;
}

/* `value` rounded up to a multiple of `step` (> 0); the caller knows that it does not overflow. */
static inline size_t lutra_round_up(size_t value, size_t step)
{
    return (value + step - 1) / step * step;
}

/* `a` / `b`, rounded up. */
static inline size_t lutra_divide_up(size_t a, size_t b)
{
    return a / b + (a % b != 0);
}

static inline size_t lutra_smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t lutra_larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
