/* SPDX-License-Identifier: Apache-2.0 */
/* Text of unknown origin. What prints it is lutra_escape, in the public header. */
#ifndef LUTRA_BASE_TEXT_H
#define LUTRA_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Whether `text` [length] is well-formed UTF-8 (RFC 3629). */
bool lutra_is_utf8(const char *text, size_t length);

#endif
