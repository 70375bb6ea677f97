/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A half tile's sums of positive and of negative weights are 32 bytes, one vector, and whether two tiles fit
 * each other is one saturating addition and a comparison. A place where none waits holds 255 and fits nobody.
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

struct waiting {
    __m256i magnitudes[LUTRA_WAITING_TILES];
    uint16_t inputs[LUTRA_WAITING_TILES];
    unsigned free; /* a bit for each place */
    size_t next;   /* to be emptied when none is free */
};

/* The first place whose tile fits, or LUTRA_WAITING_TILES. */
LUTRA_INLINE unsigned find_partner(const struct waiting *waiting, __m256i magnitudes)
{
    unsigned fits = 1u << LUTRA_WAITING_TILES;
    LUTRA_UNROLL
    for (unsigned i = 0; i < LUTRA_WAITING_TILES; i++)
        fits |= (unsigned)all_small(_mm256_adds_epu8(waiting->magnitudes[i], magnitudes)) << i;
    return (unsigned)__builtin_ctz(fits);
}

/* Marks a tile, one bit for each. */
LUTRA_INLINE void mark(uint64_t *tiles, size_t input)
{
    const size_t t = input / LUTRA_TILE_INPUTS;
    tiles[t / 64] |= (uint64_t)1 << t % 64;
}

/* The first inputs of the marked tiles; returns how many. */
static size_t list(size_t n_tiles, const uint64_t *tiles, uint16_t *inputs)
{
    size_t n = 0;
    for (size_t i = 0; i * 64 < n_tiles; i++)
        for (uint64_t rest = tiles[i]; rest; rest &= rest - 1)
            inputs[n++] = (uint16_t)(LUTRA_TILE_INPUTS * (i * 64 + (size_t)__builtin_ctzll(rest)));
    return n;
}

/* Places a tile that found no partner; who has to leave stays single. */
LUTRA_INLINE void leave_waiting(struct waiting *waiting, __m256i magnitudes, size_t input, uint64_t *singles)
{
    size_t place = waiting->next % LUTRA_WAITING_TILES;
    if (waiting->free) {
        place = (size_t)__builtin_ctz(waiting->free);
    } else {
        mark(singles, waiting->inputs[place]);
        waiting->next++;
    }
    waiting->magnitudes[place] = magnitudes;
    waiting->inputs[place] = (uint16_t)input;
    waiting->free &= ~(1u << place);
}

static void order_half(size_t n_tiles, const int8_t *tiles, uint16_t *order)
{
    uint64_t singles[MAX_TILES / 64], halved[MAX_TILES / 64];
    struct waiting waiting = {.free = (1u << LUTRA_WAITING_TILES) - 1};
    uint16_t *pairs = order + 2;
    memset(singles, 0, sizeof singles);
    memset(halved, 0, sizeof halved);
    for (size_t i = 0; i < LUTRA_WAITING_TILES; i++)
        waiting.magnitudes[i] = _mm256_set1_epi8(-1);
    for (size_t t = 0; t < n_tiles; t++) {
        const __m256i magnitudes = magnitudes_of(tiles + t * LUTRA_TILE_LANES);
        const size_t input = LUTRA_TILE_INPUTS * t;
        const unsigned partner = find_partner(&waiting, magnitudes);
        if (partner < LUTRA_WAITING_TILES) {
            *pairs++ = waiting.inputs[partner];
            *pairs++ = (uint16_t)input;
            waiting.magnitudes[partner] = _mm256_set1_epi8(-1);
            waiting.free |= 1u << partner;
        } else if (all_small(magnitudes)) {
            leave_waiting(&waiting, magnitudes, input, singles);
        } else {
            mark(halved, input);
        }
    }
    for (size_t i = 0; i < LUTRA_WAITING_TILES; i++)
        if (!(waiting.free >> i & 1))
            mark(singles, waiting.inputs[i]);
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
