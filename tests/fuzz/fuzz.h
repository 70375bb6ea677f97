/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzzing target is one file that defines LLVMFuzzerTestOneInput. clang's libFuzzer calls it with mutated
 * inputs; replay.c, which any compiler builds, with the inputs of a corpus. Besides what sanitizers see, a
 * target requires what must hold of every input.
 */
#ifndef LUTRA_TESTS_FUZZ_H
#define LUTRA_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lutra/lutra.h"

/* libFuzzer's names. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Ends the program, which libFuzzer and the replay count as a crash. */
#define fuzz_require(condition)                                                                              \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fuzz_fail(__FILE__, __LINE__, #condition);                                                       \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *condition);

/* What a call that failed must have left: its status, and one line of text without control characters. */
void fuzz_require_error(lutra_status status, const lutra_error *error);

/* Predictions in every mode succeed and are finite. */
void fuzz_require_predictions(const lutra_model *model, const lutra_device *device);

/* A file that holds the bytes and has no name beside this path; gone with fuzz_close_file. */
typedef struct fuzz_file {
    int descriptor;
    char path[64];
} fuzz_file;
fuzz_file fuzz_open_file(const uint8_t *data, size_t size);
void fuzz_close_file(const fuzz_file *file);

/* Where a call may write a file: one name for the whole process, gone when it ends well. */
const char *fuzz_output_path(void);

/* Numbers made of an input's bytes, one after the other; 0 when they have run out. */
typedef struct fuzz_bytes {
    const uint8_t *data; /* [size] */
    size_t size;
} fuzz_bytes;
uint8_t fuzz_take(fuzz_bytes *bytes);
/* 0..limit - 1; limit <= 65536. */
size_t fuzz_take_below(fuzz_bytes *bytes, size_t limit);

#endif
