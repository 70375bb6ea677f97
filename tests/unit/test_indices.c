/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of packed indices: worked out by hand where it must be, a round trip everywhere else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/indices/indices.h"

static void bits_of_cluster_counts(void **state)
{
    (void)state;
    assert_int_equal(lutra_index_bits(2), 1);
    assert_int_equal(lutra_index_bits(3), 2);
    assert_int_equal(lutra_index_bits(4), 2);
    assert_int_equal(lutra_index_bits(5), 3);
    assert_int_equal(lutra_index_bits(63), 6);
    assert_int_equal(lutra_index_bits(64), 6);
    assert_int_equal(lutra_index_bits(65), 7);
    assert_int_equal(lutra_index_bits(128), 7);
    assert_int_equal(lutra_index_bits(129), 8);
    assert_int_equal(lutra_index_bits(256), 8);
}

static void groups_are_8_over_bits_in_lowest_terms(void **state)
{
    (void)state;
    static const unsigned expected[9][2] = {{0, 0}, {8, 1}, {4, 1}, {8, 3}, {2, 1},
                                            {8, 5}, {4, 3}, {8, 7}, {1, 1}};
    for (unsigned bits = 1; bits <= 8; bits++) {
        lutra_index_layout layout;
        assert_true(lutra_index_layout_of(1000, 96, bits, &layout));
        assert_int_equal(layout.group_tiles, expected[bits][0]);
        assert_int_equal(layout.group_vectors, expected[bits][1]);
        assert_int_equal(layout.n_blocks, 63);
        assert_int_equal(layout.k_padded, 96); /* a multiple of 4p for every p */
        assert_int_equal(layout.block_bytes, 96 * 16 * bits / 8);
        assert_int_equal(layout.bytes, 63 * layout.block_bytes);
    }
}

static void odd_sizes_are_padded(void **state)
{
    (void)state;
    lutra_index_layout layout;
    assert_true(lutra_index_layout_of(1, 1, 6, &layout));
    assert_int_equal(layout.k_padded, 16);
    assert_int_equal(layout.bytes, 3 * 64);
    assert_true(lutra_index_layout_of(17, 33, 5, &layout));
    assert_int_equal(layout.k_padded, 64);
    assert_int_equal(layout.n_blocks, 2);
    assert_int_equal(layout.bytes, 2 * 2 * 5 * 64);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    lutra_index_layout layout;
    assert_false(lutra_index_layout_of(16, 16, 0, &layout));
    assert_false(lutra_index_layout_of(16, 16, 9, &layout));
    assert_false(lutra_index_layout_of(SIZE_MAX, 16, 6, &layout));
    assert_false(lutra_index_layout_of(16, SIZE_MAX, 6, &layout));
    assert_false(lutra_index_layout_of(SIZE_MAX / 16, SIZE_MAX / 16, 6, &layout));
    assert_false(lutra_index_layout_of(SIZE_MAX / 8, 128, 8, &layout));
}

/* 6 bits, 16 outputs, 16 inputs: four tiles in three vectors. The index of output 3, input 4t + 1 (lane 13)
 * is known per tile t; all others are 0. Tiles 0..2 lie in the low six bits of vectors 0..2; the bits of tile
 * 3 lie in pairs in the top two bits of vectors 0, 1 and 2. */
static void layout_of_6_bits_by_hand(void **state)
{
    (void)state;
    lutra_index_layout layout;
    uint8_t indices[16][16] = {{0}}, packed[192], expected[192] = {0};
    assert_true(lutra_index_layout_of(16, 16, 6, &layout));
    assert_int_equal(layout.bytes, sizeof packed);
    indices[3][1] = 0x2a;         /* 101010 */
    indices[3][5] = 0x15;         /* 010101 */
    indices[3][9] = 0x3f;         /* 111111 */
    indices[3][13] = 0x1e;        /* 01'11'10, low pair 10 in vector 0, 11 in vector 1, 01 in vector 2 */
    indices[15][15] = 0x20;       /* lane 63 of tile 3: its bit 5 is the top bit of vector 2 */
    expected[0 * 64 + 13] = 0xaa; /* 10 101010 */
    expected[1 * 64 + 13] = 0xd5; /* 11 010101 */
    expected[2 * 64 + 13] = 0x7f; /* 01 111111 */
    expected[2 * 64 + 63] = 0x80;
    lutra_pack_block(&layout, &indices[0][0], 16, packed);
    assert_memory_equal(packed, expected, sizeof packed);
}

/* 3 bits: tiles 0..5 two to a vector; tiles 6 and 7 in the spare bits 6 and 7 of three vectors: bits 0, 1 of
 * tile 6 in vector 0, its bit 2 and tile 7's bit 0 in vector 1, tile 7's bits 1, 2 in vector 2. */
static void layout_of_3_bits_by_hand(void **state)
{
    (void)state;
    lutra_index_layout layout;
    uint8_t indices[1][32] = {{0}}, packed[192], expected[192] = {0};
    assert_true(lutra_index_layout_of(1, 32, 3, &layout));
    for (size_t t = 0; t < 8; t++)
        indices[0][4 * t] = (uint8_t)t;
    expected[0] = 0 | 1 << 3 | 2 << 6;           /* tiles 0, 1; low bits of 6 = 110: 10 */
    expected[64] = 2 | 3 << 3 | 1 << 6 | 1 << 7; /* tiles 2, 3; the top bit of 6; the low bit of 7 */
    expected[128] = 4 | 5 << 3 | 3 << 6;         /* tiles 4, 5; the upper bits of 7 */
    lutra_pack_block(&layout, &indices[0][0], 1, packed);
    assert_memory_equal(packed, expected, sizeof packed);
}

static void check_round_trip(size_t n, size_t k, unsigned bits)
{
    lutra_index_layout layout;
    assert_true(lutra_index_layout_of(n, k, bits, &layout));
    uint8_t *indices = malloc(16 * k), *packed = malloc(layout.block_bytes + 1);
    uint8_t *unpacked = malloc(16 * layout.k_padded);
    assert_true(indices && packed && unpacked);
    uint32_t random = 12345;
    for (size_t block = 0; block < layout.n_blocks; block++) {
        const size_t n_rows = n - block * 16 < 16 ? n - block * 16 : 16;
        for (size_t i = 0; i < n_rows * k; i++) {
            random = random * 1664525u + 1013904223u;
            indices[i] = (uint8_t)(random >> 24 >> (8 - bits));
        }
        packed[layout.block_bytes] = 0x5a;
        lutra_pack_block(&layout, indices, n_rows, packed);
        assert_int_equal(packed[layout.block_bytes], 0x5a);
        lutra_unpack_block(&layout, packed, unpacked);
        for (size_t row = 0; row < 16; row++)
            for (size_t i = 0; i < layout.k_padded; i++)
                assert_int_equal(unpacked[row * layout.k_padded + i],
                                 row < n_rows && i < k ? indices[row * k + i] : 0);
    }
    free(indices);
    free(packed);
    free(unpacked);
}

static void round_trips(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{1000, 96}, {1, 1},  {3, 3},    {16, 4},
                                      {17, 33},   {96, 3}, {15, 768}, {33, 95}};
    for (unsigned bits = 1; bits <= 8; bits++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            check_round_trip(sizes[i][0], sizes[i][1], bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_of_cluster_counts),
        cmocka_unit_test(groups_are_8_over_bits_in_lowest_terms),
        cmocka_unit_test(odd_sizes_are_padded),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(layout_of_6_bits_by_hand),
        cmocka_unit_test(layout_of_3_bits_by_hand),
        cmocka_unit_test(round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
