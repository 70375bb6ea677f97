/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4), to tell which file a model was made from. A file of its own and not a library: it is
 * the only hash here, and a crypto library would weigh more on a phone than all of Lutra.
 */
#ifndef LUTRA_COMPRESS_SHA256_H
#define LUTRA_COMPRESS_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct lutra_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64]; /* n_bytes % 64 of them wait */
} lutra_sha256;

void lutra_sha256_start(lutra_sha256 *hash);
void lutra_sha256_add(lutra_sha256 *hash, const void *data, size_t bytes);
/* `hex` becomes 64 digits and a 0. */
void lutra_sha256_end(lutra_sha256 *hash, char hex[65]);

#endif
