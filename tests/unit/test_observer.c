/* SPDX-License-Identifier: Apache-2.0 */
/* An observer sees every step of a run once, in order, with the rows that the step wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lutra/lutra.h"

#define BATCH 3

typedef struct seen {
    const lutra_context *context;
    size_t n_steps;
    size_t n;       /* steps */
    double seconds; /* of all */
    float *last;    /* [BATCH][n_classes]: what the last step left */
} seen;

static void observe(void *user, const lutra_step_result *result)
{
    seen *s = user;
    lutra_step_info info;
    double sum = 0;
    assert_int_equal(lutra_context_step_info(s->context, result->index, &info, NULL), LUTRA_OK);
    assert_int_equal(result->index, s->n++);
    assert_int_equal(result->batch, BATCH);
    assert_true(result->seconds >= 0);
    s->seconds += result->seconds;
    if (strcmp(info.op, "gemm") == 0) {
        assert_int_equal(result->rows, info.m);
        assert_int_equal(result->columns, info.n);
    }
    assert_int_equal(result->rows * result->columns * sizeof(float), info.written_bytes);
    for (size_t p = 0; p < result->batch; p++)
        for (size_t i = 0; i < result->rows; i++)
            for (size_t j = 0; j < result->columns; j++)
                sum += (double)result->data[p * result->stride + i * result->ld + j];
    assert_true(sum - sum == 0); /* all of them are there, and finite */
    if (s->n == s->n_steps)
        for (size_t p = 0; p < result->batch; p++)
            memcpy(s->last + p * result->columns, result->data + p * result->stride,
                   result->columns * sizeof *s->last);
}

static lutra_model *open_model(const char *name)
{
    char path[4096];
    lutra_model *model = NULL;
    const char *root = getenv("LUTRA_SOURCE_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/models/%s", root ? root : ".", name);
    assert_int_equal(lutra_model_open(path, NULL, &model, NULL), LUTRA_OK);
    return model;
}

static void sees_every_step(const char *name, lutra_mode mode)
{
    const lutra_context_options options = {.n_threads = 2, .max_batch = BATCH + 1, .mode = mode};
    lutra_model *model = open_model(name);
    lutra_context *context;
    assert_int_equal(lutra_context_create(model, &options, &context, NULL), LUTRA_OK);
    const lutra_model_info *info = lutra_model_get_info(model);
    const size_t bytes = BATCH * info->n_classes * sizeof(float);
    uint8_t *pixels = malloc(BATCH * info->input_bytes);
    float *plain = malloc(bytes), *observed = malloc(bytes);
    seen s = {.context = context, .n_steps = lutra_model_n_steps(model), .last = malloc(bytes)};
    assert_true(pixels && plain && observed && s.last);
    for (size_t i = 0; i < BATCH * info->input_bytes; i++)
        pixels[i] = (uint8_t)(i * 37 % 251);

    assert_int_equal(lutra_context_run(context, pixels, BATCH, plain, NULL, NULL), LUTRA_OK);
    lutra_context_observe(context, observe, &s);
    assert_int_equal(lutra_context_run(context, pixels, BATCH, observed, NULL, NULL), LUTRA_OK);
    assert_int_equal(s.n, lutra_model_n_steps(model));
    assert_true(s.seconds > 0);
    assert_memory_equal(observed, plain, bytes);
    assert_memory_equal(s.last, plain, bytes);

    lutra_context_observe(context, NULL, NULL);
    assert_int_equal(lutra_context_run(context, pixels, BATCH, observed, NULL, NULL), LUTRA_OK);
    assert_int_equal(s.n, lutra_model_n_steps(model));
    free(s.last);
    free(observed);
    free(plain);
    free(pixels);
    lutra_context_free(context);
    lutra_model_close(model);
}

static void in_f32(void **state)
{
    (void)state;
    sees_every_step("timm-deit3", LUTRA_MODE_F32);
    sees_every_step("timm-finetuned", LUTRA_MODE_F32);
}

static void in_int8(void **state)
{
    (void)state;
    sees_every_step("timm-deit3", LUTRA_MODE_INT8);
}

static void weights_add_up(void **state)
{
    const lutra_mode modes[] = {LUTRA_MODE_F32, LUTRA_MODE_INT8};
    lutra_model *model = open_model("timm-deit3");
    const size_t n = lutra_model_n_steps(model);
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const lutra_context_options options = {.n_threads = 1, .mode = modes[i]};
        lutra_context *context;
        lutra_step_info info;
        uint64_t bytes = 0;
        assert_int_equal(lutra_context_create(model, &options, &context, NULL), LUTRA_OK);
        for (size_t j = 0; j < n; j++) {
            assert_int_equal(lutra_context_step_info(context, j, &info, NULL), LUTRA_OK);
            bytes += info.weight_bytes;
            assert_int_equal(info.block == LUTRA_NO_BLOCK, strncmp(info.name, "blocks.", 7) != 0);
            if (info.block != LUTRA_NO_BLOCK)
                assert_int_equal(info.block, strtoul(info.name + 7, NULL, 10));
        }
        assert_int_equal(bytes, lutra_context_weight_bytes(context));
        assert_int_equal(lutra_context_step_info(context, n, &info, NULL), LUTRA_ERROR_ARGUMENT);
        lutra_context_free(context);
    }
    lutra_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_f32),
        cmocka_unit_test(in_int8),
        cmocka_unit_test(weights_add_up),
    };
    return cmocka_run_group_tests_name("observer", tests, NULL, NULL);
}
