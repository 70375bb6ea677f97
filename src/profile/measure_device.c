/* SPDX-License-Identifier: Apache-2.0 */
/* This machine's description: what the system tells of it, and what loops of one kind of work measure. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cpu.h"
#include "base/default_threads.h"
#include "base/size.h"
#include "base/text.h"
#include "profile/device.h"
#include "profile/measure.h"

#define MIB ((size_t)1 << 20)
#define ROUNDS 5 /* of which the best counts: others on the machine only ever make it slower */
#define LEAST_MEMORY (64 * MIB)
#define MOST_MEMORY ((SIZE_MAX > UINT32_MAX ? 4096 : 512) * MIB) /* and a quarter of what there is */

#define NAMELESS "this machine"

/* As much of `text` as finds room. What is empty or no UTF-8, perhaps since a character was cut, is no name.
 */
static void set_name(char *name, size_t size, const char *text)
{
    snprintf(name, size, "%s", text);
    if (!*name || !lutra_is_utf8(name, strlen(name)))
        snprintf(name, size, NAMELESS);
}

/* The processor's name as /proc/cpuinfo has it. */
static void read_title(const lutra_world *world, char *title, size_t size)
{
    static const char *const keys[] = {"model name", "Model", "Hardware"};
    char path[512], line[256];
    snprintf(path, sizeof path, "%s/proc/cpuinfo", world->root);
    FILE *file = fopen(path, "r");
    snprintf(title, size, NAMELESS);
    for (bool found = false; file && !found && fgets(line, sizeof line, file);)
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            char *colon = strchr(line, ':');
            if (strncmp(line, keys[i], strlen(keys[i])) != 0 || !colon || colon[1] != ' ')
                continue;
            colon[2 + strcspn(colon + 2, "\n")] = 0;
            found = colon[2] != 0;
            set_name(title, size, colon + 2);
        }
    if (file)
        fclose(file);
}

void lutra_device_look_in(const lutra_world *world, size_t cpu, lutra_device *device)
{
    const char *isa;
    *device = (lutra_device){.n_cores = lutra_smaller(lutra_cpu_count(), LUTRA_MAX_CORES),
                             .efficiency = lutra_default_efficiency};
    snprintf(device->name, sizeof device->name, "this");
    read_title(world, device->title, sizeof device->title);
    set_name(device->core, sizeof device->core, device->title);
    if (lutra_isa(&isa, NULL) == LUTRA_OK)
        snprintf(device->isa, sizeof device->isa, "%s", isa);
    device->n_caches = lutra_read_caches(world, cpu, device->caches);
    /* The bare operations' energies are those of any description (docs/devices.md). */
    device->pj_dram_byte = 162.5;
    device->pj_mac_f32 = 1.69;
    device->pj_mac_bf16 = 0.32;
    device->pj_mac_i8 = 0.077;
}

void lutra_device_look(lutra_device *device)
{
    size_t cpus[LUTRA_MAX_CPUS];
    lutra_working_cpus("", cpus);
    lutra_device_look_in(&lutra_real_world, cpus[0], device);
}

typedef struct measuring {
    lutra_device *device;
    size_t n_threads;
    lutra_error *error;
} measuring;

/* Multiply-adds a cycle and a core: their rate and the clock swing together, so they are measured together.
 */
static lutra_status measure_peaks(const measuring *m)
{
    lutra_device *d = m->device;
    double f32 = 0, bf16 = 0, i8 = 0, all = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double one_f32, one_bf16, one_i8, all_f32;
        lutra_status status;
        const double clock = lutra_measure_clock();
        if ((status = lutra_measure_peak(LUTRA_MODE_F32, 1, &one_f32, m->error)) ||
            (status = lutra_measure_peak(LUTRA_MODE_BF16, 1, &one_bf16, m->error)) ||
            (status = lutra_measure_peak(LUTRA_MODE_INT8, 1, &one_i8, m->error)) ||
            (status = lutra_measure_peak(LUTRA_MODE_F32, m->n_threads, &all_f32, m->error)))
            return status;
        d->clock = clock > d->clock ? clock : d->clock;
        f32 = one_f32 > f32 ? one_f32 : f32;
        bf16 = one_bf16 > bf16 ? one_bf16 : bf16;
        i8 = one_i8 > i8 ? one_i8 : i8;
        all = all_f32 > all ? all_f32 : all;
    }
    if (!(f32 > 0) || !(bf16 > 0) || !(i8 > 0))
        return lutra_fail(m->error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
                          "no loop measures the peak of the level %s", d->isa);
    d->macs_per_cycle_f32 = 1e9 * f32 / d->clock;
    d->macs_per_cycle_bf16 = 1e9 * bf16 / d->clock;
    d->macs_per_cycle_i8 = 1e9 * i8 / d->clock;
    d->clock_all = d->clock * all / (f32 * (double)m->n_threads);
    d->clock_all = d->clock_all < d->clock ? d->clock_all : d->clock;
    return LUTRA_OK;
}

