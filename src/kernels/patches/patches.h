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

void lutra_patches_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_patches *patches);

#endif
