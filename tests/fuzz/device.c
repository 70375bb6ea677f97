/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's description: refused with a reason, or all its numbers finite and above 0, and so what is
 * predicted of a model on it.
 */
#include <math.h>
#include <stdlib.h>

#include "fuzz.h"
#include "tiny_model.h"

static lutra_model *the_model(void)
{
    static const tiny_model shape = {.dim = 8,
                                     .depth = 1,
                                     .n_heads = 2,
                                     .mlp_dim = 16,
                                     .patch = 2,
                                     .grid_height = 2,
                                     .grid_width = 2,
                                     .n_classes = 3,
                                     .dtype = LUTRA_F32};
    static lutra_model *model;
    static uint8_t *bytes; /* the model's own memory */
    size_t size;
    if (!model) {
        bytes = tiny_model_make(&shape, 1, &size);
        fuzz_require(lutra_model_open_memory(bytes, size, NULL, &model, NULL) == LUTRA_OK);
    }
    return model;
}

static bool is_positive(double value)
{
    return value > 0 && isfinite(value);
}

static void check_device(const lutra_device *device)
{
    fuzz_require(device->name[0] && device->isa[0] && device->n_cores >= 1);
    fuzz_require(is_positive(device->clock) && is_positive(device->clock_all));
    fuzz_require(is_positive(device->macs_per_cycle_f32) && is_positive(device->macs_per_cycle_bf16) &&
                 is_positive(device->macs_per_cycle_i8));
    fuzz_require(device->n_caches <= LUTRA_MAX_CACHES);
    for (size_t i = 0; i < device->n_caches; i++)
        fuzz_require(device->caches[i].bytes && device->caches[i].shared_by &&
                     device->caches[i].bytes_per_second >= 0 && isfinite(device->caches[i].bytes_per_second));
    fuzz_require(is_positive(device->dram_all_cores) && is_positive(device->dram_one_core));
    fuzz_require(is_positive(device->pj_dram_byte) && is_positive(device->pj_mac_f32));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lutra_device device;
    lutra_error error;
    const fuzz_file file = fuzz_open_file(data, size);
    const lutra_status status = lutra_device_read(file.path, &device, &error);
    fuzz_close_file(&file);
    if (status) {
        fuzz_require_error(status, &error);
        return 0;
    }
    check_device(&device);
    fuzz_require_predictions(the_model(), &device);
    return 0;
}
