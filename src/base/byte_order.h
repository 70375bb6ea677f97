/* SPDX-License-Identifier: Apache-2.0 */
/* Files are little-endian and used where they lie, kernels take bytes for the low parts of words: on a
 * big-endian machine all numbers would be wrong without a word. */
#ifndef LUTRA_BASE_BYTE_ORDER_H
#define LUTRA_BASE_BYTE_ORDER_H

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Lutra runs on little-endian machines only"
#endif

#endif
