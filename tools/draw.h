/* SPDX-License-Identifier: Apache-2.0 */
/* A picture in the terminal: two pixels a character, the upper half block over the lower one's colour. */
#ifndef LUTRA_TOOLS_DRAW_H
#define LUTRA_TOOLS_DRAW_H

#include <stdint.h>
#include <stdio.h>

/* Draws `pixels` [height][width][3], 8-bit RGB, at most 32 characters wide and as the terminal allows. Draws
 * nothing where `stream` is no terminal that may have colour (NO_COLOR, TERM). */
void tool_draw(FILE *stream, const uint8_t *pixels, size_t height, size_t width);

#endif
