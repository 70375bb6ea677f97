/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/read_loop.h"

#include <stdint.h>
#include <string.h>

/* Four sums, so that none waits for another. */
static void read_plain(const void *memory, size_t bytes)
{
    const uint64_t *numbers = memory;
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (size_t i = 0; i < bytes / sizeof *numbers; i += 16)
        for (size_t j = 0; j < 4; j++) {
            a += numbers[i + j];
            b += numbers[i + 4 + j];
            c += numbers[i + 8 + j];
            d += numbers[i + 12 + j];
        }
    a += b + c + d;
    __asm__ volatile("" : : "r"(a)); /* somebody wants the sum */
}

#if defined(__x86_64__)
/* Assembly, since these files are compiled for any processor of the kind. */
#define READ(name, v, width)                                                                                 \
    static void name(const void *memory, size_t bytes)                                                       \
    {                                                                                                        \
        const char *end = (const char *)memory + bytes;                                                      \
        __asm__ volatile("vzeroall\n\t"                                                                      \
                         "1:\n\t"                                                                            \
                         ".irp i, 0, 1, 2, 3, 4, 5, 6, 7\n\t"                                                \
                         "vpaddq " width " * \\i(%0), %%" v "mm\\i, %%" v "mm\\i\n\t"                        \
                         ".endr\n\t"                                                                         \
                         "add $8 * " width ", %0\n\t cmp %1, %0\n\t jb 1b\n\t vzeroupper"                    \
                         : "+r"(memory)                                                                      \
                         : "r"(end)                                                                          \
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "memory", "cc");  \
    }
READ(read_avx2, "y", "32")
READ(read_avx512, "z", "64")
#endif

lutra_read_loop *lutra_read_loop_of(const char *level)
{
#if defined(__x86_64__)
    if (strncmp(level, "avx512", strlen("avx512")) == 0)
        return read_avx512;
    if (strncmp(level, "avx", strlen("avx")) == 0)
        return read_avx2;
#endif
    (void)level;
    return read_plain;
}
