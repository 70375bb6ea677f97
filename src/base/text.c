/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lutra/lutra.h"

/* The bytes of the character at the begin of `text`, of which at least one and not more than `length` may be
 * read; 0 where they are not UTF-8: cut short, longer than need be, half of a surrogate, beyond U+10FFFF. */
static size_t read_character(const char *text, size_t length, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *bytes = (const uint8_t *)text;
    const size_t n = bytes[0] < 0x80         ? 1
                     : bytes[0] >> 5 == 0x06 ? 2
                     : bytes[0] >> 4 == 0x0e ? 3
                     : bytes[0] >> 3 == 0x1e ? 4
                                             : 0;
    *code = n < 2 ? bytes[0] : bytes[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (i == length || bytes[i] >> 6 != 2) /* which 0, the end of a text, is not */
            return 0;
        *code = *code << 6 | (bytes[i] & 0x3f);
    }
    const bool is_surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return *code < least[n] || *code > 0x10ffff || is_surrogate ? 0 : n;
}

bool lutra_is_utf8(const char *text, size_t length)
{
    uint32_t code;
    for (size_t n; length > 0; text += n, length -= n)
        if (!(n = read_character(text, length, &code)))
            return false;
    return true;
}

/* Control characters, those of ISO 6429's second set too (U+009B begins a sequence as ESC [ does), and what
 * turns the direction of writing or ends a line. */
static bool steers(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
           code == 0x200f || (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

size_t lutra_escape(const char **text, char *out, size_t size)
{
    size_t used = 0;
    while (**text) {
        char piece[8];
        uint32_t code;
        const size_t n = read_character(*text, SIZE_MAX, &code);
        if (n && !steers(code))
            snprintf(piece, sizeof piece, "%.*s", (int)n, *text);
        else
            snprintf(piece, sizeof piece, n ? "\\u%04x" : "\\x%02x", n ? code : (uint8_t) * *text);
        const size_t n_piece = strlen(piece);
        if (used + n_piece >= size)
            break;
        memcpy(out + used, piece, n_piece);
        used += n_piece;
        *text += n ? n : 1;
    }
    if (size)
        out[used] = 0;
    return used;
}
