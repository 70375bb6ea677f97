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
#include <time.h>

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

/* ---- many ---------------------------------------------------------------------------------------- */

enum { N_HOLDERS = 8, N_HELD = 8, N_MODES = 3 };

typedef struct holder {
    const lutra_model *model;
    const uint8_t *pixels;          /* [BATCH][height][width][3] */
    const float *expected[N_MODES]; /* each [BATCH][n_classes] */
    float *logits;                  /* [BATCH][n_classes] */
    size_t number;
    double end; /* when to stop, by the clock; 0: after a round */
    size_t n_runs;
    bool same;
} holder;

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static const lutra_mode all_modes[N_MODES] = {LUTRA_MODE_F32, LUTRA_MODE_BF16, LUTRA_MODE_INT8};

/* Opens N_HELD contexts, runs all of them in turn, closes them; and again, until the time is up. */
static void *hold(void *argument)
{
    holder *h = argument;
    const size_t bytes = BATCH * lutra_model_get_info(h->model)->n_classes * sizeof(float);
    h->same = true;
    do {
        lutra_context *contexts[N_HELD] = {NULL};
        for (size_t i = 0; i < N_HELD; i++) {
            const lutra_context_options options = {.n_threads = 1 + (h->number + i) % 2,
                                                   .max_batch = BATCH,
                                                   .mode = all_modes[(h->number + i) % N_MODES]};
            h->same = h->same && lutra_context_create(h->model, &options, &contexts[i], NULL) == LUTRA_OK;
        }
        for (size_t i = 0; i < 2 * N_HELD && h->same; i++) {
            const float *expected = h->expected[(h->number + i % N_HELD) % N_MODES];
            h->same = lutra_context_run(contexts[i % N_HELD], h->pixels, BATCH, h->logits, NULL, NULL) == 0 &&
                      memcmp(h->logits, expected, bytes) == 0;
            h->n_runs++;
        }
        for (size_t i = 0; i < N_HELD; i++)
            lutra_context_free(contexts[i]);
    } while (h->same && seconds_now() < h->end);
    return NULL;
}

/* 64 contexts at once, in 8 threads. LUTRA_SOAK_SECONDS says for how long; else it is one round. */
static void many_contexts_do_not_meet(void **state)
{
    (void)state;
    char path[4096];
    lutra_model *model = NULL;
    const char *root = getenv("LUTRA_SOURCE_ROOT"), *soak = getenv("LUTRA_SOAK_SECONDS");
    snprintf(path, sizeof path, "%s/tests/golden/models/timm-finetuned", root ? root : ".");
    assert_int_equal(lutra_model_open(path, NULL, &model, NULL), LUTRA_OK);
    const lutra_model_info *info = lutra_model_get_info(model);
    const size_t n_logits = BATCH * info->n_classes;
    uint8_t *pixels = calloc(BATCH, info->input_bytes);
    float *logits = calloc((N_MODES + N_HOLDERS) * n_logits, sizeof *logits);
    assert_non_null(pixels);
    assert_non_null(logits);
    for (size_t i = 0; i < BATCH * info->input_bytes; i++)
        pixels[i] = (uint8_t)(i * 7 + i / 91);
    holder first = {.model = model, .pixels = pixels, .end = soak ? seconds_now() + atof(soak) : 0};
    for (size_t i = 0; i < N_MODES; i++) {
        const lutra_context_options options = {.n_threads = 1, .max_batch = BATCH, .mode = all_modes[i]};
        lutra_context *context = NULL;
        first.expected[i] = logits + i * n_logits;
        assert_int_equal(lutra_context_create(model, &options, &context, NULL), LUTRA_OK);
        assert_int_equal(lutra_context_run(context, pixels, BATCH, logits + i * n_logits, NULL, NULL),
                         LUTRA_OK);
        lutra_context_free(context);
    }
    holder holders[N_HOLDERS];
    pthread_t threads[N_HOLDERS];
    for (size_t i = 0; i < N_HOLDERS; i++) {
        holders[i] = first;
        holders[i].number = i;
        holders[i].logits = logits + (N_MODES + i) * n_logits;
        assert_int_equal(pthread_create(&threads[i], NULL, hold, &holders[i]), 0);
    }
    size_t n_runs = 0;
    for (size_t i = 0; i < N_HOLDERS; i++) {
        pthread_join(threads[i], NULL);
        n_runs += holders[i].n_runs;
    }
    for (size_t i = 0; i < N_HOLDERS; i++)
        assert_true(holders[i].same);
    printf("# %zu runs\n", n_runs);
    free(logits);
    free(pixels);
    lutra_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_f32),
        cmocka_unit_test(in_bf16),
        cmocka_unit_test(in_int8),
        cmocka_unit_test(many_contexts_do_not_meet),
    };
    return cmocka_run_group_tests_name("contexts", tests, NULL, NULL);
}
