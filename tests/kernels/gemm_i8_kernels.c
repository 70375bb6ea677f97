/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of 8-bit products: not one bit may differ from the reference, nor the reference from int64. */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "kernels/gemm/pair_i8.h"
#include "operands.h"

#define PANEL ((size_t)LUTRA_PANEL)

static size_t padded(size_t k)
{
    return lutra_round_up(k, 64);
}

/* ---- quantising -------------------------------------------------------------------------------- */

typedef enum row_kind {
    MIXED,
    POSITIVE,
    NEGATIVE,
    ZERO,
    TINY,
    HUGE_NUMBERS,
    ONE_NAN,
    ONE_INFINITY,
    TIES,
    BEYOND_255,
    N_ROW_KINDS
} row_kind;

/* A number that becomes 256 in a row from its negative to itself: both halfway numbers are rounded up. */
static float number_beyond_255(harness *h)
{
    for (;;) {
        const float x = random_float(h, 1.0f, 2.0f);
        float inverse;
        if (lutra_row_i8_of(-x, x, true, &inverse).zero + lrintf(x * inverse) > 255)
            return x;
    }
}

static void fill_row(harness *h, row_kind kind, size_t k, float *x)
{
    static const float factor[N_ROW_KINDS] = {1, 1, -1, 0, 0x1p-128f, 1e38f, 1, 1, 1, 1};
    for (size_t i = 0; i < k; i++)
        x[i] = factor[kind] * random_float(h, kind == POSITIVE || kind == NEGATIVE ? 0.0f : -3.0f, 3.0f);
    if (kind == ONE_NAN)
        x[random_below(h, k)] = NAN;
    if (kind == ONE_INFINITY)
        x[random_below(h, k)] = random_below(h, 2) ? INFINITY : -INFINITY;
    for (size_t i = 0; i < k && kind == TIES; i++) /* of 0..255, so that scale and inverse are 1 */
        x[i] = i == 0 ? 255 : 0.5f * (float)random_below(h, 511);
    if (kind == BEYOND_255) {
        x[0] = number_beyond_255(h);
        for (size_t i = 1; i < k; i++)
            x[i] = -x[i - 1];
    }
}

/* What the numbers mean: x to within half a step, zero exactly. */
static void check_meaning(harness *h, size_t k, const float *x, const uint8_t *a, const lutra_row_i8 *row)
{
    /* Half a step; x * inverse and the scale are rounded, three times in all, at up to 255 steps. */
    const double bound = (double)row->scale * (0.5 + 255 * 4 * 0x1p-24) + 0x1p-110;
    for (size_t i = 0; i < k; i++)
        check_near(h, (double)row->scale * ((double)a[i] - row->zero), (double)x[i], bound * 1.0, 0, i);
}

void test_quantise_row_i8(harness *h)
{
    static const size_t ks[] = {1, 2, 15, 16, 17, 63, 64, 65, 127, 192, 333, 768};
    for (int kind = 0; kind < N_ROW_KINDS; kind++)
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
            const size_t k = ks[i];
            lutra_row_i8 got_row, want_row;
            begin_case(h, "k %zu, kind %d", k, kind);
            float *x = guarded_floats(h, k, ORDINARY);
            uint8_t *got = guarded(h, padded(k), 64), *want = guarded(h, padded(k), 64);
            fill_row(h, (row_kind)kind, k, x);
            h->reference->quantise_row_i8(k, padded(k), x, want, &want_row);
            h->kernels->quantise_row_i8(k, padded(k), x, got, &got_row);
            if (memcmp(got, want, padded(k)) != 0)
                fail_case(h, "other bytes than the reference's");
            if (got_row.zero != want_row.zero ||
                (got_row.scale != want_row.scale && !(isnan(got_row.scale) && isnan(want_row.scale))))
                fail_case(h, "scale %.9g, zero %d, should be %.9g, %d", (double)got_row.scale, got_row.zero,
                          (double)want_row.scale, want_row.zero);
            for (size_t j = k; j < padded(k); j++)
                if (got[j] != 0)
                    fail_case(h, "byte %zu behind the row is %u", j, got[j]);
            for (size_t j = 0; j < k && kind == TIES; j++) /* to even */
                if ((double)got[j] != rint((double)x[j]))
                    fail_case(h, "%g became %u", (double)x[j], got[j]);
            if (isnan(got_row.scale) != (kind == ONE_NAN || kind == ONE_INFINITY))
                fail_case(h, "scale %.9g", (double)got_row.scale);
            else if (!isnan(got_row.scale))
                check_meaning(h, k, x, got, &got_row);
            end_case(h);
        }
}

/* ---- decoding ---------------------------------------------------------------------------------- */

void fill_codebook_i8(harness *h, unsigned bits, int8_t *codebook)
{
    float floats[256];
    fill_codebook(h, bits, true, floats);
    for (size_t i = 0; i < 256; i++)
        codebook[i] = (int8_t)floats[i];
}

