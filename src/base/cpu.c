/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <unistd.h>

#include "lutra/lutra.h"

static lutra_cpu description;
static pthread_once_t described = PTHREAD_ONCE_INIT;

static bool has(uint64_t flags, unsigned bit)
{
    return (flags >> bit & 1u) != 0;
}

/* Bit numbers: Intel SDM volume 2A, CPUID; register state: volume 1, 13.3 (XCR0). */
lutra_cpu lutra_cpu_of_x86(const lutra_cpuid *id)
{
    const bool os_ymm = (id->xcr0 & 0x06) == 0x06, os_zmm = (id->xcr0 & 0xe6) == 0xe6;
    const bool fma = has(id->c1, 12), f16c = has(id->c1, 29);
    const bool f = has(id->b7, 16), dq = has(id->b7, 17), bw = has(id->b7, 30), vl = has(id->b7, 31);
    lutra_cpu cpu = {.avx2 = os_ymm && fma && f16c && has(id->b7, 5)};
    cpu.avx512 = cpu.avx2 && os_zmm && f && dq && bw && vl;
    cpu.avx512_vbmi = cpu.avx512 && has(id->c7, 1);
    cpu.avx512_vnni = cpu.avx512 && has(id->c7, 11);
    cpu.avx512_bf16 = cpu.avx512 && has(id->a7_1, 5);
    cpu.avx_vnni = cpu.avx2 && has(id->a7_1, 4);
    return cpu;
}

/* Bits of AT_HWCAP and AT_HWCAP2: Linux, arch/arm64/include/uapi/asm/hwcap.h; older headers lack the later
 * ones. */
#define HWCAP_ASIMD_BIT 1
#define HWCAP_ASIMDDP_BIT 20
#define HWCAP2_I8MM_BIT 13

lutra_cpu lutra_cpu_of_arm(uint64_t hwcap, uint64_t hwcap2)
{
    lutra_cpu cpu = {.neon = has(hwcap, HWCAP_ASIMD_BIT)};
    cpu.neon_dot = cpu.neon && has(hwcap, HWCAP_ASIMDDP_BIT);
    cpu.neon_i8mm = cpu.neon_dot && has(hwcap2, HWCAP2_I8MM_BIT);
    return cpu;
}

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static void describe(void)
{
    lutra_cpuid id = {0};
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &id.c1, &d) || !has(id.c1, 27)) /* OSXSAVE */
        return;
    id.xcr0 = read_xcr0();
    if (__get_cpuid_count(7, 0, &a, &id.b7, &id.c7, &d) && a >= 1) /* the highest subleaf */
        __get_cpuid_count(7, 1, &id.a7_1, &b, &c, &d);
    description = lutra_cpu_of_x86(&id);
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

static void describe(void)
{
    description = lutra_cpu_of_arm(getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
}
#else
static void describe(void)
{
}
#endif

const lutra_cpu *lutra_cpu_get(void)
{
    pthread_once(&described, describe);
    return &description;
}

size_t lutra_cpu_count(void)
{
    cpu_set_t allowed;
    const long n = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed)
                                                                       : sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (size_t)n;
}
