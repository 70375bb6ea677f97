/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/table.h"

/* The fallback chain: a level's table is everything of the levels below it, then its own. Of two initialisers
 * of a member the later counts (C11 6.7.9, 19), which compilers warn of where it is not meant. */
#pragma GCC diagnostic ignored "-Woverride-init"

#define TAKE(...) __VA_ARGS__
#define SKIP(...)

static const lutra_kernels levels[] = {
#define IN_reference TAKE
#define IN_avx2 SKIP
#define IN_avxvnni SKIP
#define IN_avx512 SKIP
#define IN_avx512vnni SKIP
#define IN_avx512bf16 SKIP
#define IN_neon SKIP
#define IN_neondot SKIP
#define IN_i8mm SKIP
    {
#include "kernels/level_table.inc"
    },
#if defined(__x86_64__)
#undef IN_avx2
#define IN_avx2 TAKE
    {
#include "kernels/level_table.inc"
    },
#undef IN_avxvnni
#define IN_avxvnni TAKE
    {
#include "kernels/level_table.inc"
    },
#undef IN_avxvnni
#define IN_avxvnni SKIP /* which a processor with AVX-512 need not have */
#undef IN_avx512
#define IN_avx512 TAKE
    {
#include "kernels/level_table.inc"
    },
#undef IN_avx512vnni
#define IN_avx512vnni TAKE
    {
#include "kernels/level_table.inc"
    },
#undef IN_avx512bf16
#define IN_avx512bf16 TAKE
    {
#include "kernels/level_table.inc"
    },
#elif defined(__aarch64__)
#undef IN_neon
#define IN_neon TAKE
    {
#include "kernels/level_table.inc"
    },
#undef IN_neondot
#define IN_neondot TAKE
    {
#include "kernels/level_table.inc"
    },
#undef IN_i8mm
#define IN_i8mm TAKE
    {
#include "kernels/level_table.inc"
    },
#endif
};
#define N_LEVELS (sizeof levels / sizeof *levels)

const lutra_kernels *lutra_kernels_level(size_t index)
{
    return index < N_LEVELS ? &levels[index] : NULL;
}

bool lutra_kernels_supported(const lutra_kernels *kernels)
{
    const lutra_cpu *cpu = lutra_cpu_get();
    (void)cpu; /* where the reference is all there is */
#define LUTRA_LEVEL(level, supported, rows, panels, form)                                                    \
    if (strcmp(kernels->name, #level) == 0)                                                                  \
        return supported;
#include "kernels/kernels.inc"
    return false;
}

const char *lutra_kernels_name(const lutra_kernels *kernels)
{
    return kernels->name;
}

static lutra_status fail_unknown(const char *wanted, lutra_error *error)
{
    char supported[128] = "";
    for (size_t i = 0; i < N_LEVELS; i++) {
        const size_t used = strlen(supported);
        if (lutra_kernels_supported(&levels[i]))
            snprintf(supported + used, sizeof supported - used, "%s%s", used ? ", " : "", levels[i].name);
    }
    for (size_t i = 0; i < N_LEVELS; i++)
        if (strcmp(levels[i].name, wanted) == 0)
            return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                              "LUTRA_ISA=%s: this machine does not support it, only %s", wanted, supported);
    return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET,
                      "LUTRA_ISA=%.32s: no such level of kernels; this machine supports %s", wanted,
                      supported);
}

lutra_status lutra_kernels_select(const lutra_kernels **kernels, lutra_error *error)
{
    const char *wanted = getenv("LUTRA_ISA");
    if (wanted && !*wanted)
        wanted = NULL;
    for (size_t i = N_LEVELS; i-- > 0;) {
        if (lutra_kernels_supported(&levels[i]) && (!wanted || strcmp(levels[i].name, wanted) == 0)) {
            *kernels = &levels[i];
            return LUTRA_OK;
        }
    }
    return fail_unknown(wanted ? wanted : "", error);
}

lutra_status lutra_isa(const char **name, lutra_error *error)
{
    const lutra_kernels *kernels = NULL;
    const lutra_status status = lutra_kernels_select(&kernels, error);
    if (status == LUTRA_OK)
        *name = kernels->name;
    return status;
}
