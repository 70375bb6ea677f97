/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "kernels/gemm/bf16.h"
#include "kernels/table.h"

static void softmax_row(size_t n, float scale, float *scores, lutra_softmax *running)
{
    float max = running->max;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        max = fmaxf(max, scores[i]);
    for (size_t i = 0; i < n; i++) {
        scores[i] = expf((scores[i] - max) * scale);
        sum += (double)scores[i];
    }
    running->correction = expf((running->max - max) * scale);
    running->sum = running->sum * running->correction + (float)sum;
    running->max = max;
}

void lutra_softmax_f32_reference(size_t m, size_t n, float scale, float *scores, size_t ld,
                                 lutra_softmax *running)
{
    for (size_t i = 0; i < m; i++)
        softmax_row(n, scale, scores + i * ld, &running[i]);
}

static void pair_row(size_t n, void *numbers)
{
    for (size_t i = 0; i < n; i += 2) {
        float two[2] = {0};
        memcpy(two, (const char *)numbers + i * sizeof *two, (i + 1 < n ? 2 : 1) * sizeof *two);
        const uint32_t pair = lutra_pair_bf16(two[0], two[1]);
        memcpy((char *)numbers + i / 2 * sizeof pair, &pair, sizeof pair);
    }
}

void lutra_softmax_bf16_reference(size_t m, size_t n, float scale, void *scores, size_t ld,
                                  lutra_softmax *running)
{
    lutra_softmax_f32_reference(m, n, scale, scores, ld, running);
    for (size_t i = 0; i < m; i++)
        pair_row(n, (float *)scores + i * ld);
}

void lutra_pack_panel_bf16_reference(const float *rows, size_t ld, size_t n_rows, size_t k, uint32_t *panel)
{
    for (size_t i = 0; i < k; i += 2)
        for (size_t j = 0; j < LUTRA_PANEL; j++) {
            const float *row = rows + j * ld + i;
            panel[i / 2 * LUTRA_PANEL + j] =
                j < n_rows ? lutra_pair_bf16(row[0], i + 1 < k ? row[1] : 0.0f) : 0;
        }
}

void lutra_pack_columns_bf16_reference(const float *rows, size_t ld, size_t n, size_t width, uint32_t *panel)
{
    for (size_t i = 0; i < n; i += 2)
        for (size_t j = 0; j < LUTRA_PANEL; j++) {
            const float *column = rows + i * ld + j;
            panel[i / 2 * LUTRA_PANEL + j] =
                j < width ? lutra_pair_bf16(column[0], i + 1 < n ? column[ld] : 0.0f) : 0;
        }
}
