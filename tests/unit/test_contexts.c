/* SPDX-License-Identifier: Apache-2.0 */
/* One model, many contexts at once: each thread gets the very numbers that a single one gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lutra/lutra.h"

#define N_USERS 4
#define N_RUNS 5
#define BATCH 2

typedef struct user {
    const lutra_model *model;
    lutra_context_options options;
    const uint8_t *pixels; /* [BATCH][height][width][3] */
    const float *expected; /* [BATCH][n_classes]; NULL: `logits` become it */
    float *logits;         /* [BATCH][n_classes] */
    lutra_status status;
    bool same;
} user;

static void *use(void *argument)
{
    user *u = argument;
    const size_t bytes = BATCH * lutra_model_get_info(u->model)->n_classes * sizeof(float);
    lutra_context *context = NULL;
    u->same = true;
    u->status = lutra_context_create(u->model, &u->options, &context, NULL);
    for (int i = 0; i < N_RUNS && u->status == LUTRA_OK; i++) {
        memset(u->logits, 0xff, bytes);
        u->status = lutra_context_run(context, u->pixels, BATCH, u->logits, NULL, NULL);
        u->same = u->same && (!u->expected || memcmp(u->logits, u->expected, bytes) == 0);
    }
    lutra_context_free(context);
    return NULL;
}

static void contexts_do_not_meet(const char *name, lutra_mode mode)
{
    char path[4096];
    lutra_model *model = NULL;
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/models/%s", root ? root : ".", name);
    assert_int_equal(lutra_model_open(path, NULL, &model, NULL), LUTRA_OK);
    const lutra_model_info *info = lutra_model_get_info(model);
    const size_t n_pixels = BATCH * info->input_bytes, n_logits = BATCH * info->n_classes;
    assert_true(n_logits > 0);
    uint8_t *pixels = malloc(n_pixels);
    float *logits = calloc((N_USERS + 1) * n_logits, sizeof *logits);
    assert_non_null(pixels);
    assert_non_null(logits);
    uint32_t random = 1;
    for (size_t i = 0; i < n_pixels; i++)
        pixels[i] = (uint8_t)((random = random * 1664525u + 1013904223u) >> 24);

    user alone = {.model = model, .pixels = pixels, .logits = logits};
    alone.options = (lutra_context_options){.n_threads = 1, .max_batch = BATCH, .mode = mode};
    use(&alone);
    assert_int_equal(alone.status, LUTRA_OK);

    user users[N_USERS];
    pthread_t threads[N_USERS];
    for (size_t i = 0; i < N_USERS; i++) {
        users[i] = alone;
        users[i].options.n_threads = 1 + i;
        users[i].expected = logits;
        users[i].logits = logits + (i + 1) * n_logits;
        assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
    }
    for (size_t i = 0; i < N_USERS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < N_USERS; i++) {
        assert_int_equal(users[i].status, LUTRA_OK);
        assert_true(users[i].same);
    }
    free(logits);
    free(pixels);
    lutra_model_close(model);
}

static void in_f32(void **state)
{
    (void)state;
    contexts_do_not_meet("timm-deit3", LUTRA_MODE_F32);
}

static void in_bf16(void **state)
{
    (void)state;
    contexts_do_not_meet("timm-deit3", LUTRA_MODE_BF16);
}

static void in_int8(void **state)
{
    (void)state;
    contexts_do_not_meet("timm-deit3", LUTRA_MODE_INT8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_f32),
        cmocka_unit_test(in_bf16),
        cmocka_unit_test(in_int8),
    };
    return cmocka_run_group_tests_name("contexts", tests, NULL, NULL);
}
