/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands before libFuzzer's recorders of comparisons (the linker's --wrap). They take two thirds of the time
 * of a target that is all arithmetic, for constants that its input has no use for. Which edges are reached is
 * recorded elsewhere.
 */
#include <stdint.h>

#define UNTRACED(name, type)                                                                                 \
    void __wrap_##name(type a, type b);                                                                      \
    __attribute__((no_sanitize("coverage", "address"))) void __wrap_##name(type a, type b)                   \
    {                                                                                                        \
        (void)a;                                                                                             \
        (void)b;                                                                                             \
    }

UNTRACED(__sanitizer_cov_trace_cmp4, uint32_t)
UNTRACED(__sanitizer_cov_trace_cmp8, uint64_t)
UNTRACED(__sanitizer_cov_trace_const_cmp4, uint32_t)
UNTRACED(__sanitizer_cov_trace_const_cmp8, uint64_t)
