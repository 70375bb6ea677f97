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

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has(uint32_t flags, uint32_t bit)
{
    return (flags >> bit & 1u) != 0;
}

/* Bit numbers: Intel SDM volume 2A, CPUID; register state: volume 1, 13.3 (XCR0). */
static void describe(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, 27)) /* OSXSAVE */
        return;
    const uint64_t xcr0 = read_xcr0();
    const bool os_ymm = (xcr0 & 0x06) == 0x06;
    const bool os_zmm = (xcr0 & 0xe6) == 0xe6;
    const bool fma = has(c, 12), f16c = has(c, 29);
    uint32_t b7, c7, d7, a7_1 = 0;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d7))
        return;
    if (a >= 1) /* the highest subleaf */
        __get_cpuid_count(7, 1, &a7_1, &b, &c, &d);
    description.avx2 = os_ymm && fma && f16c && has(b7, 5);
    description.avx512 =
        description.avx2 && os_zmm && has(b7, 16) && has(b7, 17) && has(b7, 30) && has(b7, 31);
    description.avx512_vbmi = description.avx512 && has(c7, 1);
    description.avx512_vnni = description.avx512 && has(c7, 11);
    description.avx512_bf16 = description.avx512 && has(a7_1, 5);
    description.avx_vnni = description.avx2 && has(a7_1, 4);
}
#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Bits of AT_HWCAP and AT_HWCAP2: Linux, arch/arm64/include/uapi/asm/hwcap.h; older headers lack the later
 * ones.
 */
#define HWCAP_ASIMD_BIT 1
#define HWCAP_ASIMDDP_BIT 20
#define HWCAP2_I8MM_BIT 13

static bool has(unsigned long flags, unsigned bit)
{
    return (flags >> bit & 1u) != 0;
}

static void describe(void)
{
    const unsigned long flags = getauxval(AT_HWCAP), more_flags = getauxval(AT_HWCAP2);
    description.neon = has(flags, HWCAP_ASIMD_BIT);
    description.neon_dot = description.neon && has(flags, HWCAP_ASIMDDP_BIT);
    description.neon_i8mm = description.neon_dot && has(more_flags, HWCAP2_I8MM_BIT);
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
