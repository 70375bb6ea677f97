/* SPDX-License-Identifier: Apache-2.0 */
/*
 * multiply_few_rows_i8 of an Arm level: included by the level's file after few_rows_neon.h, FEW_ROWS_I8,
 * which is the name of its function, add_products and add_weights. Both multiply signed bytes: activations
 * are taken less 128, and 128 times the sums of the weights is added again.
 */

/* Which bytes of each tile's weights count where only `left` inputs of a group do. */
static void mask_inputs(size_t left, uint32_t *used /* [MAX_GROUP_TILES] */)
{
    for (size_t t = 0; t < MAX_GROUP_TILES; t++) {
        const size_t first = LUTRA_TILE_INPUTS * t, n = first < left ? left - first : 0;
        used[t] = n >= LUTRA_TILE_INPUTS ? ~(uint32_t)0 : ((uint32_t)1 << 8 * n) - 1;
    }
}

/* One group of tiles; `used` is NULL where all of it counts. */
LUTRA_INLINE void add_group_i8(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                               const size_t m, const uint8_t *group, const lutra_byte_tables *tables,
                               const uint8_t *const *a, const uint32_t *used, int32x4_t (*sum)[QUARTERS],
                               int32x4_t *of_weights)
{
    int8x16_t x[LUTRA_FEW_ROWS];
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++) {
        const uint8x16_t bytes = n_tiles == 4 ? vld1q_u8(a[row]) : vcombine_u8(vld1_u8(a[row]), vdup_n_u8(0));
        x[row] = vreinterpretq_s8_u8(veorq_u8(bytes, vdupq_n_u8(128)));
    }
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        uint8x16_t vectors[MAX_GROUP_VECTORS];
        load_quarter(n_vectors, group, q, vectors);
        LUTRA_UNROLL
        for (unsigned t = 0; t < n_tiles; t++) {
            uint8x16_t weights =
                lutra_look_bytes_up(bits, tables, lutra_indices_of_tile(bits, n_vectors, vectors, t));
            if (used)
                weights = vandq_u8(weights, vreinterpretq_u8_u32(vld1q_dup_u32(used + t)));
            const int8x16_t w = vreinterpretq_s8_u8(weights);
            of_weights[q] = add_weights(of_weights[q], w);
            LUTRA_UNROLL
            for (size_t row = 0; row < m; row++)
                sum[row][q] = add_products(sum[row][q], w, x[row], t);
        }
    }
}

LUTRA_INLINE void multiply_block_i8(const unsigned bits, const unsigned n_tiles, const unsigned n_vectors,
                                    const size_t m, const lutra_index_layout *layout, const uint8_t *block,
                                    const lutra_byte_tables *tables, const uint8_t *const *a,
                                    const lutra_row_i8 *rows, float (*c)[LUTRA_PANEL])
{
    const size_t group_inputs = (size_t)LUTRA_TILE_INPUTS * n_tiles;
    const uint8_t *at[LUTRA_FEW_ROWS] = {a[0], a[1], a[2], a[3]};
    int32x4_t sum[LUTRA_FEW_ROWS][QUARTERS], of_weights[QUARTERS];
    LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        of_weights[q] = vdupq_n_s32(0);
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            sum[row][q] = vdupq_n_s32(0);
    }
    size_t k = 0;
    for (; k + group_inputs <= layout->k; k += group_inputs) {
        prefetch_group(n_vectors, block, layout->block_bytes);
        add_group_i8(bits, n_tiles, n_vectors, m, block, tables, at, NULL, sum, of_weights);
        block += n_vectors * (size_t)LUTRA_TILE_LANES;
        LUTRA_UNROLL
        for (size_t row = 0; row < m; row++)
            at[row] += group_inputs;
    }
    if (k < layout->k) {
        uint32_t used[MAX_GROUP_TILES];
        mask_inputs(layout->k - k, used);
        add_group_i8(bits, n_tiles, n_vectors, m, block, tables, at, used, sum, of_weights);
    }
    LUTRA_UNROLL
    for (size_t row = 0; row < m; row++)
        LUTRA_UNROLL
    for (size_t q = 0; q < QUARTERS; q++) {
        const int32x4_t exact = vmlaq_n_s32(sum[row][q], of_weights[q], 128 - rows[row].zero);
        vst1q_f32(c[row] + 4 * q, vmulq_n_f32(vcvtq_f32_s32(exact), rows[row].scale));
    }
}

void FEW_ROWS_I8(const lutra_index_layout *layout, size_t n_blocks, const uint8_t *blocks,
                 const int8_t *codebook, size_t m, const uint8_t *a, size_t lda, const lutra_row_i8 *rows,
                 float *c, size_t ldc)
{
    if (layout->bits != 4 && layout->bits != 6) {
        lutra_multiply_few_rows_i8_reference(layout, n_blocks, blocks, codebook, m, a, lda, rows, c, ldc);
        return;
    }
    const uint8_t *at[LUTRA_FEW_ROWS];
    lutra_row_i8 row_of[LUTRA_FEW_ROWS];
    lutra_byte_tables tables;
    lutra_load_byte_tables(6, (const uint8_t *)codebook, &tables); /* of 4 bits the first quarter is used */
    for (size_t i = 0; i < LUTRA_FEW_ROWS; i++) {                  /* a row too many counts twice */
        const size_t row = i < m ? i : m - 1;
        at[i] = a + row * lda;
        row_of[i] = rows[row];
    }
    for (size_t block = 0; block < n_blocks; block++) {
        const uint8_t *indices = blocks + block * layout->block_bytes;
        float result[LUTRA_FEW_ROWS][LUTRA_PANEL];
        switch (layout->bits) {
            TUNED_BITS(multiply_block_i8, layout, indices, &tables, at, row_of, result)
        }
        for (size_t row = 0; row < m; row++)
            memcpy(c + row * ldc + block * LUTRA_PANEL, result[row], sizeof result[row]);
    }
}
