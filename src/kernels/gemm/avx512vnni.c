/* SPDX-License-Identifier: Apache-2.0 */
/* 14 x 32: 28 sums, two vectors of weights and the broadcast activations fill 31 of 32 registers. */
#include <immintrin.h>
#include <string.h>

#include "kernels/gemm/gelu_pieces.h"
#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define BASE_ROWS 5
/* How many bytes of what comes next are asked for with each input. A picture's 197 rows are 15 tiles, two
 * panels of 6-bit indices 24 bytes an input; to count what is wanted exactly would take a register, of which
 * there are none left. */
#define AHEAD_BYTES 2
#define N_BASES ((LUTRA_TILE_ROWS_I8 + BASE_ROWS - 1) / BASE_ROWS)

/* sum += four products of unsigned a and signed w in each double word. As assembly because GCC 12 moves the
 * sums of the intrinsic through memory in a tile this large; where the instruction is emulated there is none.
 */
#if defined(LUTRA_EMULATED)
#define dot _mm512_dpbusd_epi32
#else
LUTRA_INLINE __m512i dot(__m512i sum, __m512i a, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
    return sum;
}
#endif

LUTRA_INLINE __m512i four_activations(const uint8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return _mm512_set1_epi32(four);
}

/* What a tile's rows are multiplied with, and where the next ones will be read. */
struct operands {
    size_t k;
    const uint8_t *a;
    size_t lda;
    const lutra_row_i8 *rows;
    const lutra_panel_i8 *panels;
    const char *ahead;
};

/* What becomes of a tile at once. */
struct ends {
    const float *scale, *bias; /* of the columns */
    float *c;
    size_t ldc;
};

/* Called with constants for m and n_panels: all loops but that over k vanish, and `sum` lives in registers.
 */
LUTRA_INLINE void multiply_tile(const size_t m, const size_t n_panels, const struct operands *in,
                                const struct ends *out)
{
    const uint8_t *base[N_BASES];
    const int8_t *tiles[LUTRA_TILE_PANELS_I8];
    const char *ahead = in->ahead;
    const size_t lda = in->lda;
    __m512i sum[LUTRA_TILE_ROWS_I8][LUTRA_TILE_PANELS_I8];
    LUTRA_UNROLL
    for (size_t i = 0; i < N_BASES; i++)
        base[i] = in->a + (i * BASE_ROWS < m ? i * BASE_ROWS * lda : 0);
    LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++)
        tiles[j] = in->panels[j].tiles;
    LUTRA_UNROLL
    for (size_t i = 0; i < m; i++)
        LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++)
        sum[i][j] = _mm512_setzero_si512();
    for (size_t l = 0; l < in->k; l += LUTRA_TILE_INPUTS) {
        __m512i w[LUTRA_TILE_PANELS_I8];
        _mm_prefetch(ahead + AHEAD_BYTES * l, _MM_HINT_T0);
        LUTRA_UNROLL
        for (size_t j = 0; j < n_panels; j++)
            w[j] = _mm512_load_si512(tiles[j] + l * LUTRA_PANEL);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i x = four_activations(base[i / BASE_ROWS] + i % BASE_ROWS * lda + l);
            LUTRA_UNROLL
            for (size_t j = 0; j < n_panels; j++)
                sum[i][j] = dot(sum[i][j], x, w[j]);
        }
    }
    /* Column by column, whose numbers stay in registers. */
    const lutra_row_i8 *rows = in->rows;
    LUTRA_UNROLL
    for (size_t j = 0; j < n_panels; j++) {
        const size_t column = j * LUTRA_PANEL;
        const __m512i of_weights = _mm512_loadu_si512(in->panels[j].sums);
        const __m512 scale = _mm512_loadu_ps(out->scale + column), bias = _mm512_loadu_ps(out->bias + column);
        LUTRA_UNROLL
        for (size_t i = 0; i < m; i++) {
            const __m512i zero = _mm512_mullo_epi32(_mm512_set1_epi32(rows[i].zero), of_weights);
            const __m512 y = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum[i][j], zero)),
                                           _mm512_set1_ps(rows[i].scale));
            _mm512_storeu_ps(out->c + i * out->ldc + column, _mm512_fmadd_ps(y, scale, bias));
        }
    }
}

#define ROWS(m, n_panels)                                                                                    \
    case m:                                                                                                  \
        multiply_tile(m, n_panels, in, out);                                                                 \
        return;
#include "kernels/gemm/all_rows_avx512.h"

static void multiply(size_t m, const struct operands *in, const struct ends *out)
{
    switch (m) {
        ALL_ROWS(2)
    }
}

#define EIGHT_ONES 1, 1, 1, 1, 1, 1, 1, 1
#define ONES EIGHT_ONES, EIGHT_ONES, EIGHT_ONES, EIGHT_ONES
/* What changes nothing, not even a bit. */
static const lutra_columns unchanged = {.scale = {ONES}, .layer_scale = {ONES}, .no_layer_scale = true};

