/* SPDX-License-Identifier: Apache-2.0 */
/* The most multiply-adds that a core can do: loops of independent chains of one instruction and nothing else.
 */
#ifndef LUTRA_PROFILE_PEAK_H
#define LUTRA_PROFILE_PEAK_H

#include "lutra/lutra.h"

typedef struct lutra_peak {
    void (*run)(void *unused); /* some ten microseconds of multiply-adds in registers */
    double macs;               /* of one run */
} lutra_peak;

/* The loop of the instruction that products of `mode` are made of at the level of kernels called `level`;
 * false where there is none to measure. The CPU must support the level. */
bool lutra_peak_of(const char *level, lutra_mode mode, lutra_peak *peak);

#endif
