/* SPDX-License-Identifier: Apache-2.0 */
#include "draw.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "terminal.h"

#define MAX_COLUMNS 32
#define MARGIN "  "

typedef struct canvas {
    const uint8_t *pixels; /* [height][width][3] */
    size_t height, width;
    size_t rows, columns; /* of drawn pixels, two rows a line of text */
    bool true_colour;
} canvas;

/* The mean colour of the source pixels under one drawn pixel; sides that do not divide share their edge. */
static void mean_colour(const canvas *c, size_t row, size_t column, unsigned rgb[3])
{
    const size_t y0 = row * c->height / c->rows, x0 = column * c->width / c->columns;
    size_t y1 = (row + 1) * c->height / c->rows, x1 = (column + 1) * c->width / c->columns;
    uint64_t sum[3] = {0};
    y1 = y1 > y0 ? y1 : y0 + 1;
    x1 = x1 > x0 ? x1 : x0 + 1;
    for (size_t y = y0; y < y1; y++)
        for (size_t x = x0; x < x1; x++)
            for (size_t i = 0; i < 3; i++)
                sum[i] += c->pixels[(y * c->width + x) * 3 + i];
    for (size_t i = 0; i < 3; i++)
        rgb[i] = (unsigned)(sum[i] / ((y1 - y0) * (x1 - x0)));
}

/* `ground` is 38 for the character's colour, 48 for the one behind it. */
static void set_colour(FILE *stream, const canvas *c, unsigned ground, const unsigned rgb[3])
{
    if (c->true_colour)
        fprintf(stream, "\033[%u;2;%u;%u;%um", ground, rgb[0], rgb[1], rgb[2]);
    else /* xterm's cube of 6 x 6 x 6 colours */
        fprintf(stream, "\033[%u;5;%um", ground,
                16 + 36 * ((rgb[0] + 25) / 51) + 6 * ((rgb[1] + 25) / 51) + (rgb[2] + 25) / 51);
}

static size_t terminal_columns(FILE *stream)
{
    struct winsize size;
    return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void tool_draw(FILE *stream, const uint8_t *pixels, size_t height, size_t width)
{
    if (!*tool_plain(stream) || height == 0 || width == 0)
        return;
    const char *colours = getenv("COLORTERM");
    const size_t room = terminal_columns(stream);
    canvas c = {.pixels = pixels, .height = height, .width = width, .columns = MAX_COLUMNS};
    c.true_colour = colours && (strcmp(colours, "truecolor") == 0 || strcmp(colours, "24bit") == 0);
    if (c.columns + sizeof MARGIN > room)
        c.columns = room > sizeof MARGIN ? room - sizeof MARGIN : 1;
    c.rows = (c.columns * height / width + 1) / 2 * 2; /* a character is about twice as high as wide */
    c.rows = c.rows ? c.rows : 2;
    for (size_t row = 0; row < c.rows; row += 2) {
        fputs(MARGIN, stream);
        for (size_t column = 0; column < c.columns; column++) {
            unsigned upper[3], lower[3];
            mean_colour(&c, row, column, upper);
            mean_colour(&c, row + 1, column, lower);
            set_colour(stream, &c, 38, upper);
            set_colour(stream, &c, 48, lower);
            fputs("\342\226\200", stream); /* U+2580, upper half block */
        }
        fprintf(stream, "%s\n", tool_plain(stream));
    }
}
