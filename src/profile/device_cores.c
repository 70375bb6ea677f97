/* SPDX-License-Identifier: Apache-2.0 */
/* What a device has while some of its cores work. */
#include <math.h>

#include "base/size.h"
#include "lutra/lutra.h"

static size_t cores_of(const lutra_device *device, size_t n_threads)
{
    return n_threads < device->n_cores ? n_threads : device->n_cores;
}

/* Cores share a budget of power: those that work run as fast as it allows, none faster than alone. */
double lutra_device_cycles(const lutra_device *device, size_t n_threads)
{
    const size_t n = cores_of(device, n_threads);
    if (n <= 1)
        return (double)n * device->clock;
    return fmin((double)n * device->clock, (double)device->n_cores * device->clock_all);
}

double lutra_device_bandwidth(const lutra_device *device, size_t level, size_t n_threads)
{
    const size_t n = cores_of(device, n_threads);
    if (level < device->n_caches)
        return (double)n * device->caches[level].bytes_per_second;
    if (n == device->n_cores)
        return device->dram_all_cores;
    return fmin((double)n * device->dram_one_core, device->dram_all_cores);
}

uint64_t lutra_device_cache_bytes(const lutra_device *device, size_t level, size_t n_threads)
{
    if (level >= device->n_caches || !device->caches[level].shared_by)
        return 0;
    const lutra_cache *cache = &device->caches[level];
    return lutra_divide_up(cores_of(device, n_threads), cache->shared_by) * cache->bytes;
}

/* Where bf16 is not multiplied, what is in bf16 is computed in f32. A device that was only looked at has no
 * peaks: there the lesser energy bounds what is not known. */
static bool may_multiply_bf16(const lutra_device *device)
{
    return device->macs_per_cycle_f32 == 0 || device->macs_per_cycle_bf16 > device->macs_per_cycle_f32;
}

double lutra_device_mac_energy(const lutra_device *device, const lutra_step_info *step, lutra_mode mode)
{
    const lutra_mode type = lutra_step_mode(step, mode);
    if (type == LUTRA_MODE_INT8)
        return device->pj_mac_i8;
    return type == LUTRA_MODE_BF16 && may_multiply_bf16(device) ? device->pj_mac_bf16 : device->pj_mac_f32;
}
