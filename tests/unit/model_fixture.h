/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders with a model that has one thing wrong: a golden model's tensors, one of them edited on the way, and
 * a config.json. cmocka's headers come first.
 */
#ifndef LUTRA_TESTS_MODEL_FIXTURE_H
#define LUTRA_TESTS_MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "format/safetensors.h"
#include "lutra/lutra.h"

typedef enum edit_kind {
    EDIT_NONE,
    EDIT_DROP,      /* the tensor is not there */
    EDIT_RENAME,    /* it has another name: `text` */
    EDIT_INTEGER,   /* its bytes are declared as I32 */
    EDIT_FLAT,      /* its shape becomes one row too long: [n + 1, ...], bytes added */
    EDIT_TRANSPOSE, /* its first dimension changes places with the product of the others */
    EDIT_VALUE,     /* element `element` becomes `value` */
    EDIT_ADD,       /* a tensor `text` is added */
} edit_kind;

typedef struct tensor_edit {
    edit_kind kind;
    const char *tensor;
    const char *text;
    size_t element;
    float value;
} tensor_edit;

/* tests/golden/models/NAME/FILE; free with free(). */
char *fixture_golden(const char *name, const char *file);

/* A folder of its own under TMPDIR, removed by fixture_remove with the files in it. */
char *fixture_folder(void);
void fixture_remove(char *folder);
char *fixture_path(const char *folder, const char *file);

/* Writes the golden model NAME into `folder` with the edit; model.safetensors alone. */
void fixture_write_model(const char *folder, const char *name, const tensor_edit *edit);
/* Writes NAME's config.json with `changes` (a JSON object, may be "{}") merged into it, null removing a
 * member. */
void fixture_write_config(const char *folder, const char *name, const char *changes);
void fixture_write_text(const char *folder, const char *file, const char *text);
void fixture_write_bytes(const char *folder, const char *file, const void *bytes, size_t n);
uint8_t *fixture_read(const char *path, size_t *n);

/* A safetensors file of `header` and `n_data` zeros -> `size`; free with free(). */
uint8_t *fixture_safetensors(const char *header, size_t n_data, size_t *size);

/* Opens the folder (or file), which must fail with `status` and a message with each of the parts (NULL at the
 * end). */
void expect_refusal(const char *path, const lutra_model_options *options, lutra_status status,
                    lutra_error *error, ...);

#endif