static void check_sums(harness *h, const lutra_panel_i8 *panel, size_t k)
{
    for (size_t output = 0; output < PANEL; output++) {
        int32_t sum = 0;
        for (size_t i = 0; i < k; i++)
            sum += panel->tiles[lutra_tile_byte_i8(i, output)];
        if (sum != panel->sums[output])
            fail_case(h, "sum of output %zu is %d, should be %d", output, panel->sums[output], sum);
    }
}

void test_unpack_panel_i8(harness *h)
{
    static const size_t ks[] = {1, 3, 4, 5, 30, 96, 100, 192, 333, 768};
    for (unsigned bits = 1; bits <= 8; bits++)
        for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
            int8_t codebook[256];
            lutra_index_layout layout;
            lutra_panel_i8 got, want;
            begin_case(h, "%u bits, k %zu", bits, ks[i]);
            if (!lutra_index_layout_of(16, ks[i], bits, &layout))
                fail_case(h, "no layout");
            const uint8_t *block = guarded(h, layout.block_bytes, 64);
            got.tiles = guarded(h, layout.k_padded * PANEL, 64);
            want.tiles = guarded(h, layout.k_padded * PANEL, 64);
            fill_codebook_i8(h, bits, codebook);
            h->reference->unpack_panel_i8(&layout, block, codebook, &want);
            h->kernels->unpack_panel_i8(&layout, block, codebook, &got);
            for (size_t j = 0; j < layout.k_padded * PANEL; j++)
                if (got.tiles[j] != want.tiles[j]) {
                    fail_case(h, "tile %zu, lane %zu is %d, should be %d", j / 64, j % 64, got.tiles[j],
                              want.tiles[j]);
                    break;
                }
            check_sums(h, &got, ks[i]);
            end_case(h);
        }
}

/* ---- multiplying ------------------------------------------------------------------------------- */

/* EDGE: pairs of weights of the same sign add up to about what 16 bits hold times 255, to a little more or a
 * little less. FEW_LARGE: like a trained matrix, a panel of which some tiles could saturate. */
typedef enum extremes { ANY_WEIGHTS, LARGEST, SMALL_WEIGHTS, EDGE, FEW_LARGE, ONE_SIGN, N_EXTREMES } extremes;

static int8_t random_weight(harness *h, extremes kind)
{
    const int sign = random_below(h, 2) ? 1 : -1;
    switch (kind) {
    case LARGEST:
        return (int8_t)(127 * sign);
    case SMALL_WEIGHTS:
        return (int8_t)((int)random_below(h, 61) - 30);
    case EDGE: /* two of 63 to 65, four of 31 to 33 */
        return (int8_t)(sign * ((random_below(h, 2) ? 32 : 64) - 1 + (int)random_below(h, 3)));
    case FEW_LARGE:
        return (int8_t)(random_below(h, 40) ? (int)random_below(h, 41) - 20 : 127 * sign);
    case ONE_SIGN:
        return (int8_t)random_below(h, 34);
    default:
        return (int8_t)((int)random_below(h, 255) - 127);
    }
}

static uint8_t random_activation(harness *h, extremes kind)
{
    return kind == ANY_WEIGHTS ? (uint8_t)random_below(h, 256) : random_below(h, 8) ? 255 : 0;
}

/* Weights beyond k are not to count, whatever they are. */
void make_panel_i8(harness *h, size_t k, int kind, lutra_panel_i8 *panel)
{
    const size_t k_padded = lutra_round_up(k, LUTRA_TILE_INPUTS), n_tiles = k_padded / LUTRA_TILE_INPUTS;
    panel->tiles = guarded(h, k_padded * PANEL, 64);
    memset(panel->sums, 0, sizeof panel->sums);
    for (size_t i = 0; i < k_padded; i++)
        for (size_t output = 0; output < PANEL; output++) {
            const int8_t w = random_weight(h, (extremes)kind);
            panel->tiles[lutra_tile_byte_i8(i, output)] = w;
            panel->sums[output] += i < k ? w : 0;
        }
    panel->order = NULL;
    if (h->kernels->form_i8 == LUTRA_ORDERED_I8) {
        uint16_t *order = guarded(h, lutra_order_numbers_i8(n_tiles) * sizeof *order, 2);
        h->kernels->order_panel_i8(n_tiles, panel->tiles, order);
        panel->order = order;
    }
}

static float exact_product(const lutra_panel_i8 *panel, size_t output, size_t k, const uint8_t *a,
                           const lutra_row_i8 *row)
{
    int64_t sum = 0;
    for (size_t i = 0; i < k; i++)
        sum += ((int64_t)a[i] - row->zero) * panel->tiles[lutra_tile_byte_i8(i, output)];
    return (float)sum * row->scale;
}

