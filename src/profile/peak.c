/* SPDX-License-Identifier: Apache-2.0 */
#include "profile/peak.h"

#include <string.h>

#define ROUNDS 20000

#if defined(__x86_64__)
/* Assembly, because what a compiler makes of such a loop of intrinsics is not what is to be measured. 12
 * chains hide a latency of 4 at two per cycle. */
#define CHAINS(v)                                                                                            \
    "1: vfmadd231ps %%" v "15, %%" v "15, %%" v "0\n\t vfmadd231ps %%" v "15, %%" v "15, %%" v "1\n\t"       \
    "vfmadd231ps %%" v "15, %%" v "15, %%" v "2\n\t vfmadd231ps %%" v "15, %%" v "15, %%" v "3\n\t"          \
    "vfmadd231ps %%" v "15, %%" v "15, %%" v "4\n\t vfmadd231ps %%" v "15, %%" v "15, %%" v "5\n\t"          \
    "vfmadd231ps %%" v "15, %%" v "15, %%" v "6\n\t vfmadd231ps %%" v "15, %%" v "15, %%" v "7\n\t"          \
    "vfmadd231ps %%" v "15, %%" v "15, %%" v "8\n\t vfmadd231ps %%" v "15, %%" v "15, %%" v "9\n\t"          \
    "vfmadd231ps %%" v "15, %%" v "15, %%" v "10\n\t vfmadd231ps %%" v "15, %%" v "15, %%" v "11\n\t"
#define CLOBBERS                                                                                             \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",        \
        "xmm15", "cc"
#define CHAIN_COUNT 12

static void run_avx2(void *unused)
{
    long n = ROUNDS;
    (void)unused;
    __asm__ volatile("vzeroall\n\t" CHAINS("ymm") "dec %0\n\t jnz 1b\n\t vzeroupper" : "+r"(n) : : CLOBBERS);
}

static void run_avx512(void *unused)
{
    long n = ROUNDS;
    (void)unused;
    __asm__ volatile("vzeroall\n\t" CHAINS("zmm") "dec %0\n\t jnz 1b\n\t vzeroupper" : "+r"(n) : : CLOBBERS);
}

/* vpdpbusd: 4 multiply-adds in each of 16 sums. */
static void run_avx512vnni(void *unused)
{
    long n = ROUNDS;
    (void)unused;
    __asm__ volatile("vzeroall\n\t"
                     "1:\n\t"
                     ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
                     "vpdpbusd %%zmm15, %%zmm15, %%zmm\\r\n\t"
                     ".endr\n\t"
                     "dec %0\n\t jnz 1b\n\t vzeroupper"
                     : "+r"(n)
                     :
                     : CLOBBERS);
}

/* vpmaddubsw, vpmaddwd, vpaddd: 4 multiply-adds in each of 8 sums. */
static void run_avx2_i8(void *unused)
{
    long n = ROUNDS;
    (void)unused;
    __asm__ volatile("vzeroall\n\t"
                     "1:\n\t"
                     ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
                     "vpmaddubsw %%ymm15, %%ymm15, %%ymm14\n\t"
                     "vpmaddwd %%ymm15, %%ymm14, %%ymm14\n\t"
                     "vpaddd %%ymm14, %%ymm\\r, %%ymm\\r\n\t"
                     ".endr\n\t"
                     "dec %0\n\t jnz 1b\n\t vzeroupper"
                     : "+r"(n)
                     :
                     : CLOBBERS, "xmm14");
}

static bool is_avx512(const char *level)
{
    return strcmp(level, "avx512") == 0 || strcmp(level, "avx512vnni") == 0;
}

static lutra_peak loop(void (*run)(void *), size_t macs_per_instruction)
{
    return (lutra_peak){.run = run, .macs = (double)(macs_per_instruction * CHAIN_COUNT * ROUNDS)};
}

bool lutra_peak_of(const char *level, lutra_mode mode, lutra_peak *peak)
{
    const bool avx2 = strcmp(level, "avx2") == 0, avx512 = is_avx512(level);
    if (mode == LUTRA_MODE_F32 && avx512)
        *peak = loop(run_avx512, 16);
    else if (mode == LUTRA_MODE_F32 && avx2)
        *peak = loop(run_avx2, 8);
    else if (mode == LUTRA_MODE_INT8 && strcmp(level, "avx512vnni") == 0)
        *peak = loop(run_avx512vnni, 64);
    else if (mode == LUTRA_MODE_INT8 && (avx2 || avx512))
        *peak = loop(run_avx2_i8, 32);
    else
        return false;
    return true;
}
#else
bool lutra_peak_of(const char *level, lutra_mode mode, lutra_peak *peak)
{
    (void)level;
    (void)mode;
    (void)peak;
    return false;
}
#endif
