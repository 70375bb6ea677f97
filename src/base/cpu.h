/* SPDX-License-Identifier: Apache-2.0 */
/* What this CPU and its operating system support; filled once, on first use. */
#ifndef LUTRA_BASE_CPU_H
#define LUTRA_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lutra_cpu {
    bool avx2;   /* AVX2, FMA and F16C, registers saved by the operating system */
    bool avx512; /* AVX-512 F, BW, DQ and VL, registers saved by the operating system */
    bool avx512_vbmi;
    bool avx512_vnni;
    bool avx512_bf16;
    bool avx_vnni;
    bool neon;      /* Advanced SIMD of 64-bit Arm */
    bool neon_dot;  /* and sdot */
    bool neon_i8mm; /* and usmmla */
} lutra_cpu;

const lutra_cpu *lutra_cpu_get(void);

/* What CPUID says: ecx of leaf 1, ebx and ecx of leaf 7, eax of its subleaf 1; 0 where there is no such leaf.
 * And XCR0, the registers that the operating system saves; 0 where it may not be read. */
typedef struct lutra_cpuid {
    uint32_t c1, b7, c7, a7_1;
    uint64_t xcr0;
} lutra_cpuid;
lutra_cpu lutra_cpu_of_x86(const lutra_cpuid *cpuid);

/* Of Linux's AT_HWCAP and AT_HWCAP2 of 64-bit Arm. */
lutra_cpu lutra_cpu_of_arm(uint64_t hwcap, uint64_t hwcap2);

/* CPUs that this process may run on, at least 1. */
size_t lutra_cpu_count(void);

#endif
