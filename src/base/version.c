/* SPDX-License-Identifier: Apache-2.0 */
#include "lutra/lutra.h"

const char *lutra_version(void)
{
    return LUTRA_VERSION;
}
