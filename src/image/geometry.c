/* SPDX-License-Identifier: Apache-2.0 */
#include "image/geometry.h"

#include <math.h>

#define MAX_INPUT_SIDE 65536        /* of the model's input */
#define MAX_RESIZED_SIDE (1u << 24) /* of the size asked for before the crop */

static lutra_status refuse(lutra_error *error, const char *what)
{
    return lutra_fail(error, LUTRA_ERROR_ARGUMENT, NULL, LUTRA_NO_OFFSET, "preprocessing: %s", what);
}

static lutra_status check(const lutra_preprocessing *p, lutra_error *error)
{
    if (p->height < 1 || p->height > MAX_INPUT_SIDE || p->width < 1 || p->width > MAX_INPUT_SIDE)
        return refuse(error, "height and width must be 1..65536");
    if (p->resample < 0 || p->resample > 5)
        return refuse(error, "resample must be one of Pillow's codes 0..5");
    if (p->crop_mode != LUTRA_CROP_CENTER && p->crop_mode != LUTRA_CROP_SQUASH &&
        p->crop_mode != LUTRA_CROP_BORDER)
        return refuse(error, "unknown crop mode");
    if (p->resize_height > MAX_RESIZED_SIDE || p->resize_width > MAX_RESIZED_SIDE)
        return refuse(error, "resize_height and resize_width must be at most 2^24");
    if (p->resize_width && !p->resize_height)
        return refuse(error, "resize_width needs resize_height");
    if (p->resize_height && !p->resize_width && p->crop_mode != LUTRA_CROP_CENTER)
        return refuse(error, "resize_height alone is for the centre crop only");
    if (p->resize_height)
        return LUTRA_OK;
    if (!(p->crop_pct > 0.0 && p->crop_pct <= 1.0))
        return refuse(error, "crop_pct must be above 0 and at most 1");
    if ((double)p->height / p->crop_pct > MAX_RESIZED_SIDE ||
        (double)p->width / p->crop_pct > MAX_RESIZED_SIDE)
        return refuse(error, "crop_pct is too small");
    return LUTRA_OK;
}

/* Python's round(): ties to the even neighbour, whatever the rounding mode. A side never vanishes. */
static size_t round_side(double value)
{
    double whole = floor(value), rest = value - whole;
    if (rest > 0.5 || (rest == 0.5 && fmod(whole, 2.0) != 0.0))
        whole += 1.0;
    return whole < 1.0 ? 1 : (size_t)whole;
}

/* torchvision's Resize(size): the shorter side becomes `size`, the longer one is cut to an integer. */
static void resize_shorter_side(size_t size, size_t width, size_t height, lutra_geometry *g)
{
    size_t shorter = width <= height ? width : height, longer = width <= height ? height : width;
    size_t resized = (size_t)((double)size * (double)longer / (double)shorter);
    g->x.resized = width <= height ? size : resized;
    g->y.resized = width <= height ? resized : size;
}

/* timm's ResizeKeepRatio: the side that needs the larger (or the smaller) reduction fits its target. */
static void resize_keep_ratio(size_t target_width, size_t target_height, bool longest, size_t width,
                              size_t height, lutra_geometry *g)
{
    double ratio_y = (double)height / (double)target_height, ratio_x = (double)width / (double)target_width;
    double ratio = (ratio_y > ratio_x) == longest ? ratio_y : ratio_x;
    g->x.resized = round_side((double)width / ratio);
    g->y.resized = round_side((double)height / ratio);
}

static void plan_resize(const lutra_preprocessing *p, size_t width, size_t height, lutra_geometry *g)
{
    if (p->resize_height && p->resize_width) {
        g->x.resized = p->resize_width;
        g->y.resized = p->resize_height;
        return;
    }
    if (p->resize_height) {
        resize_shorter_side(p->resize_height, width, height, g);
        return;
    }
    size_t target_width = (size_t)floor((double)p->width / p->crop_pct);
    size_t target_height = (size_t)floor((double)p->height / p->crop_pct);
    if (p->crop_mode == LUTRA_CROP_SQUASH) {
        g->x.resized = target_width;
        g->y.resized = target_height;
    } else if (p->crop_mode == LUTRA_CROP_BORDER) {
        resize_keep_ratio(target_width, target_height, true, width, height, g);
    } else if (target_width == target_height) {
        resize_shorter_side(target_width, width, height, g);
    } else {
        resize_keep_ratio(target_width, target_height, false, width, height, g);
    }
}

/* Half of an odd surplus goes to the even neighbour in torchvision, down in Hugging Face's processors. */
static void crop_centre(size_t wanted, bool round_down, lutra_span *span)
{
    if (wanted >= span->resized) {
        span->padding = (wanted - span->resized) / 2;
        span->n_visible = span->resized;
        span->begin = 0;
        return;
    }
    size_t surplus = span->resized - wanted, half = surplus / 2;
    if (surplus % 2 && half % 2 && !round_down)
        half++;
    span->padding = 0;
    span->n_visible = wanted;
    span->begin = half;
}

/* The mean is a float where timm has a double: rounding it to six decimals restores what was written, or
 * 255 * 0.3 = 76.5 would round up instead of to even. */
static uint8_t fill_value(float mean)
{
    double written = floor((double)mean * 1e6 + 0.5) / 1e6;
    if (!(written > 0.0))
        return 0;
    return written >= 1.0 ? 255 : (uint8_t)(255.0 * written < 0.5 ? 0 : round_side(255.0 * written));
}

lutra_status lutra_geometry_plan(const lutra_preprocessing *preprocessing, size_t width, size_t height,
                                 lutra_geometry *geometry, lutra_error *error)
{
    lutra_status status = check(preprocessing, error);
    if (status)
        return status;
    *geometry = (lutra_geometry){0};
    plan_resize(preprocessing, width, height, geometry);
    bool round_down = preprocessing->resize_height > 0;
    crop_centre(preprocessing->width, round_down, &geometry->x);
    crop_centre(preprocessing->height, round_down, &geometry->y);
    if (preprocessing->crop_mode == LUTRA_CROP_BORDER)
        for (size_t i = 0; i < 3; i++)
            geometry->fill[i] = fill_value(preprocessing->mean[i]);
    return LUTRA_OK;
}