static void check_multiply(harness *h, size_t m, size_t k, size_t n_panels, extremes kind)
{
    lutra_panel_i8 panels[LUTRA_TILE_PANELS_I8];
    lutra_row_i8 rows[LUTRA_TILE_ROWS_I8];
    const size_t lda = padded(k) + 64 * random_below(h, 3), ldc = n_panels * PANEL + random_below(h, 4);
    begin_case(h, "m %zu, k %zu, %zu panels, kind %d", m, k, n_panels, (int)kind);
    uint8_t *a = guarded(h, (m - 1) * lda + padded(k), 64);
    float *c = guarded_floats(h, (m - 1) * ldc + n_panels * PANEL, ORDINARY);
    for (size_t i = 0; i < m; i++) {
        for (size_t l = 0; l < padded(k); l++)
            a[i * lda + l] = l < k ? random_activation(h, kind) : 0;
        rows[i].zero = random_below(h, 3) ? (int32_t)random_below(h, 256) : random_below(h, 2) ? 0 : 255;
        rows[i].scale = random_below(h, 2) ? 1.0f : random_float(h, 0.0f, 1.0f);
    }
    for (size_t p = 0; p < n_panels; p++)
        make_panel_i8(h, k, (int)kind, &panels[p]);
    h->kernels->multiply_i8(m, k, a, lda, rows, n_panels, panels, c, ldc);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n_panels * PANEL; j++)
            check_near(h, (double)c[i * ldc + j],
                       (double)exact_product(&panels[j / PANEL], j % PANEL, k, a + i * lda, &rows[i]), 0, i,
                       j);
    end_case(h);
}

/* multiply_i8 and finish_f32 of the reference, but that GELU may be off by more. */
static void check_multiply_finish(harness *h, size_t m, size_t k, size_t n, lutra_activation activation,
                                  bool with_residual)
{
    const size_t n_panels = (n + PANEL - 1) / PANEL, lda = padded(k) + 64 * random_below(h, 3);
    const size_t ldc = n + random_below(h, 4), ldr = n + random_below(h, 4);
    const bool in_place = with_residual && random_below(h, 2);
    lutra_panel_i8 panels[LUTRA_TILE_PANELS_I8];
    lutra_row_i8 rows[LUTRA_TILE_ROWS_I8];
    lutra_columns columns = {.activation = activation};
    float sums[LUTRA_TILE_ROWS_I8 * LUTRA_TILE_PANELS_I8 * PANEL];
    begin_case(h, "m %zu, k %zu, n %zu, activation %d, %sresidual%s", m, k, n, (int)activation,
               with_residual ? "" : "no ", in_place ? " in place" : "");
    uint8_t *a = guarded(h, (m - 1) * lda + padded(k), 64);
    float *c = guarded_floats(h, (m - 1) * ldc + n, ORDINARY), *want = guarded_floats(h, m * n, ORDINARY);
    const float *residual = in_place ? c : guarded_floats(h, (m - 1) * ldr + n, ORDINARY);
    for (size_t i = 0; i < m; i++) {
        for (size_t l = 0; l < padded(k); l++)
            a[i * lda + l] = l < k ? (uint8_t)random_below(h, 256) : 0;
        rows[i] = (lutra_row_i8){.scale = random_float(h, 0.0f, 1.0f), .zero = (int32_t)random_below(h, 256)};
    }
    for (size_t p = 0; p < n_panels; p++)
        make_panel_i8(h, k, ANY_WEIGHTS, &panels[p]);
    for (size_t j = 0; j < n; j++) {
        columns.scale[j] = random_float(h, 0.0f, 4e-4f / (float)k); /* so that GELU is met where it bends */
        columns.bias[j] = random_float(h, -2.0f, 2.0f);
        columns.layer_scale[j] = random_float(h, -2.0f, 2.0f);
    }
    h->reference->multiply_i8(m, k, a, lda, rows, n_panels, panels, sums, n_panels * PANEL);
    h->reference->finish_f32(&columns, m, n, sums, n_panels * PANEL, want, n, with_residual ? residual : NULL,
                             in_place ? ldc : ldr);
    const lutra_outputs out = {.n = n,
                               .c = c,
                               .ldc = ldc,
                               .residual = with_residual ? residual : NULL,
                               .ldr = in_place ? ldc : ldr,
                               .ahead = random_below(h, 2) ? (const char *)a : NULL,
                               .ahead_bytes = random_below(h, 1000)};
    h->kernels->multiply_finish_i8(m, k, a, lda, rows, n_panels, panels, &columns, &out);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            check_near(h, (double)c[i * ldc + j], (double)want[i * n + j],
                       (activation == LUTRA_IDENTITY ? 0 : 2 * 3e-5) +
                           8 * 0x1p-24 * (2 + fabs((double)want[i * n + j])),
                       i, j);
    end_case(h);
}

