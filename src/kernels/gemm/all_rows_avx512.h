/* SPDX-License-Identifier: Apache-2.0 */
/* ROWS, which each product defines for itself, for all tiles of AVX-512: one to 14 rows. */
#define ALL_ROWS(n_panels)                                                                                   \
    ROWS(1, n_panels)                                                                                        \
    ROWS(2, n_panels)                                                                                        \
    ROWS(3, n_panels)                                                                                        \
    ROWS(4, n_panels)                                                                                        \
    ROWS(5, n_panels)                                                                                        \
    ROWS(6, n_panels)                                                                                        \
    ROWS(7, n_panels)                                                                                        \
    ROWS(8, n_panels)                                                                                        \
    ROWS(9, n_panels)                                                                                        \
    ROWS(10, n_panels) ROWS(11, n_panels) ROWS(12, n_panels) ROWS(13, n_panels) ROWS(14, n_panels)
