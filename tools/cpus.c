/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cpus.h"

#include <sched.h>
#include <stdlib.h>

#include "terminal.h"

/* A number of a CPU at *text, and what follows it. */
static bool parse_cpu(const char **text, size_t *cpu)
{
    char *end;
    if (**text < '0' || **text > '9') /* strtoul would take " -1" */
        return false;
    const unsigned long number = strtoul(*text, &end, 10);
    *text = end;
    *cpu = number;
    return number < CPU_SETSIZE;
}

static bool add_cpu(tool_arguments *arguments, size_t cpu)
{
    for (size_t i = 0; i < arguments->n_cpus; i++)
        if (arguments->cpus[i] == cpu)
            return true;
    if (arguments->n_cpus == LUTRA_MAX_THREADS)
        return false;
    arguments->cpus[arguments->n_cpus++] = cpu;
    return true;
}

bool tool_parse_cpus(const char *text, tool_arguments *arguments)
{
    arguments->n_cpus = 0;
    for (;; text++) {
        size_t first, last;
        if (!parse_cpu(&text, &first))
            return false;
        last = first;
        if (*text == '-' && (text++, !parse_cpu(&text, &last)))
            return false;
        if (last < first)
            return false;
        for (size_t cpu = first; cpu <= last; cpu++)
            if (!add_cpu(arguments, cpu))
                return false;
        if (*text != ',')
            return !*text;
    }
}

int tool_keep_to_cpus(const tool_arguments *arguments)
{
    cpu_set_t wanted, got;
    CPU_ZERO(&wanted);
    CPU_ZERO(&got);
    for (size_t i = 0; i < arguments->n_cpus; i++)
        CPU_SET(arguments->cpus[i], &wanted);
    if (arguments->n_cpus == 0)
        return TOOL_DONE;
    /* The system leaves CPUs out that are not there, and refuses where none is. */
    if (sched_setaffinity(0, sizeof wanted, &wanted) == 0)
        sched_getaffinity(0, sizeof got, &got);
    for (size_t i = 0; i < arguments->n_cpus; i++)
        if (!CPU_ISSET(arguments->cpus[i], &got)) {
            tool_error("--cpus: this process may not run on CPU %zu, or there is none", arguments->cpus[i]);
            return TOOL_USAGE;
        }
    return TOOL_DONE;
}
