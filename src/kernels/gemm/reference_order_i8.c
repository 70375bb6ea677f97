/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Greedy: the tiles in turn, each paired with the first of those that wait for a partner that suits it, or
 * else left to wait. Where all places are taken the places are emptied in turn, and who waited there stays
 * single.
 */
#include <string.h>

#include "kernels/table.h"

#define N_SUMS 16 /* of two weights each, in half a tile */

/* The positive and the negative weights of each 16-bit sum, added up. */
struct magnitudes {
    int positive[N_SUMS], negative[N_SUMS];
};

static struct magnitudes magnitudes_of(const int8_t *half)
{
    struct magnitudes result = {0};
    for (size_t i = 0; i < 2 * N_SUMS; i++) {
        if (half[i] > 0)
            result.positive[i / 2] += half[i];
        else
            result.negative[i / 2] -= half[i];
    }
    return result;
}

static bool fit(const struct magnitudes *a, const struct magnitudes *b)
{
    for (size_t i = 0; i < N_SUMS; i++)
        if (a->positive[i] + b->positive[i] > LUTRA_MAX_PAIR_SUM ||
            a->negative[i] + b->negative[i] > LUTRA_MAX_PAIR_SUM)
            return false;
    return true;
}

/* Writes the first inputs of the tiles that are `kind`, and returns how many there are. */
static size_t list(size_t n_tiles, const uint8_t *kinds, uint8_t kind, uint16_t *inputs)
{
    size_t n = 0;
    for (size_t t = 0; t < n_tiles; t++)
        if (kinds[t] == kind)
            inputs[n++] = (uint16_t)(LUTRA_TILE_INPUTS * t);
    return n;
}

static void order_half(size_t n_tiles, const int8_t *tiles, uint16_t *order)
{
    enum { SINGLE, PAIRED, HALVED };
    static const struct magnitudes nothing;
    struct { /* for a partner */
        bool taken;
        size_t tile;
        struct magnitudes magnitudes;
    } waiting[LUTRA_WAITING_TILES] = {0};
    uint8_t kinds[LUTRA_MAX_INPUTS / LUTRA_TILE_INPUTS] = {SINGLE};
    size_t n_pairs = 0, next = 0;
    for (size_t t = 0; t < n_tiles; t++) {
        const struct magnitudes magnitudes = magnitudes_of(tiles + t * LUTRA_TILE_LANES);
        size_t partner = 0, place = 0;
        if (!fit(&magnitudes, &nothing)) {
            kinds[t] = HALVED;
            continue;
        }
        while (partner < LUTRA_WAITING_TILES &&
               !(waiting[partner].taken && fit(&magnitudes, &waiting[partner].magnitudes)))
            partner++;
        if (partner < LUTRA_WAITING_TILES) {
            order[2 + 2 * n_pairs] = (uint16_t)(LUTRA_TILE_INPUTS * waiting[partner].tile);
            order[3 + 2 * n_pairs] = (uint16_t)(LUTRA_TILE_INPUTS * t);
            n_pairs++;
            kinds[t] = kinds[waiting[partner].tile] = PAIRED;
            waiting[partner].taken = false;
            continue;
        }
        while (place < LUTRA_WAITING_TILES && waiting[place].taken)
            place++;
        if (place == LUTRA_WAITING_TILES)
            place = next++ % LUTRA_WAITING_TILES;
        waiting[place].taken = true;
        waiting[place].tile = t;
        waiting[place].magnitudes = magnitudes;
    }
    const size_t n_singles = list(n_tiles, kinds, SINGLE, order + 2 + 2 * n_pairs);
    list(n_tiles, kinds, HALVED, order + 2 + 2 * n_pairs + n_singles);
    order[0] = (uint16_t)n_pairs;
    order[1] = (uint16_t)n_singles;
}

void lutra_order_panel_i8_reference(size_t n_tiles, const int8_t *tiles, uint16_t *order)
{
    for (size_t half = 0; half < 2; half++)
        order_half(n_tiles, tiles + half * (LUTRA_TILE_LANES / 2), order + half * (n_tiles + 2));
}
