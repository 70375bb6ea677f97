/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/byte_order.h"
#include "base/size.h"

lutra_status lutra_allocate(size_t count, size_t size, const char *what, void *pointer, lutra_error *error)
{
    size_t bytes = 0;
    void *memory = NULL;
    if (!lutra_size_multiply(count, size, &bytes) || bytes > PTRDIFF_MAX - LUTRA_ALIGNMENT)
        return lutra_fail_memory(error, SIZE_MAX, what);
    bytes = bytes ? lutra_round_up(bytes, LUTRA_ALIGNMENT) : LUTRA_ALIGNMENT;
    memory = aligned_alloc(LUTRA_ALIGNMENT, bytes);
    if (!memory)
        return lutra_fail_memory(error, bytes, what);
    memset(memory, 0, bytes);
    memcpy(pointer, &memory, sizeof memory);
    return LUTRA_OK;
}
