/* SPDX-License-Identifier: Apache-2.0 */
#include "image/geometry.h"

#include <math.h>

#define MAX_INPUT_SIDE 65536        /* of the model's input */
#define MAX_ASKED_SIDE (1u << 24)   /* of the size asked for before the crop */
#define MAX_RESIZED_SIDE (1u << 28) /* of the longer side, which follows from it */

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
    if (p->resize_height > MAX_ASKED_SIDE || p->resize_width > MAX_ASKED_SIDE)
        return refuse(error, "resize_height and resize_width must be at most 2^24");
    if (p->resize_width && !p->resize_height)
        return refuse(error, "resize_width needs resize_height");
    if (p->resize_height && !p->resize_width && p->crop_mode != LUTRA_CROP_CENTER)
        return refuse(error, "resize_height alone is for the centre crop only");
    if (p->resize_height)
        return LUTRA_OK;
    if (!(p->crop_pct > 0.0 && p->crop_pct <= 1.0))
        return refuse(error, "crop_pct must be above 0 and at most 1");
    if ((double)p->height / p->crop_pct > MAX_ASKED_SIDE || (double)p->width / p->crop_pct > MAX_ASKED_SIDE)
        return refuse(error, "crop_pct is too small");
    return LUTRA_OK;
}

/* Sides before they are known to be within reason. */
typedef struct sides {
    double width, height;
} sides;

/* Python's round(): ties to the even neighbour, whatever the rounding mode. */
static double round_even(double value)
{
    double whole = floor(value), rest = value - whole;
    return rest > 0.5 || (rest == 0.5 && fmod(whole, 2.0) != 0.0) ? whole + 1.0 : whole;
}

/* torchvision's Resize(size): the shorter side becomes `size`, the longer one is cut to an integer. */
static sides resize_shorter_side(size_t size, size_t width, size_t height)
{
    size_t shorter = width <= height ? width : height, longer = width <= height ? height : width;
    double resized = floor((double)size * (double)longer / (double)shorter);
    return width <= height ? (sides){(double)size, resized} : (sides){resized, (double)size};
}

/* timm's ResizeKeepRatio: the side that needs the larger (or the smaller) reduction fits its target. A side
 * never vanishes. */
static sides resize_keep_ratio(double target_width, double target_height, bool longest, size_t width,
                               size_t height)
{
    double ratio_y = (double)height / target_height, ratio_x = (double)width / target_width;
    double ratio = (ratio_y > ratio_x) == longest ? ratio_y : ratio_x;
    return (sides){fmax(round_even((double)width / ratio), 1), fmax(round_even((double)height / ratio), 1)};
}

static sides plan_resize(const lutra_preprocessing *p, size_t width, size_t height)
{
    if (p->resize_height && p->resize_width)
        return (sides){(double)p->resize_width, (double)p->resize_height};
    if (p->resize_height)
        return resize_shorter_side(p->resize_height, width, height);
    const sides target = {floor((double)p->width / p->crop_pct), floor((double)p->height / p->crop_pct)};
    if (p->crop_mode == LUTRA_CROP_SQUASH)
        return target;
    if (p->crop_mode == LUTRA_CROP_BORDER)
        return resize_keep_ratio(target.width, target.height, true, width, height);
    if (target.width == target.height)
        return resize_shorter_side((size_t)target.width, width, height);
    return resize_keep_ratio(target.width, target.height, false, width, height);
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
    return written >= 1.0 ? 255 : (uint8_t)round_even(255.0 * written);
}

lutra_status lutra_geometry_plan(const lutra_preprocessing *preprocessing, size_t width, size_t height,
                                 lutra_geometry *geometry, lutra_error *error)
{
    lutra_status status = check(preprocessing, error);
    if (status)
        return status;
    const sides resized = plan_resize(preprocessing, width, height);
    if (resized.width > MAX_RESIZED_SIDE || resized.height > MAX_RESIZED_SIDE)
        return lutra_fail(
            error, LUTRA_ERROR_UNSUPPORTED, NULL, LUTRA_NO_OFFSET,
            "%zu x %zu pixels are too narrow: the longer side would be resized to more than 2^28", width,
            height);
    *geometry = (lutra_geometry){.x.resized = (size_t)resized.width, .y.resized = (size_t)resized.height};
    bool round_down = preprocessing->resize_height > 0;
    crop_centre(preprocessing->width, round_down, &geometry->x);
    crop_centre(preprocessing->height, round_down, &geometry->y);
    if (preprocessing->crop_mode == LUTRA_CROP_BORDER)
        for (size_t i = 0; i < 3; i++)
            geometry->fill[i] = fill_value(preprocessing->mean[i]);
    return LUTRA_OK;
}
