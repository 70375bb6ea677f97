/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static lutra_status map_file(int descriptor, size_t size, const char *path, lutra_file_map *map,
                             lutra_error *error)
{
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (data == MAP_FAILED)
        return lutra_fail_errno(error, errno, path, "map it");
    *map = (lutra_file_map){.data = data, .size = size};
    return LUTRA_OK;
}

static lutra_status read_file(int descriptor, size_t size, const char *path, lutra_file_map *map,
                              lutra_error *error)
{
    uint8_t *data = NULL;
    lutra_status status = lutra_allocate(size, 1, path, &data, error);
    for (size_t done = 0; status == LUTRA_OK && done < size;) {
        const ssize_t n = read(descriptor, data + done, size - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0)
            status = lutra_fail(error, LUTRA_ERROR_IO, path, done, "was cut short while it was read");
        else if (errno != EINTR)
            status = lutra_fail_errno(error, errno, path, "read it");
    }
    if (status)
        free(data);
    else
        *map = (lutra_file_map){.data = data, .size = size, .is_copy = true};
    return status;
}

typedef lutra_status fill(int descriptor, size_t size, const char *path, lutra_file_map *map,
                          lutra_error *error);

static lutra_status open_file(const char *path, size_t limit, fill *fill_map, lutra_file_map *map,
                              lutra_error *error)
{
    struct stat info;
    lutra_status status = LUTRA_OK;
    *map = (lutra_file_map){0};
    /* O_NONBLOCK: a FIFO given in place of a file must not hang the program. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return lutra_fail_errno(error, errno, path, "open it");
    if (fstat(descriptor, &info) != 0)
        status = lutra_fail_errno(error, errno, path, "ask for its size");
    else if (!S_ISREG(info.st_mode))
        status = lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "is not a regular file");
    else if ((uint64_t)info.st_size > SIZE_MAX)
        status = lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "is too large for this machine");
    else if ((size_t)info.st_size > limit)
        status =
            lutra_fail(error, LUTRA_ERROR_FORMAT, path, LUTRA_NO_OFFSET, "holds more than %zu bytes", limit);
    else if (info.st_size > 0)
        status = fill_map(descriptor, (size_t)info.st_size, path, map, error);
    close(descriptor);
    return status;
}

lutra_status lutra_file_map_open(const char *path, lutra_file_map *map, lutra_error *error)
{
    return open_file(path, SIZE_MAX, map_file, map, error);
}

lutra_status lutra_file_map_read(const char *path, size_t limit, lutra_file_map *map, lutra_error *error)
{
    return open_file(path, limit, read_file, map, error);
}

void lutra_file_map_close(lutra_file_map *map)
{
    if (map->is_copy)
        free((void *)(uintptr_t)map->data);
    else if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (lutra_file_map){0};
}
