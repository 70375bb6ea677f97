/* SPDX-License-Identifier: Apache-2.0 */
/* What this CPU and its operating system support; filled once, on first use. */
#ifndef LUTRA_BASE_CPU_H
#define LUTRA_BASE_CPU_H

#include <stdbool.h>
#include <stddef.h>

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

/* CPUs that this process may run on, at least 1. */
size_t lutra_cpu_count(void);

#endif