void test_multiply_finish_i8(harness *h)
{
    static const size_t ks[] = {1, 4, 5, 64, 192};
    for (size_t m = 1; m <= LUTRA_TILE_ROWS_I8; m++)
        for (size_t n = 1; n <= LUTRA_TILE_PANELS_I8 * PANEL; n += n % PANEL == 0 ? 1 : PANEL - 1)
            for (size_t i = 0; i < 6; i++)
                check_multiply_finish(h, m, ks[random_below(h, sizeof ks / sizeof *ks)], n,
                                      (lutra_activation)(i / 2), i % 2);
}

void test_multiply_i8(harness *h)
{
    static const size_t ks[] = {1, 3, 4, 7, 64, 65, 197};
    for (size_t m = 1; m <= LUTRA_TILE_ROWS_I8; m++)
        for (size_t n_panels = 1; n_panels <= LUTRA_TILE_PANELS_I8; n_panels++) {
            for (size_t i = 0; i < N_EXTREMES * sizeof ks / sizeof *ks; i++)
                check_multiply(h, m, ks[i / N_EXTREMES], n_panels, (extremes)(i % N_EXTREMES));
            /* The most inputs that may be: sums come within a factor of two of int32's end. */
            if (m == 1 || m == LUTRA_TILE_ROWS_I8)
                check_multiply(h, m, LUTRA_MAX_INPUTS, n_panels, LARGEST);
        }
}

/* ---- groups ------------------------------------------------------------------------------------ */

void test_group_rows_i8(harness *h)
{
    for (size_t n = 64; n <= 256; n += 64) {
        const size_t ld = n + 64 * random_below(h, 2);
        begin_case(h, "%zu columns, %zu apart", n, ld);
        const uint8_t *rows = guarded(h, (LUTRA_GROUP_ROWS - 1) * ld + n, 64);
        uint8_t *group = guarded(h, LUTRA_GROUP_ROWS * n, 64);
        h->kernels->group_rows_i8(n, rows, ld, group);
        for (size_t row = 0; row < LUTRA_GROUP_ROWS; row++)
            for (size_t k = 0; k < n; k++)
                check_near(h, group[lutra_group_byte_i8(k, row)], rows[row * ld + k], 0, row, k);
        end_case(h);
    }
}

static void check_multiply_ordered(harness *h, size_t m, size_t k, size_t n_panels, extremes kind)
{
    lutra_panel_i8 panels[LUTRA_TILE_PANELS_I8];
    lutra_row_i8 rows[LUTRA_GROUP_ROWS];
    uint8_t *a[LUTRA_GROUP_ROWS];
    const size_t ldc = n_panels * PANEL + random_below(h, 4);
    begin_case(h, "m %zu, k %zu, %zu panels, kind %d", m, k, n_panels, (int)kind);
    uint8_t *group = guarded(h, LUTRA_GROUP_ROWS * lutra_round_up(k, LUTRA_TILE_INPUTS), 32);
    float *c = guarded_floats(h, (m - 1) * ldc + n_panels * PANEL, ORDINARY);
    for (size_t i = 0; i < m; i++) { /* what lies in the place of rows beyond m may be anything */
        a[i] = guarded(h, lutra_round_up(k, LUTRA_TILE_INPUTS), 1);
        for (size_t l = 0; l < lutra_round_up(k, LUTRA_TILE_INPUTS); l++)
            group[lutra_group_byte_i8(l, i)] = a[i][l] = l < k ? random_activation(h, kind) : 0;
        rows[i].zero = random_below(h, 3) ? (int32_t)random_below(h, 256) : random_below(h, 2) ? 0 : 255;
        rows[i].scale = random_below(h, 2) ? 1.0f : random_float(h, 0.0f, 1.0f);
    }
    for (size_t p = 0; p < n_panels; p++)
        make_panel_i8(h, k, (int)kind, &panels[p]);
    h->kernels->multiply_ordered_i8(m, k, group, rows, n_panels, panels, c, ldc);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n_panels * PANEL; j++)
            check_near(h, (double)c[i * ldc + j],
                       (double)exact_product(&panels[j / PANEL], j % PANEL, k, a[i], &rows[i]), 0, i, j);
    end_case(h);
}

void test_multiply_ordered_i8(harness *h)
{
    static const size_t ks[] = {1, 3, 4, 7, 64, 65, 197};
    for (size_t m = 1; m <= LUTRA_GROUP_ROWS; m++)
        for (size_t n_panels = 1; n_panels <= LUTRA_TILE_PANELS_I8; n_panels++) {
            for (size_t i = 0; i < N_EXTREMES * sizeof ks / sizeof *ks; i++)
                check_multiply_ordered(h, m, ks[i / N_EXTREMES], n_panels, (extremes)(i % N_EXTREMES));
            /* The most inputs that may be: sums come within a factor of two of int32's end. */
            if (m == 1 || m == LUTRA_GROUP_ROWS)
                check_multiply_ordered(h, m, LUTRA_MAX_INPUTS, n_panels, LARGEST);
        }
}

