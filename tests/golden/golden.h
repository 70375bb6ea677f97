/* SPDX-License-Identifier: Apache-2.0 */
/* What the golden tests share. cmocka's headers come first. */
#ifndef LUTRA_TESTS_GOLDEN_H
#define LUTRA_TESTS_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "format/safetensors.h"
#include "lutra/lutra.h"

/* The project's bound on the difference of logits and features from PyTorch's in f32 (docs: "Arithmetic"):
 * rounding differs with the order of sums; the goldens are made so that any real mistake moves them by five
 * times as much. */
#define GOLDEN_TOLERANCE 1e-3

/* Whoever made the golden numbers computed in f32. */
extern const lutra_context_options golden_f32_options;

/* Fails the test with the error's message unless `status` is LUTRA_OK. */
void golden_check(lutra_status status, const lutra_error *error);

/* Joins the checkout's folder and `path`: "tests/golden/models". Free with free(). */
char *golden_path(const char *path);
/* LUTRA_SHARED, or ../shared beside the checkout; NULL, after saying so loudly, where there is none. */
char *golden_shared(void);
/* True, after saying so loudly, in a build that reads no picture files. */
bool golden_lacks_codecs(const char *test);
char *golden_join(const char *folder, const char *name);

/* The names in a folder, sorted; free with golden_names_free. */
char **golden_names(const char *folder, size_t *n);
void golden_names_free(char **names, size_t n);

/* A tensor's numbers, after a check of its type; F32 copied (it may lie unaligned), U8 in place. NULL: none.
 */
float *golden_f32(const lutra_safetensors *file, const char *name, size_t *n);
const uint8_t *golden_u8(const lutra_safetensors *file, const char *name, size_t *n);

/* Largest |a - b|; a NaN anywhere counts as infinity. */
double golden_difference(const float *a, const float *b, size_t n);

/* The names of all levels supported here; LUTRA_ISA selects one for contexts created later. */
size_t golden_levels(const char **names, size_t size);
void golden_select(const char *level);

#endif
