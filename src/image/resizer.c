/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pillow resizes in two passes with 8 bits between them, after the picture was turned upright. Both axes here
 * are planned in the stored picture's own directions (a mirrored axis is planned backwards), so no pixel is
 * ever moved to turn the picture; only the order of the passes matters:
 *
 *   x first:  stored row -> pass along x -> ring of short rows -> pass along y -> output row
 *   y first:  stored row -> ring of whole rows -> pass along y -> pass along x -> output row
 *
 * Of a transposed picture (orientations 5..8) a stored row becomes an output column.
 */
#include "image/resizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "image/axis.h"
#include "image/geometry.h"

struct lutra_resizer {
    lutra_axis x, y; /* along stored rows, and from stored row to stored row */
    bool x_first;
    size_t next_row;       /* stored row that comes next */
    size_t next_output;    /* of y */
    size_t ring_columns;   /* pixels of a row in the ring */
    size_t skipped;        /* stored pixels left of those the ring holds (not x_first) */
    uint8_t *ring;         /* [y.max_taps][ring_columns][3]; stored row i lies at i mod max_taps */
    const uint8_t **rows;  /* [y.max_taps]: the rows of one output */
    uint8_t *line;         /* [ring_columns][3] */
    uint8_t *turned;       /* [x.n_outputs][3] (not x_first) */
    uint8_t *pixels;       /* the first visible output pixel */
    size_t step_x, step_y; /* bytes from one output of x (y) to the next place */
};

