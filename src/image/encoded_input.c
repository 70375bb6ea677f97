/* SPDX-License-Identifier: Apache-2.0 */
#include "image/encoded_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static lutra_status read_standard_input(lutra_encoded_input *input, lutra_error *error)
{
    size_t capacity = 0;
    for (;;) {
        if (input->size == capacity) {
            capacity = capacity ? capacity * 2 : 65536;
            if (capacity > LUTRA_MAX_ENCODED_BYTES)
                return lutra_fail(error, LUTRA_ERROR_UNSUPPORTED, input->name, LUTRA_NO_OFFSET,
                                  "holds more than 2^30 bytes");
            uint8_t *larger = realloc(input->buffer, capacity);
            if (!larger)
                return lutra_fail_memory(error, capacity, input->name);
            input->data = input->buffer = larger;
        }
        ssize_t n = read(STDIN_FILENO, input->buffer + input->size, capacity - input->size);
        if (n == 0)
            return LUTRA_OK;
        if (n < 0 && errno != EINTR)
            return lutra_fail_errno(error, errno, input->name, "read it");
        if (n > 0)
            input->size += (size_t)n;
    }
}

lutra_status lutra_encoded_input_open(const char *path, lutra_encoded_input *input, lutra_error *error)
{
    *input = (lutra_encoded_input){.name = path};
    if (strcmp(path, "-") == 0) {
        input->name = "standard input";
        return read_standard_input(input, error);
    }
    lutra_status status = lutra_file_map_open(path, &input->map, error);
    input->data = input->map.data;
    input->size = input->map.size;
    return status;
}

void lutra_encoded_input_close(lutra_encoded_input *input)
{
    lutra_file_map_close(&input->map);
    free(input->buffer);
    *input = (lutra_encoded_input){0};
}
