/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

lutra_status lutra_file_map_open(const char *path, lutra_file_map *map, lutra_error *error)
{
    struct stat info;
    lutra_status status = LUTRA_OK;
    *map = (lutra_file_map){0};
    /* O_NONBLOCK: a FIFO given in place of a file must not hang the program. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0)
        return lutra_fail_errno(error, errno, path, "open it");
    if (fstat(descriptor, &info) != 0) {
        status = lutra_fail_errno(error, errno, path, "ask for its size");
    } else if (!S_ISREG(info.st_mode)) {
        status = lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "is not a regular file");
    } else if ((uint64_t)info.st_size > SIZE_MAX) {
        status = lutra_fail(error, LUTRA_ERROR_IO, path, LUTRA_NO_OFFSET, "is too large for this machine");
    } else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data == MAP_FAILED)
            status = lutra_fail_errno(error, errno, path, "map it");
        else
            *map = (lutra_file_map){.data = data, .size = (size_t)info.st_size};
    }
    close(descriptor);
    return status;
}

void lutra_file_map_close(lutra_file_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (lutra_file_map){0};
}
