/* SPDX-License-Identifier: Apache-2.0 */
/* A safetensors file: refused with a reason, or all tensors within it, side by side, and found by name. */
#include <string.h>

#include "format/safetensors.h"
#include "fuzz.h"

static void check_tensor(const lutra_safetensors *file, size_t index, const uint8_t *data, size_t size,
                         const uint8_t **end)
{
    const lutra_tensor *tensor = lutra_safetensors_at(file, index);
    size_t elements = 1;
    fuzz_require(tensor->rank <= LUTRA_MAX_RANK);
    for (size_t i = 0; i < tensor->rank; i++)
        elements *= tensor->shape[i];
    fuzz_require(tensor->n_elements == elements);
    fuzz_require(tensor->bytes == elements * lutra_dtype_size(tensor->dtype));
    fuzz_require(tensor->data == (*end ? *end : tensor->data));
    fuzz_require(tensor->data >= data + 8 && tensor->offset == (size_t)(tensor->data - data));
    fuzz_require(tensor->readable == size - tensor->offset && tensor->bytes <= tensor->readable);
    fuzz_require(lutra_safetensors_find(file, tensor->name) == tensor);
    *end = tensor->data + tensor->bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lutra_safetensors *file;
    lutra_error error;
    const lutra_status status = lutra_safetensors_open_memory(data, size, "input", &file, &error);
    if (status) {
        fuzz_require(!file);
        fuzz_require_error(status, &error);
        return 0;
    }
    const size_t n = lutra_safetensors_count(file);
    const uint8_t *end = NULL;
    for (size_t i = 0; i < n; i++)
        check_tensor(file, i, data, size, &end);
    fuzz_require(n == 0 || end == data + size);
    fuzz_require(!lutra_safetensors_at(file, n));
    fuzz_require(lutra_safetensors_bytes(file) == size);
    const char *config = lutra_safetensors_metadata(file, "lutra.config");
    fuzz_require(!config || strlen(config) < size);
    lutra_safetensors_close(file);
    return 0;
}