/* ---- pairs ------------------------------------------------------------------------------------- */

void test_pair_panel_i8(harness *h)
{
    for (size_t n_tiles = 1; n_tiles <= 17; n_tiles++)
        for (int in_place = 0; in_place < 2; in_place++) {
            const size_t bytes = n_tiles * LUTRA_TILE_LANES,
                         paired = lutra_round_up(n_tiles, 2) * LUTRA_TILE_LANES;
            begin_case(h, "%zu tiles%s", n_tiles, in_place ? ", in place" : "");
            int8_t *tiles = guarded(h, in_place ? paired : bytes, 64), *copy = guarded(h, bytes, 64);
            int8_t *pairs = in_place ? tiles : guarded(h, paired, 64);
            memcpy(copy, tiles, bytes);
            h->kernels->pair_panel_i8(n_tiles, tiles, pairs);
            for (size_t k = 0; k < lutra_round_up(n_tiles, 2) * LUTRA_TILE_INPUTS; k++)
                for (size_t output = 0; output < PANEL; output++)
                    check_near(h, pairs[lutra_pair_byte_i8(k, output)],
                               k < n_tiles * LUTRA_TILE_INPUTS ? copy[lutra_tile_byte_i8(k, output)] : 0, 0,
                               k, output);
            end_case(h);
        }
}

/* A panel in pairs beside `plain`, readable up to a multiple of 32 inputs, anything beyond k. */
static void pair_panel(harness *h, size_t k, const lutra_panel_i8 *plain, lutra_panel_i8 *paired)
{
    *paired = *plain;
    paired->tiles = guarded(h, lutra_round_up(k, 32) * PANEL, 64);
    for (size_t i = 0; i < k; i++)
        for (size_t output = 0; output < PANEL; output++)
            paired->tiles[lutra_pair_byte_i8(i, output)] = plain->tiles[lutra_tile_byte_i8(i, output)];
}

static void check_multiply_pairs(harness *h, size_t m, size_t k, size_t n_panels, extremes kind)
{
    lutra_panel_i8 panels[LUTRA_TILE_PANELS_I8], plain[LUTRA_TILE_PANELS_I8];
    lutra_row_i8 rows[LUTRA_TILE_ROWS_PAIRED_I8];
    uint8_t *a[LUTRA_TILE_ROWS_PAIRED_I8 + 1];
    const size_t lda = padded(k) + 64 * random_below(h, 3), ldc = n_panels * PANEL + random_below(h, 4);
    begin_case(h, "m %zu, k %zu, %zu panels, kind %d", m, k, n_panels, (int)kind);
    uint8_t *pairs = guarded(h, ((m + 1) / 2 * 2 - 1) * lda + padded(k), 64);
    float *c = guarded_floats(h, (m - 1) * ldc + n_panels * PANEL, ORDINARY);
    for (size_t i = 0; i < (m + 1) / 2 * 2; i++) {
        a[i] = guarded(h, padded(k), 64);
        for (size_t l = 0; l < padded(k); l++)
            a[i][l] = l < k ? random_activation(h, kind) : 0;
        if (i % 2)
            lutra_pair_rows_i8(padded(k), a[i - 1], a[i], pairs + (i - 1) * lda);
    }
    for (size_t i = 0; i < m; i++)
        rows[i] = (lutra_row_i8){random_float(h, 0.0f, 1.0f), (int32_t)random_below(h, 256)};
    for (size_t p = 0; p < n_panels; p++) {
        make_panel_i8(h, k, (int)kind, &plain[p]);
        pair_panel(h, k, &plain[p], &panels[p]);
    }
    h->kernels->multiply_pairs_i8(m, k, pairs, lda, rows, n_panels, panels, c, ldc);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n_panels * PANEL; j++)
            check_near(h, (double)c[i * ldc + j],
                       (double)exact_product(&plain[j / PANEL], j % PANEL, k, a[i], &rows[i]), 0, i, j);
    end_case(h);
}

void test_multiply_pairs_i8(harness *h)
{
    static const size_t ks[] = {1, 7, 8, 31, 64, 65, 197};
    for (size_t m = 1; m <= LUTRA_TILE_ROWS_PAIRED_I8; m++)
        for (size_t n_panels = 1; n_panels <= LUTRA_TILE_PANELS_I8; n_panels++) {
            for (size_t i = 0; i < sizeof ks / sizeof *ks; i++) {
                check_multiply_pairs(h, m, ks[i], n_panels, ANY_WEIGHTS);
                check_multiply_pairs(h, m, ks[i], n_panels, LARGEST);
            }
            if (m == 1 || m == LUTRA_TILE_ROWS_PAIRED_I8)
                check_multiply_pairs(h, m, LUTRA_MAX_INPUTS, n_panels, LARGEST);
        }
}

