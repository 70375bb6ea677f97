/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/patches/patches.h"

#include "kernels/table.h"

struct job {
    const lutra_kernels *kernels;
    const lutra_patches *patches;
    float scale[3], shift[3]; /* (pixel / 255 - mean) / std = pixel * scale + shift */
};

/* One row of patches of one picture. */
static void cut_patches(void *argument, size_t task, size_t worker)
{
    const struct job *job = argument;
    const lutra_patches *p = job->patches;
    const size_t n_across = p->width / p->patch, plane = p->patch * p->patch;
    const uint8_t *pixels = p->pixels + task * p->patch * p->width * 3; /* [patch][width][3] */
    float *out = p->out + task * n_across * 3 * plane;                  /* [n_across][3][patch][patch] */
    (void)worker;
    for (size_t i = 0; i < n_across; i++)
        for (size_t y = 0; y < p->patch; y++)
            job->kernels->patch_row_f32(p->patch, pixels + (y * p->width + i * p->patch) * 3, job->scale,
                                        job->shift, out + i * 3 * plane + y * p->patch, plane);
}

void lutra_patches_f32(const lutra_kernels *kernels, lutra_thread_pool *pool, const lutra_patches *patches)
{
    struct job job = {.kernels = kernels, .patches = patches};
    for (size_t c = 0; c < 3; c++) {
        job.scale[c] = (float)(1.0 / (255.0 * (double)patches->std[c]));
        job.shift[c] = (float)(-(double)patches->mean[c] / (double)patches->std[c]);
    }
    lutra_thread_pool_run(pool, patches->batch * (patches->height / patches->patch), cut_patches, &job);
}
