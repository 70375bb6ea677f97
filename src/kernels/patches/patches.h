/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts 8-bit pictures into normalised patches: the rows that the patch embedding's matrix multiplies. */
#ifndef LUTRA_KERNELS_PATCHES_H
#define LUTRA_KERNELS_PATCHES_H

#include "base/thread_pool.h"
#include "kernels/kernels.h"

typedef struct lutra_patches {
    size_t batch, height, width, patch; /* height and width are multiples of patch */
    const uint8_t *pixels;              /* [batch][height][width][3] */
    float mean[3], std[3];              /* of pixels scaled by 1/255 */
    float *out; /* [batch][height/patch * width/patch][3 * patch * patch]: channel, then row, then column, as
                   PyTorch flattens a convolution's weight */
} lutra_patches;

/* What makes a channel's pixels what the model was trained on: pixel * scale + shift. */
typedef struct lutra_pixel_scaling {
    float scale[3], shift[3];
} lutra_pixel_scaling;

lutra_pixel_scaling lutra_pixel_scaling_of(const lutra_patches *patches);

/* Patch `index` of all, counted from row to row and picture to picture -> `out` [3 * patch * patch]. */
void lutra_patch_f32(const lutra_kernels *kernels, const lutra_patches *patches,
                     const lutra_pixel_scaling *scaling, size_t index, float *out);

void lutra_patches_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_patches *patches);

#endif