/* ---- ordering ---------------------------------------------------------------------------------- */

/* What one 16-bit sum of a tile comes to at most, whichever activations are 255 and which 0. */
static int largest_sum(const int8_t *pair, int sign)
{
    int sum = 0;
    for (size_t i = 0; i < 2; i++)
        sum += sign * pair[i] > 0 ? sign * pair[i] * 255 : 0;
    return sum;
}

/* Neither the sums of a tile nor those of two, `second` may be NULL, pass what 16 bits hold. */
static bool is_safe(const int8_t *first, const int8_t *second)
{
    for (size_t i = 0; i < LUTRA_TILE_LANES / 2; i += 2)
        for (int sign = -1; sign <= 1; sign += 2)
            if (largest_sum(first + i, sign) + (second ? largest_sum(second + i, sign) : 0) > INT16_MAX)
                return false;
    return true;
}

static const int8_t *tile_of(harness *h, const int8_t *half, size_t n_tiles, uint16_t tile, unsigned *seen)
{
    if (tile % LUTRA_ORDER_STEP || tile / LUTRA_ORDER_STEP >= n_tiles) {
        fail_case(h, "%u is no tile", tile);
        return half;
    }
    seen[tile / LUTRA_ORDER_STEP]++;
    return half + (size_t)(tile / LUTRA_ORDER_STEP) * LUTRA_TILE_LANES;
}

static void check_half(harness *h, const int8_t *half, size_t n_tiles, const lutra_order_i8 *order)
{
    unsigned seen[1024] = {0};
    for (size_t i = 0; i < order->n_pairs; i++) {
        const int8_t *first = tile_of(h, half, n_tiles, order->pairs[2 * i], seen);
        if (!is_safe(first, tile_of(h, half, n_tiles, order->pairs[2 * i + 1], seen)))
            fail_case(h, "pair %zu saturates", i);
    }
    for (size_t i = 0; i < order->n_singles; i++)
        if (!is_safe(tile_of(h, half, n_tiles, order->singles[i], seen), NULL))
            fail_case(h, "single %zu saturates", i);
    for (size_t i = 0; i < order->n_halved; i++)
        if (is_safe(tile_of(h, half, n_tiles, order->halved[i], seen), NULL))
            fail_case(h, "tile %zu need not be halved", i);
    for (size_t i = 0; i < n_tiles; i++)
        if (seen[i] != 1)
            fail_case(h, "tile %zu is there %u times", i, seen[i]);
}

void test_order_panel_i8(harness *h)
{
    static const size_t counts[] = {1, 2, 3, 16, 47, 63, 64, 65, 192, 1024};
    for (int kind = 0; kind < N_EXTREMES; kind++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
            const size_t n_tiles = counts[i], bytes = lutra_order_numbers_i8(n_tiles) * sizeof(uint16_t);
            begin_case(h, "%zu tiles, kind %d", n_tiles, kind);
            lutra_panel_i8 panel;
            make_panel_i8(h, n_tiles * LUTRA_TILE_INPUTS, kind, &panel);
            uint16_t *got = guarded(h, bytes, 2), *want = guarded(h, bytes, 2);
            h->kernels->order_panel_i8(n_tiles, panel.tiles, got);
            h->reference->order_panel_i8(n_tiles, panel.tiles, want);
            for (size_t half = 0; half < 2; half++) {
                const lutra_order_i8 order = lutra_order_of_half_i8(got, n_tiles, half);
                if (2 * order.n_pairs + order.n_singles > n_tiles)
                    fail_case(h, "%zu pairs, %zu singles", order.n_pairs, order.n_singles);
                else
                    check_half(h, panel.tiles + half * (LUTRA_TILE_LANES / 2), n_tiles, &order);
            }
            if (memcmp(got, want, bytes) != 0)
                fail_case(h, "another order than the reference's");
            end_case(h);
        }
}

/* ---- benchmarks -------------------------------------------------------------------------------- */

#define BENCH_K 768

static struct i8_bench {
    lutra_columns columns;
    const harness *h;
    lutra_index_layout layout;
    const uint8_t *block;
    int8_t codebook[256];
    lutra_panel_i8 panels[LUTRA_TILE_PANELS_I8];
    size_t m, k;
    const float *x;
    uint8_t *a, *group;
    lutra_row_i8 rows[LUTRA_TILE_ROWS_I8];
    uint16_t *order;
    float *c;
} bench;

static void call_quantise(void *argument)
{
    (void)argument;
    bench.h->kernels->quantise_row_i8(bench.k, padded(bench.k), bench.x, bench.a, bench.rows);
}

