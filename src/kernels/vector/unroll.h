/* SPDX-License-Identifier: Apache-2.0 */
/* Loops whose bounds are constants once inlined, and which must vanish so that arrays become registers. */
#ifndef LUTRA_KERNELS_VECTOR_UNROLL_H
#define LUTRA_KERNELS_VECTOR_UNROLL_H

#if defined(__clang__)
#define LUTRA_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LUTRA_UNROLL /* gcc refuses (-Werror) to annotate a loop that a sanitizer has put checks into */
#else
#define LUTRA_UNROLL _Pragma("GCC unroll 64")
#endif
#define LUTRA_INLINE static inline __attribute__((always_inline))

#endif
