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

static void run_avxvnni(void *unused)
{
    long n = ROUNDS;
    (void)unused;
    __asm__ volatile("vzeroall\n\t"
                     "1:\n\t"
                     ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
                     "%{vex%} vpdpbusd %%ymm15, %%ymm15, %%ymm\\r\n\t"
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

/* vdpbf16ps: 2 multiply-adds in each of 16 sums. */
static void run_avx512bf16(void *unused)
{
    long n = ROUNDS;
    (void)unused;
    __asm__ volatile("vzeroall\n\t"
                     "1:\n\t"
                     ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t"
                     "vdpbf16ps %%zmm15, %%zmm15, %%zmm\\r\n\t"
                     ".endr\n\t"
                     "dec %0\n\t jnz 1b\n\t vzeroupper"
                     : "+r"(n)
                     :
                     : CLOBBERS);
}

static lutra_peak loop(void (*run)(void *), size_t macs_per_instruction)
{
    return (lutra_peak){.run = run, .macs = (double)(macs_per_instruction * CHAIN_COUNT * ROUNDS)};
}

bool lutra_peak_of(const char *level, lutra_mode mode, lutra_peak *peak)
{
    const bool avxvnni = strcmp(level, "avxvnni") == 0, avx512bf16 = strcmp(level, "avx512bf16") == 0;
    const bool avx512vnni = avx512bf16 || strcmp(level, "avx512vnni") == 0;
    const bool avx512 = avx512vnni || strcmp(level, "avx512") == 0;
    const bool floats = mode == LUTRA_MODE_F32 || mode == LUTRA_MODE_BF16; /* products in f32, of bf16 too */
    const bool avx2 = avxvnni || strcmp(level, "avx2") == 0;
    if (mode == LUTRA_MODE_BF16 && avx512bf16)
        *peak = loop(run_avx512bf16, 32);
    else if (floats && avx512)
        *peak = loop(run_avx512, 16);
    else if (floats && avx2)
        *peak = loop(run_avx2, 8);
    else if (mode == LUTRA_MODE_INT8 && avx512vnni)
        *peak = loop(run_avx512vnni, 64);
    else if (mode == LUTRA_MODE_INT8 && avxvnni)
        *peak = loop(run_avxvnni, 32);
    else if (mode == LUTRA_MODE_INT8 && (avx2 || avx512))
        *peak = loop(run_avx2_i8, 32);
    else
        return false;
    return true;
}
#elif defined(__aarch64__)
/* 24 chains hide a latency of 4 at four per cycle. The instructions of bytes are given as numbers, so that
 * the assembler need not know the extension. */
#define CHAIN_COUNT 24
#define CLOBBERS                                                                                             \
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",    \
        "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v30", "v31", "cc"
#define RUN(name, instruction)                                                                               \
    static void name(void *unused)                                                                           \
    {                                                                                                        \
        long n = ROUNDS;                                                                                     \
        (void)unused;                                                                                        \
        __asm__ volatile("movi v30.16b, #0\n\t movi v31.16b, #0\n\t"                                         \
                         "1:\n\t"                                                                            \
                         ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, "    \
                         "20, 21, 22, 23\n\t" instruction "\n\t.endr\n\t"                                    \
                         "subs %0, %0, #1\n\t b.ne 1b"                                                       \
                         : "+r"(n)                                                                           \
                         :                                                                                   \
                         : CLOBBERS);                                                                        \
    }
RUN(run_fmla, "fmla v\\r\\().4s, v31.4s, v31.4s")
RUN(run_smull, "smull v31.8h, v30.8b, v30.8b\n\t smlal v31.8h, v30.8b, v30.8b\n\t sadalp v\\r\\().4s, v31.8h")
RUN(run_sdot, ".inst 0x4e9f97e0 + \\r")   /* sdot v\r.4s, v31.16b, v31.16b */
RUN(run_usmmla, ".inst 0x4e9fafe0 + \\r") /* usmmla v\r.4s, v31.16b, v31.16b */

static lutra_peak loop(void (*run)(void *), size_t macs_per_instruction)
{
    return (lutra_peak){.run = run, .macs = (double)(macs_per_instruction * CHAIN_COUNT * ROUNDS)};
}

bool lutra_peak_of(const char *level, lutra_mode mode, lutra_peak *peak)
{
    const bool dot = strcmp(level, "neondot") == 0, i8mm = strcmp(level, "i8mm") == 0;
    const bool neon = dot || i8mm || strcmp(level, "neon") == 0;
    if ((mode == LUTRA_MODE_F32 || mode == LUTRA_MODE_BF16) && neon)
        *peak = loop(run_fmla, 4);
    else if (mode == LUTRA_MODE_INT8 && i8mm)
        *peak = loop(run_usmmla, 32);
    else if (mode == LUTRA_MODE_INT8 && dot)
        *peak = loop(run_sdot, 16);
    else if (mode == LUTRA_MODE_INT8 && neon)
        *peak = loop(run_smull, 16);
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
