/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/gemm/row_parts.h"

/* Parts follow each other to the last row, and so do the chunks of each, none of which is empty or longer
 * than a tile; also where the product of two of the numbers is more than 32 bits hold. */
static void test_parts_and_chunks_are_even(void **state)
{
    (void)state;
    const lutra_row_parts all[] = {{.m = 1, .unit = 1, .tile_rows = 4, .n_parts = 1},
                                   {.m = 1000, .unit = 4, .tile_rows = 16, .n_parts = 7},
                                   {.m = 300000, .unit = 1, .tile_rows = 4, .n_parts = 1},
                                   {.m = 23000003, .unit = 1, .tile_rows = 1 << 20, .n_parts = 192},
                                   {.m = 200000001, .unit = 2, .tile_rows = 1 << 16, .n_parts = 3}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const lutra_row_parts *p = &all[i];
        size_t row = 0;
        for (size_t part = 0; part < p->n_parts; part++) {
            const size_t n_chunks = lutra_part_chunks(p, part);
            for (size_t chunk = 0; chunk < n_chunks; chunk++) {
                assert_int_equal(lutra_chunk_row(p, part, chunk, n_chunks), row);
                const size_t end = lutra_chunk_row(p, part, chunk + 1, n_chunks);
                assert_true(end > row && end - row <= p->tile_rows);
                row = end;
            }
        }
        assert_int_equal(row, p->m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_and_chunks_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