void lutra_multiply_i8_avx512vnni(size_t m, size_t k, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                                  size_t n_panels, const lutra_panel_i8 *panels, float *c, size_t ldc)
{
    const lutra_outputs out = {.n = n_panels * LUTRA_PANEL, .c = c, .ldc = ldc};
    lutra_multiply_finish_i8_avx512vnni(m, k, a, lda, rows, n_panels, panels, &unchanged, &out);
}

/* Where a vector of a function's arguments falls into pieces: [coefficients][lower and upper half]. */
struct pieces {
    __m512 table[3][2];
};

static struct pieces load_pieces(const float (*source)[LUTRA_GELU_PIECES])
{
    struct pieces pieces;
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++)
            pieces.table[i][j] = _mm512_loadu_ps(source[i] + 16 * j);
    return pieces;
}

/* Good enough for what becomes 8 bits, which in a row with an output of 1 are 4e-3 apart. */
LUTRA_INLINE __m512 gelu(__m512 x, const struct pieces *pieces)
{
    const float top = (LUTRA_GELU_PIECES - 1) / LUTRA_GELU_PIECES_PER_UNIT;
    const __m512 size = _mm512_abs_ps(x), a = _mm512_min_ps(size, _mm512_set1_ps(top));
    /* Rounded to a whole number in the low bits, of which five are looked at. */
    const __m512i index = _mm512_castps_si512(
        _mm512_fmadd_ps(a, _mm512_set1_ps(LUTRA_GELU_PIECES_PER_UNIT), _mm512_set1_ps(0x1.8p23f)));
    __m512 coefficient[3];
    LUTRA_UNROLL
    for (size_t i = 0; i < 3; i++)
        coefficient[i] = _mm512_permutex2var_ps(pieces->table[i][0], index, pieces->table[i][1]);
    const __m512 tail =
        _mm512_fmadd_ps(_mm512_fmadd_ps(coefficient[2], a, coefficient[1]), a, coefficient[0]);
    return _mm512_fnmadd_ps(size, tail, _mm512_max_ps(x, _mm512_setzero_ps()));
}

/* What is left to do with a tile that is scaled and biased. */
LUTRA_INLINE void activate(const lutra_columns *columns, const struct pieces *pieces, const bool is_gelu,
                           const bool is_added, size_t m, const float *tile, size_t ldt,
                           const lutra_outputs *out)
{
    /* A residual that is not there is not read. */
    const float *residual = out->residual ? out->residual : out->c;
    const size_t ldr = out->residual ? out->ldr : out->ldc;
    for (size_t j = 0; j < out->n; j += LUTRA_PANEL) {
        const size_t width = out->n - j < LUTRA_PANEL ? out->n - j : LUTRA_PANEL;
        const __mmask16 used = (__mmask16)((1u << width) - 1), added = out->residual ? used : 0;
        const __m512 layer_scale = _mm512_loadu_ps(columns->layer_scale + j);
        for (size_t i = 0; i < m; i++) {
            __m512 y = _mm512_loadu_ps(tile + i * ldt + j);
            if (is_gelu)
                y = gelu(y, pieces);
            if (is_added)
                y = _mm512_fmadd_ps(y, layer_scale, _mm512_maskz_loadu_ps(added, residual + i * ldr + j));
            _mm512_mask_storeu_ps(out->c + i * out->ldc + j, used, y);
        }
    }
}

void lutra_multiply_finish_i8_avx512vnni(size_t m, size_t k, const uint8_t *a, size_t lda,
                                         const lutra_row_i8 *rows, size_t n_panels,
                                         const lutra_panel_i8 *panels, const lutra_columns *columns,
                                         const lutra_outputs *out)
{
    const size_t ldt = LUTRA_TILE_PANELS_I8 * LUTRA_PANEL;
    const bool is_gelu = columns->activation != LUTRA_IDENTITY;
    const bool is_added = out->residual || !columns->no_layer_scale;
    /* A single panel is multiplied twice: few products have one, and tiles of one would be as much code
     * again. */
    const lutra_panel_i8 two[] = {panels[0], panels[n_panels - 1]};
    float tile[LUTRA_TILE_ROWS_I8 * LUTRA_TILE_PANELS_I8 * LUTRA_PANEL];
    struct operands in = {k, a, lda, rows, two, out->ahead ? out->ahead : (const char *)a};
    struct ends ends = {columns->scale, columns->bias, tile, ldt};
    if (!is_gelu && !is_added && out->n == ldt) {
        ends.c = out->c;
        ends.ldc = out->ldc;
        multiply(m, &in, &ends);
        return;
    }
    multiply(m, &in, &ends);
    if (!is_gelu) {
        activate(columns, NULL, false, true, m, tile, ldt, out);
        return;
    }
    const struct pieces pieces =
        load_pieces(columns->activation == LUTRA_GELU_ERF ? lutra_gelu_erf_pieces : lutra_gelu_tanh_pieces);
    if (is_added)
        activate(columns, &pieces, true, true, m, tile, ldt, out);
    else
        activate(columns, &pieces, true, false, m, tile, ldt, out);
}
