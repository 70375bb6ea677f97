/* SPDX-License-Identifier: Apache-2.0 */
#include "base/absent.h"

#include <errno.h>
#include <sys/stat.h>

bool lutra_is_absent(const char *path)
{
    struct stat info;
    return lstat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR);
}