/* From half of each cache, so that the rest of the machine's work finds room beside it. */
static lutra_status measure_caches(const measuring *m)
{
    for (size_t i = 0; i < m->device->n_caches; i++) {
        lutra_cache *cache = &m->device->caches[i];
        const lutra_status status =
            lutra_measure_reading(1, (size_t)cache->bytes / 2, &cache->bytes_per_second, m->error);
        if (status)
            return status;
    }
    return LUTRA_OK;
}

size_t lutra_bytes_beyond_caches(const lutra_device *device, size_t n_threads, uint64_t memory)
{
    const uint64_t most = memory / 4 < MOST_MEMORY ? memory / 4 : MOST_MEMORY;
    const uint64_t wanted =
        device->n_caches ? 4 * lutra_device_cache_bytes(device, device->n_caches - 1, n_threads) : 0;
    const uint64_t bytes = wanted < most ? wanted : most;
    return bytes < LEAST_MEMORY ? LEAST_MEMORY : (size_t)bytes;
}

static lutra_status measure_memory(const measuring *m)
{
    lutra_device *d = m->device;
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    const uint64_t memory = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
    const size_t one = lutra_bytes_beyond_caches(d, 1, memory);
    const size_t all = lutra_bytes_beyond_caches(d, m->n_threads, memory);
    lutra_status status = lutra_measure_reading(1, one, &d->dram_one_core, m->error);
    if (status == LUTRA_OK)
        status = lutra_measure_reading(m->n_threads, all / m->n_threads, &d->dram_all_cores, m->error);
    if (d->dram_all_cores < d->dram_one_core)
        d->dram_all_cores = d->dram_one_core;
    return status;
}

/* On a machine that is so busy that the kernels' times tell nothing, predictions go by the library's own. */
static lutra_status measure_kernels(const measuring *m)
{
    lutra_efficiency own;
    const lutra_status status = lutra_calibrate(m->device, &own, m->error);
    m->device->efficiency_is_own = status == LUTRA_OK;
#define EFFICIENCY(name, value, help) m->device->efficiency_is_own &= own.name > 0;
#include "profile/efficiency.inc"
#undef EFFICIENCY
    if (m->device->efficiency_is_own)
        m->device->efficiency = own;
    return status == LUTRA_ERROR_UNSUPPORTED ? LUTRA_OK : status;
}

lutra_status lutra_device_measure(lutra_device *device, lutra_progress progress, void *user,
                                  lutra_error *error)
{
    static const struct {
        const char *what;
        lutra_status (*measure)(const measuring *m);
    } parts[] = {{"multiply-adds", measure_peaks},
                 {"caches", measure_caches},
                 {"main memory", measure_memory},
                 {"kernels", measure_kernels}};
    const size_t n_parts = sizeof parts / sizeof *parts;
    lutra_device_look(device);
    const measuring m = {.device = device,
                         .n_threads =
                             device->n_cores < LUTRA_MAX_THREADS ? device->n_cores : LUTRA_MAX_THREADS,
                         .error = error};
    for (size_t i = 0; i <= n_parts; i++) {
        if (progress && !progress(user, i < n_parts ? parts[i].what : "done", i, n_parts))
            return lutra_fail(error, LUTRA_ERROR_CANCELLED, NULL, LUTRA_NO_OFFSET, "cancelled");
        const lutra_status status = i < n_parts ? parts[i].measure(&m) : LUTRA_OK;
        if (status)
            return status;
    }
    return LUTRA_OK;
}