static uint8_t round_sum(int32_t sum)
{
    int32_t value = sum >> LUTRA_WEIGHT_BITS;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* Sums stay within 32 bits: the absolute weights of every filter add up to less than 2 (Lanczos: 1.6). */
static void resize_line(const lutra_axis *axis, const uint8_t *line, size_t skipped, uint8_t *output)
{
    for (size_t i = 0; i < axis->n_outputs; i++) {
        const int32_t *weights = axis->weights + i * axis->max_taps;
        const uint8_t *pixel = line + (axis->taps[i].first - skipped) * 3;
        int32_t red = 1 << (LUTRA_WEIGHT_BITS - 1), green = red, blue = red;
        for (size_t t = 0; t < axis->taps[i].count; t++, pixel += 3) {
            red += pixel[0] * weights[t];
            green += pixel[1] * weights[t];
            blue += pixel[2] * weights[t];
        }
        output[i * 3] = round_sum(red);
        output[i * 3 + 1] = round_sum(green);
        output[i * 3 + 2] = round_sum(blue);
    }
}

#define BLOCK 32 /* bytes whose sums stay in registers */

static void combine_rows(const uint8_t *const *rows, const int32_t *weights, size_t n_rows, size_t n_bytes,
                         uint8_t *output)
{
    for (size_t begin = 0; begin < n_bytes; begin += BLOCK) {
        int32_t sums[BLOCK];
        size_t n = n_bytes - begin < BLOCK ? n_bytes - begin : BLOCK;
        for (size_t i = 0; i < BLOCK; i++)
            sums[i] = 1 << (LUTRA_WEIGHT_BITS - 1);
        for (size_t row = 0; row < n_rows; row++) {
            const uint8_t *bytes = rows[row] + begin;
            if (n == BLOCK)
                for (size_t i = 0; i < BLOCK; i++)
                    sums[i] += bytes[i] * weights[row];
            else
                for (size_t i = 0; i < n; i++)
                    sums[i] += bytes[i] * weights[row];
        }
        for (size_t i = 0; i < n; i++)
            output[begin + i] = round_sum(sums[i]);
    }
}

static uint8_t *ring_row(const lutra_resizer *resizer, size_t row)
{
    return resizer->ring + row % resizer->y.max_taps * resizer->ring_columns * 3;
}

static size_t place(const lutra_axis *axis, size_t output)
{
    return axis->mirrored ? axis->n_outputs - 1 - output : output;
}

static void write_output(lutra_resizer *resizer, size_t output, const uint8_t *line)
{
    uint8_t *target = resizer->pixels + place(&resizer->y, output) * resizer->step_y;
    for (size_t i = 0; i < resizer->x.n_outputs; i++)
        memcpy(target + place(&resizer->x, i) * resizer->step_x, line + i * 3, 3);
}

static void finish_output(lutra_resizer *resizer, size_t output)
{
    const lutra_taps *taps = &resizer->y.taps[output];
    for (size_t t = 0; t < taps->count; t++)
        resizer->rows[t] = ring_row(resizer, taps->first + t);
    combine_rows(resizer->rows, resizer->y.weights + output * resizer->y.max_taps, taps->count,
                 resizer->ring_columns * 3, resizer->line);
    if (!resizer->x_first)
        resize_line(&resizer->x, resizer->line, resizer->skipped, resizer->turned);
    write_output(resizer, output, resizer->x_first ? resizer->line : resizer->turned);
}

void lutra_resizer_row(lutra_resizer *resizer, const uint8_t *row)
{
    const lutra_axis *y = &resizer->y;
    size_t index = resizer->next_row++;
    if (resizer->next_output == y->n_outputs || index < y->taps[resizer->next_output].first)
        return; /* no output that is still to come looks at this row */
    if (resizer->x_first)
        resize_line(&resizer->x, row, 0, ring_row(resizer, index));
    else
        memcpy(ring_row(resizer, index), row + resizer->skipped * 3, resizer->ring_columns * 3);
    while (resizer->next_output < y->n_outputs &&
           y->taps[resizer->next_output].first + y->taps[resizer->next_output].count <= index + 1)
        finish_output(resizer, resizer->next_output++);
}

static lutra_status allocate_rows(lutra_resizer *resizer, lutra_error *error)
{
    const lutra_axis *x = &resizer->x, *y = &resizer->y;
    size_t last = x->n_outputs - 1;
    resizer->skipped = resizer->x_first ? 0 : x->taps[0].first;
    resizer->ring_columns =
        resizer->x_first ? x->n_outputs : x->taps[last].first + x->taps[last].count - resizer->skipped;
    lutra_status status =
        lutra_allocate(y->max_taps, resizer->ring_columns * 3, "rows of a picture", &resizer->ring, error);
    if (!status)
        status =
            lutra_allocate(y->max_taps, sizeof *resizer->rows, "rows of a picture", &resizer->rows, error);
    if (!status)
        status = lutra_allocate(resizer->ring_columns, 3, "a row of a picture", &resizer->line, error);
    if (!status)
        status = lutra_allocate(x->n_outputs, 3, "a row of a picture", &resizer->turned, error);
    return status;
}

/* The fill everywhere; the picture then covers it. */
static void fill(const lutra_preprocessing *preprocessing, const lutra_geometry *geometry, uint8_t *pixels)
{
    for (size_t i = 0; i < preprocessing->height * preprocessing->width; i++)
        memcpy(pixels + i * 3, geometry->fill, 3);
}

/* Pillow's order of passes since 13.0: horizontal first, but for a picture that loses much more height than
 * width. */
static bool is_vertical_first(size_t width, size_t height, const lutra_geometry *geometry)
{
    if (height <= geometry->y.resized)
        return false;
    return width <= geometry->x.resized || height - geometry->y.resized > 2 * (width - geometry->x.resized);
}

lutra_status lutra_resizer_create(const lutra_preprocessing *preprocessing, size_t width, size_t height,
                                  unsigned orientation, uint8_t *pixels, lutra_resizer **result,
                                  lutra_error *error)
{
    bool transposed = orientation >= 5;
    bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    size_t upright_width = transposed ? height : width, upright_height = transposed ? width : height;
    lutra_geometry geometry;
    lutra_resizer *resizer = NULL;
    lutra_status status = lutra_geometry_plan(preprocessing, upright_width, upright_height, &geometry, error);
    if (!status)
        status = lutra_allocate(1, sizeof *resizer, "a resizer", &resizer, error);
    if (status)
        return status;

    const lutra_span *along_x = transposed ? &geometry.y : &geometry.x;
    const lutra_span *along_y = transposed ? &geometry.x : &geometry.y;
    lutra_axis_request x = {
        width, along_x->resized, along_x->begin, along_x->n_visible, preprocessing->resample, mirror_x};
    lutra_axis_request y = {
        height, along_y->resized, along_y->begin, along_y->n_visible, preprocessing->resample, mirror_y};
    size_t row_bytes = preprocessing->width * 3;
    resizer->x_first = is_vertical_first(upright_width, upright_height, &geometry) == transposed;
    resizer->pixels = pixels + geometry.y.padding * row_bytes + geometry.x.padding * 3;
    resizer->step_x = transposed ? row_bytes : 3;
    resizer->step_y = transposed ? 3 : row_bytes;
    status = lutra_axis_create(&x, &resizer->x, error);
    if (!status)
        status = lutra_axis_create(&y, &resizer->y, error);
    if (!status)
        status = allocate_rows(resizer, error);
    if (status) {
        lutra_resizer_free(resizer);
        return status;
    }
    fill(preprocessing, &geometry, pixels);
    *result = resizer;
    return LUTRA_OK;
}

void lutra_resizer_free(lutra_resizer *resizer)
{
    if (!resizer)
        return;
    lutra_axis_free(&resizer->x);
    lutra_axis_free(&resizer->y);
    free(resizer->ring);
    free(resizer->rows);
    free(resizer->line);
    free(resizer->turned);
    free(resizer);
}