void bench_quantise_row_i8(harness *h)
{
    begin_case(h, "benchmark");
    bench = (struct i8_bench){.h = h, .k = BENCH_K, .x = guarded_floats(h, BENCH_K, ORDINARY)};
    bench.a = guarded(h, BENCH_K, 64);
    printf("  %.2f G numbers/s\n", BENCH_K / time_call(call_quantise, NULL, 1) * 1e-9);
    end_case(h);
}

static void call_unpack(void *argument)
{
    (void)argument;
    bench.h->kernels->unpack_panel_i8(&bench.layout, bench.block, bench.codebook, bench.panels);
}

static void call_order(void *argument)
{
    (void)argument;
    bench.h->kernels->order_panel_i8(BENCH_K / LUTRA_TILE_INPUTS, bench.panels[0].tiles, bench.order);
}

void bench_order_panel_i8(harness *h)
{
    static const int kinds[] = {SMALL_WEIGHTS, FEW_LARGE, ANY_WEIGHTS};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        begin_case(h, "benchmark");
        bench = (struct i8_bench){.h = h};
        make_panel_i8(h, BENCH_K, kinds[i], &bench.panels[0]);
        bench.order =
            guarded(h, lutra_order_numbers_i8(BENCH_K / LUTRA_TILE_INPUTS) * sizeof *bench.order, 2);
        printf("  %s: %.2f G weights/s\n",
               i == 0   ? "small weights"
               : i == 1 ? "few large ones"
                        : "any weights",
               BENCH_K * (double)PANEL / time_call(call_order, NULL, 1) * 1e-9);
        end_case(h);
    }
}

void bench_unpack_panel_i8(harness *h)
{
    for (unsigned bits = 1; bits <= 8; bits++) {
        bench = (struct i8_bench){.h = h};
        begin_case(h, "benchmark");
        if (!lutra_index_layout_of(16, BENCH_K, bits, &bench.layout))
            return;
        bench.block = guarded(h, bench.layout.block_bytes, 64);
        bench.panels[0].tiles = guarded(h, bench.layout.k_padded * PANEL, 64);
        fill_codebook_i8(h, bits, bench.codebook);
        const double seconds = time_call(call_unpack, NULL, 1), weights = BENCH_K * (double)PANEL;
        printf("  %u bits: %.1f G weights/s", bits, weights / seconds * 1e-9);
        if (h->peak_i8_gmacs > 0)
            printf(" (the time of %.1f rows of multiply-adds at the peak)",
                   seconds * h->peak_i8_gmacs * 1e9 / weights);
        printf("\n");
        end_case(h);
    }
}

static void report_multiply(harness *h, size_t n, void (*call)(void *))
{
    const double gmacs = (double)(bench.m * n * bench.k) / time_call(call, NULL, 1) * 1e-9;
    printf("  %zu x %zu, k %zu: %.1f GMAC/s", bench.m, n, bench.k, gmacs);
    if (h->peak_i8_gmacs > 0)
        printf(", %.0f %% of the peak", 100.0 * gmacs / h->peak_i8_gmacs);
    printf("\n");
}

static void call_multiply(void *argument)
{
    (void)argument;
    bench.h->kernels->multiply_i8(bench.m, bench.k, bench.a, padded(bench.k) + 64, bench.rows,
                                  LUTRA_TILE_PANELS_I8, bench.panels, bench.c, LUTRA_TILE_PANELS_I8 * PANEL);
}

void bench_multiply_i8(harness *h)
{
    static const size_t ks[] = {64, 192, 768, 3072};
    const size_t n = LUTRA_TILE_PANELS_I8 * PANEL;
    for (size_t i = 0; i < 8; i++) {
        begin_case(h, "benchmark");
        bench = (struct i8_bench){.h = h, .k = ks[i / 2], .m = i % 2 ? 1 : LUTRA_TILE_ROWS_I8};
        bench.a = guarded(h, bench.m * (padded(bench.k) + 64), 64);
        bench.c = guarded(h, bench.m * n * sizeof(float), 64);
        for (size_t p = 0; p < LUTRA_TILE_PANELS_I8; p++)
            make_panel_i8(h, bench.k, SMALL_WEIGHTS, &bench.panels[p]);
        report_multiply(h, n, call_multiply);
        end_case(h);
    }
}

static void call_multiply_finish(void *argument)
{
    const lutra_outputs out = {
        .n = LUTRA_TILE_PANELS_I8 * PANEL, .c = bench.c, .ldc = LUTRA_TILE_PANELS_I8 * PANEL};
    (void)argument;
    bench.h->kernels->multiply_finish_i8(bench.m, bench.k, bench.a, padded(bench.k) + 64, bench.rows,
                                         LUTRA_TILE_PANELS_I8, bench.panels, &bench.columns, &out);
}

