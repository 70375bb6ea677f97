/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Greedy: the tiles in turn, each paired with the youngest of those that wait for a partner that suits it, or
 * else left to wait. Where too many wait, the oldest stays single.
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

/* Writes down the tiles that are `kind`, and returns how many there are. */
static size_t list(size_t n_tiles, const uint8_t *kinds, uint8_t kind, uint16_t *tiles)
{
    size_t n = 0;
    for (size_t t = 0; t < n_tiles; t++)
        if (kinds[t] == kind)
            tiles[n++] = (uint16_t)(LUTRA_ORDER_STEP * t);
    return n;
}

static void order_half(size_t n_tiles, const int8_t *tiles, uint16_t *order)
{
    enum { SINGLE, PAIRED, HALVED };
    static const struct magnitudes nothing;
    struct { /* for a partner, the oldest first */
        size_t tile;
        struct magnitudes magnitudes;
    } waiting[LUTRA_WAITING_TILES + 1];
    uint8_t kinds[LUTRA_MAX_INPUTS / LUTRA_TILE_INPUTS] = {SINGLE};
    size_t n_pairs = 0, n_waiting = 0;
    for (size_t t = 0; t < n_tiles; t++) {
        const struct magnitudes magnitudes = magnitudes_of(tiles + t * LUTRA_TILE_LANES);
        size_t partner = n_waiting, leaves = 0;
        if (!fit(&magnitudes, &nothing)) {
            kinds[t] = HALVED;
            continue;
        }
        while (partner > 0 && !fit(&magnitudes, &waiting[partner - 1].magnitudes))
            partner--;
        if (partner > 0) {
            leaves = partner - 1;
            order[2 + 2 * n_pairs] = (uint16_t)(LUTRA_ORDER_STEP * waiting[leaves].tile);
            order[3 + 2 * n_pairs] = (uint16_t)(LUTRA_ORDER_STEP * t);
            n_pairs++;
            kinds[t] = kinds[waiting[leaves].tile] = PAIRED;
        } else {
            waiting[n_waiting].tile = t;
            waiting[n_waiting].magnitudes = magnitudes;
            n_waiting++;
            if (n_waiting <= LUTRA_WAITING_TILES)
                continue;
        }
        n_waiting--;
        memmove(waiting + leaves, waiting + leaves + 1, (n_waiting - leaves) * sizeof *waiting);
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
