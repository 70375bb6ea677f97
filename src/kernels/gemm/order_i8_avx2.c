/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A half tile's sums of positive and of negative weights are 32 bytes, one vector, and whether two tiles fit
 * each other is one saturating addition and a comparison.
 */
#include <immintrin.h>
#include <string.h>

#include "kernels/table.h"
#include "kernels/vector/unroll.h"

#define MAX_TILES (LUTRA_MAX_INPUTS / LUTRA_TILE_INPUTS)

/* Of half a tile: 8 sums of positive weights, 8 of negative ones, and the same again. */
LUTRA_INLINE __m256i magnitudes_of(const int8_t *half)
{
    const __m256i w = _mm256_load_si256((const __m256i *)(const void *)half);
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi8(1);
    const __m256i positive = _mm256_max_epi8(w, zero), negative = _mm256_sub_epi8(positive, w);
    return _mm256_packus_epi16(_mm256_maddubs_epi16(positive, ones), _mm256_maddubs_epi16(negative, ones));
}

/* No byte is more than LUTRA_MAX_PAIR_SUM. */
LUTRA_INLINE bool all_small(__m256i sums)
{
    const __m256i rest = _mm256_subs_epu8(sums, _mm256_set1_epi8((char)LUTRA_MAX_PAIR_SUM));
    return _mm256_testz_si256(rest, rest);
}

/* The oldest first. */
struct waiting {
    __m256i magnitudes[LUTRA_WAITING_TILES];
    size_t tiles[LUTRA_WAITING_TILES];
    size_t n;
};

/* The youngest that fits, or waiting->n. Who fits well has gone by now, so that is soon found or not at all.
 */
LUTRA_INLINE size_t find_partner(const struct waiting *waiting, __m256i magnitudes)
{
    for (size_t i = waiting->n; i-- > 0;)
        if (all_small(_mm256_adds_epu8(waiting->magnitudes[i], magnitudes)))
            return i;
    return waiting->n;
}

/* Takes out who waits at `place`, and returns its tile. */
LUTRA_INLINE size_t take(struct waiting *waiting, size_t place)
{
    const size_t tile = waiting->tiles[place];
    waiting->n--;
    for (size_t i = place; i < waiting->n; i++) {
        waiting->magnitudes[i] = waiting->magnitudes[i + 1];
        waiting->tiles[i] = waiting->tiles[i + 1];
    }
    return tile;
}

/* Marks a tile, one bit for each. */
LUTRA_INLINE void mark(uint64_t *marks, size_t tile)
{
    marks[tile / 64] |= (uint64_t)1 << tile % 64;
}

LUTRA_INLINE uint16_t written(size_t tile)
{
    return (uint16_t)(LUTRA_ORDER_STEP * tile);
}

/* Writes the marked tiles down; returns how many. */
static size_t list(size_t n_tiles, const uint64_t *marks, uint16_t *tiles)
{
    size_t n = 0;
    for (size_t i = 0; i * 64 < n_tiles; i++)
        for (uint64_t rest = marks[i]; rest; rest &= rest - 1)
            tiles[n++] = written(i * 64 + (size_t)__builtin_ctzll(rest));
    return n;
}

static void order_half(size_t n_tiles, const int8_t *tiles, uint16_t *order)
{
    uint64_t singles[MAX_TILES / 64], halved[MAX_TILES / 64];
    struct waiting waiting;
    uint16_t *pairs = order + 2;
    memset(singles, 0, (n_tiles + 63) / 64 * sizeof *singles);
    memset(halved, 0, (n_tiles + 63) / 64 * sizeof *halved);
    waiting.n = 0;
    for (size_t t = 0; t < n_tiles; t++) {
        const __m256i magnitudes = magnitudes_of(tiles + t * LUTRA_TILE_LANES);
        const size_t partner = find_partner(&waiting, magnitudes);
        if (partner < waiting.n) {
            *pairs++ = written(take(&waiting, partner));
            *pairs++ = written(t);
        } else if (!all_small(magnitudes)) {
            mark(halved, t);
        } else {
            if (waiting.n == LUTRA_WAITING_TILES)
                mark(singles, take(&waiting, 0));
            waiting.magnitudes[waiting.n] = magnitudes;
            waiting.tiles[waiting.n++] = t;
        }
    }
    while (waiting.n > 0)
        mark(singles, take(&waiting, 0));
    const size_t n_singles = list(n_tiles, singles, pairs);
    list(n_tiles, halved, pairs + n_singles);
    order[0] = (uint16_t)((size_t)(pairs - order - 2) / 2);
    order[1] = (uint16_t)n_singles;
}

void lutra_order_panel_i8_avx2(size_t n_tiles, const int8_t *tiles, uint16_t *order)
{
    for (size_t half = 0; half < 2; half++)
        order_half(n_tiles, tiles + half * (LUTRA_TILE_LANES / 2), order + half * (n_tiles + 2));
}
