/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/patches/patches.h"

#include "kernels/table.h"

struct job {
    const lutra_kernels *kernels;
    const lutra_patches *patches;
    lutra_pixel_scaling scaling;
};

lutra_pixel_scaling lutra_pixel_scaling_of(const lutra_patches *patches)
{
    lutra_pixel_scaling scaling;
    for (size_t c = 0; c < 3; c++) { /* (pixel / 255 - mean) / std */
        scaling.scale[c] = (float)(1.0 / (255.0 * (double)patches->std[c]));
        scaling.shift[c] = (float)(-(double)patches->mean[c] / (double)patches->std[c]);
    }
    return scaling;
}

void lutra_patch_f32(const lutra_kernels *kernels, const lutra_patches *p, const lutra_pixel_scaling *scaling,
                     size_t index, float *out)
{
    const size_t n_across = p->width / p->patch;
    const size_t first = (index / n_across * p->patch * p->width + index % n_across * p->patch) * 3;
    for (size_t y = 0; y < p->patch; y++)
        kernels->patch_row_f32(p->patch, p->pixels + first + y * p->width * 3, scaling->scale, scaling->shift,
                               out + y * p->patch, p->patch * p->patch);
}

/* One row of patches of one picture. */
static void cut_patches(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_patches *p = job->patches;
    const size_t n_across = p->width / p->patch;
    (void)worker;
    for (size_t i = task * n_across; i < (task + 1) * n_across; i++)
        lutra_patch_f32(job->kernels, p, &job->scaling, i, p->out + i * 3 * p->patch * p->patch);
}

void lutra_patches_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_patches *patches)
{
    struct job job = {.kernels = kernels, .patches = patches, .scaling = lutra_pixel_scaling_of(patches)};
    lutra_thread_pool_run(pool, patches->batch * (patches->height / patches->patch), cut_patches, &job);
}
