/* SPDX-License-Identifier: Apache-2.0 */
/* The rate at which one core can multiply and add f32, from independent chains of nothing else. */
#include <string.h>

#include "harness.h"

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
#define MACS_PER_VECTOR_ROUND 12

static void run_avx2(void *argument)
{
    long n = ROUNDS;
    (void)argument;
    __asm__ volatile("vzeroall\n\t" CHAINS("ymm") "dec %0\n\t jnz 1b\n\t vzeroupper" : "+r"(n) : : CLOBBERS);
}

static void run_avx512(void *argument)
{
    long n = ROUNDS;
    (void)argument;
    __asm__ volatile("vzeroall\n\t" CHAINS("zmm") "dec %0\n\t jnz 1b\n\t vzeroupper" : "+r"(n) : : CLOBBERS);
}

/* vpdpbusd: 4 multiply-adds in each of 16 sums. */
static void run_avx512vnni(void *argument)
{
    long n = ROUNDS;
    (void)argument;
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
static void run_avx2_i8(void *argument)
{
    long n = ROUNDS;
    (void)argument;
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

double measure_peak(const char *level)
{
    if (strcmp(level, "avx2") == 0)
        return 8.0 * MACS_PER_VECTOR_ROUND * ROUNDS / time_call(run_avx2, NULL, 1) * 1e-9;
    if (is_avx512(level))
        return 16.0 * MACS_PER_VECTOR_ROUND * ROUNDS / time_call(run_avx512, NULL, 1) * 1e-9;
    return 0;
}

double measure_peak_i8(const char *level)
{
    if (strcmp(level, "avx512vnni") == 0)
        return 64.0 * MACS_PER_VECTOR_ROUND * ROUNDS / time_call(run_avx512vnni, NULL, 1) * 1e-9;
    if (strcmp(level, "avx2") == 0 || is_avx512(level))
        return 32.0 * MACS_PER_VECTOR_ROUND * ROUNDS / time_call(run_avx2_i8, NULL, 1) * 1e-9;
    return 0;
}
#else
double measure_peak(const char *level)
{
    (void)level;
    return 0;
}

double measure_peak_i8(const char *level)
{
    (void)level;
    return 0;
}
#endif