void bench_multiply_finish_i8(harness *h)
{
    static const size_t ks[] = {192, 768, 3072};
    const size_t n = LUTRA_TILE_PANELS_I8 * PANEL;
    for (size_t i = 0; i < 6; i++) {
        begin_case(h, "benchmark");
        bench = (struct i8_bench){.h = h, .k = ks[i / 2], .m = LUTRA_TILE_ROWS_I8};
        bench.columns.activation = i % 2 ? LUTRA_GELU_ERF : LUTRA_IDENTITY;
        bench.a = guarded(h, bench.m * (padded(bench.k) + 64), 64);
        bench.c = guarded(h, bench.m * n * sizeof(float), 64);
        for (size_t p = 0; p < LUTRA_TILE_PANELS_I8; p++)
            make_panel_i8(h, bench.k, SMALL_WEIGHTS, &bench.panels[p]);
        printf("%s", i % 2 ? "  with GELU," : "");
        report_multiply(h, n, call_multiply_finish);
        end_case(h);
    }
}

static void call_group(void *argument)
{
    (void)argument;
    bench.h->kernels->group_rows_i8(BENCH_K, bench.a, BENCH_K, bench.group);
}

void bench_group_rows_i8(harness *h)
{
    begin_case(h, "benchmark");
    bench = (struct i8_bench){.h = h};
    bench.a = guarded(h, LUTRA_GROUP_ROWS * BENCH_K, 64);
    bench.group = guarded(h, LUTRA_GROUP_ROWS * BENCH_K, 64);
    printf("  %.2f G numbers/s\n",
           LUTRA_GROUP_ROWS * (double)BENCH_K / time_call(call_group, NULL, 1) * 1e-9);
    end_case(h);
}

static void call_multiply_ordered(void *argument)
{
    (void)argument;
    bench.h->kernels->multiply_ordered_i8(bench.m, bench.k, bench.group, bench.rows, LUTRA_TILE_PANELS_I8,
                                          bench.panels, bench.c, LUTRA_TILE_PANELS_I8 * PANEL);
}

void bench_multiply_ordered_i8(harness *h)
{
    static const size_t ks[] = {64, 192, 768, 3072};
    const size_t n = LUTRA_TILE_PANELS_I8 * PANEL;
    for (size_t i = 0; i < 8; i++) {
        begin_case(h, "benchmark");
        bench = (struct i8_bench){.h = h, .k = ks[i / 2], .m = i % 2 ? 1 : LUTRA_GROUP_ROWS};
        bench.group = guarded(h, LUTRA_GROUP_ROWS * bench.k, 64);
        bench.c = guarded(h, bench.m * n * sizeof(float), 64);
        for (size_t p = 0; p < LUTRA_TILE_PANELS_I8; p++)
            make_panel_i8(h, bench.k, SMALL_WEIGHTS, &bench.panels[p]);
        report_multiply(h, n, call_multiply_ordered);
        end_case(h);
    }
}

static void call_pair(void *argument)
{
    (void)argument;
    bench.h->kernels->pair_panel_i8(BENCH_K / LUTRA_TILE_INPUTS, bench.panels[0].tiles,
                                    bench.panels[1].tiles);
}

void bench_pair_panel_i8(harness *h)
{
    begin_case(h, "benchmark");
    bench = (struct i8_bench){.h = h};
    make_panel_i8(h, BENCH_K, SMALL_WEIGHTS, &bench.panels[0]);
    make_panel_i8(h, BENCH_K, SMALL_WEIGHTS, &bench.panels[1]);
    printf("  %.2f G weights/s\n", BENCH_K * (double)PANEL / time_call(call_pair, NULL, 1) * 1e-9);
    end_case(h);
}

static void call_multiply_pairs(void *argument)
{
    (void)argument;
    bench.h->kernels->multiply_pairs_i8(bench.m, bench.k, bench.a, padded(bench.k) + 64, bench.rows,
                                        LUTRA_TILE_PANELS_I8, bench.panels, bench.c,
                                        LUTRA_TILE_PANELS_I8 * PANEL);
}

void bench_multiply_pairs_i8(harness *h)
{
    static const size_t ks[] = {64, 192, 768, 3072};
    const size_t n = LUTRA_TILE_PANELS_I8 * PANEL;
    for (size_t i = 0; i < 8; i++) {
        begin_case(h, "benchmark");
        bench = (struct i8_bench){.h = h, .k = ks[i / 2], .m = i % 2 ? 1 : LUTRA_TILE_ROWS_PAIRED_I8};
        bench.a = guarded(h, lutra_round_up(bench.m, 2) * (padded(bench.k) + 64), 64);
        bench.c = guarded(h, bench.m * n * sizeof(float), 64);
        for (size_t p = 0; p < LUTRA_TILE_PANELS_I8; p++)
            make_panel_i8(h, bench.k, SMALL_WEIGHTS, &bench.panels[p]);
        report_multiply(h, n, call_multiply_pairs);
        end_case(h);
    }
}
