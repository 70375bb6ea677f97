/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients against differences: each product's output is moved a little by way of its bias. */
#include "model_fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../fuzz/tiny_model.h"
#include "model/backward.h"
#include "model/model_private.h"
#include "model/steps.h"

#define STEP 0.01f
/* Of the largest difference of a model. Single precision leaves 1e-6 of outputs around 1, which over twice
 * the step is 5e-5; the function's third derivative adds less than the rest. */
#define TOLERANCE 2e-3

static uint64_t state = 1;

static float uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) * 0x1p-23f - 1;
}

static float *uniforms(size_t n)
{
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = uniform();
    return x;
}

typedef struct slopes {
    const float *direction; /* as long as any product's outputs */
    double *slope;          /* [n_steps] */
    bool *is_product;
} slopes;

static void take_slope(void *slopes_, size_t step, size_t rows, size_t n, const float *gradient)
{
    slopes *s = slopes_;
    s->is_product[step] = true;
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < n; i++)
            s->slope[step] += (double)(gradient[row * n + i] * s->direction[i]);
}

/* The outputs times `weights`, with the outputs of step `moved` moved by `by` along the direction. */
static double value(const lutra_model *model, lutra_context *context, const uint8_t *pixels, size_t moved,
                    const float *direction, float by, const float *weights)
{
    const bool head = model->vit.n_classes > 0;
    double sum = 0;
    for (size_t i = 0; i < model->plan.n_steps; i++) {
        lutra_product product;
        float *bias = NULL;
        if (i == moved && lutra_context_product(context, i, 1, &product)) {
            bias = malloc(product.weight->matrix.n * sizeof *bias);
            for (size_t j = 0; j < product.weight->matrix.n; j++)
                bias[j] = (product.bias ? product.bias[j] : 0) + by * direction[j];
        }
        lutra_context_step(context, i, pixels, 1, NULL, bias);
        free(bias);
    }
    const float *outputs = lutra_context_operand(context, head ? &model->plan.logits : &model->plan.features);
    for (size_t i = 0; i < (head ? model->vit.n_classes : model->vit.n_features); i++)
        sum += (double)weights[i] * (double)outputs[i];
    return sum;
}

static void compare(const lutra_model *model)
{
    const lutra_context_options options = {.n_threads = 1, .max_batch = 1, .mode = LUTRA_MODE_F32};
    const size_t n_steps = model->plan.n_steps, n_pixels = model->vit.height * model->vit.width * 3;
    lutra_backward *backward;
    lutra_context *context;
    assert_int_equal(lutra_backward_create(model, &backward, NULL), LUTRA_OK);
    assert_int_equal(lutra_context_create(model, &options, &context, NULL), LUTRA_OK);
    uint8_t *pixels = malloc(n_pixels);
    for (size_t i = 0; i < n_pixels; i++)
        pixels[i] = (uint8_t)(127 + 127 * uniform());
    float *direction = uniforms(4096), *weights = uniforms(lutra_backward_n_outputs(backward));
    float *outputs = malloc(lutra_backward_n_outputs(backward) * sizeof *outputs);
    slopes s = {direction, calloc(n_steps, sizeof *s.slope), calloc(n_steps, sizeof *s.is_product)};
    double *wanted = calloc(n_steps, sizeof *wanted), largest = 0;
    lutra_backward_forward(backward, pixels, outputs);
    for (int again = 0; again < 2; again++) { /* the second run finds nothing left of the first */
        memset(s.slope, 0, n_steps * sizeof *s.slope);
        lutra_backward_run(backward, weights, take_slope, &s);
    }
    for (size_t i = 0; i < n_steps; i++) {
        lutra_product product;
        assert_int_equal(s.is_product[i], lutra_context_product(context, i, 1, &product));
        wanted[i] = (value(model, context, pixels, i, direction, STEP, weights) -
                     value(model, context, pixels, i, direction, -STEP, weights)) /
                    (2 * (double)STEP);
        assert_true(isfinite(wanted[i]));
        largest = fmax(largest, fabs(wanted[i]));
    }
    assert_true(largest > 0);
    for (size_t i = 0; i < n_steps; i++)
        if (!(fabs(s.slope[i] - wanted[i]) <= TOLERANCE * largest)) /* a NaN fails */
            fail_msg("step %zu, %s: %g, but the difference says %g", i, model->plan.steps[i].name, s.slope[i],
                     wanted[i]);
    free(pixels);
    free(direction);
    free(weights);
    free(outputs);
    free(s.slope);
    free(s.is_product);
    free(wanted);
    lutra_context_free(context);
    lutra_backward_free(backward);
}

/* Every kind of step, in place or not, and every kind of output. (Not timm-token and hf-vit: their first norm
 * divides by so little that differences over STEP say nothing.) */
static void test_models(void **unused)
{
    static const char *const names[] = {
        "timm-average",         "timm-average-no-class",   "timm-distilled",     "timm-dinov2",
        "timm-pre-norm",        "timm-gelu-tanh",          "timm-token-fc-norm", "timm-f16",
        "timm-not-square",      "timm-registers-embedded", "hf-vit-no-head",     "hf-dinov2",
        "hf-dinov2-classifier", "hf-deit-teacher",
    };
    (void)unused;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = fixture_golden(names[i], "");
        lutra_model *model;
        lutra_error error;
        if (lutra_model_open(path, NULL, &model, &error))
            fail_msg("%s: %s", path, error.message);
        print_message("%s\n", names[i]);
        compare(model);
        lutra_model_close(model);
        free(path);
    }
}

/* Of 3 x 1024 floats, and of 1024, rows lie further apart in the arena than they are long. */
static void test_rows_with_gaps(void **unused)
{
    const tiny_model tiny = {.dim = 1024,
                             .depth = 2,
                             .n_heads = 4,
                             .mlp_dim = 1024,
                             .patch = 4,
                             .grid_height = 2,
                             .grid_width = 2,
                             .n_classes = 5,
                             .pool = LUTRA_POOL_AVERAGE,
                             .dtype = LUTRA_F16};
    lutra_model *model;
    lutra_error error;
    size_t size, n_gaps = 0;
    uint8_t *bytes = tiny_model_make(&tiny, 1, &size);
    (void)unused;
    if (lutra_model_open_memory(bytes, size, NULL, &model, &error))
        fail_msg("%s", error.message);
    for (size_t i = 0; i < model->plan.n_steps; i++)
        n_gaps += model->plan.steps[i].c.ld > lutra_step_columns(&model->vit, &model->plan.steps[i]);
    assert_int_equal(n_gaps, 2 * tiny.depth); /* qkv, hidden */
    compare(model);
    lutra_model_close(model);
    free(bytes);
}

/* 4 x 65536 x 65536 probabilities are none modulo 2^32. Machines of 64 bits count them all, and have no way
 * to hold them either, but only find out by trying. */
static void test_what_32_bits_do_not_count(void **unused)
{
    const tiny_model tiny = {.dim = 8,
                             .depth = 1,
                             .n_heads = 2,
                             .mlp_dim = 8,
                             .patch = 1,
                             .grid_height = 255,
                             .grid_width = 257,
                             .pool = LUTRA_POOL_TOKEN,
                             .dtype = LUTRA_F32};
    lutra_model *model;
    lutra_backward *backward;
    lutra_error error;
    size_t size;
    (void)unused;
    if (sizeof size > 4)
        skip();
    uint8_t *bytes = tiny_model_make(&tiny, 1, &size);
    if (lutra_model_open_memory(bytes, size, NULL, &model, &error))
        fail_msg("%s", error.message);
    assert_int_equal(model->vit.n_tokens, 65536);
    assert_int_equal(lutra_backward_create(model, &backward, &error), LUTRA_ERROR_MEMORY);
    assert_null(backward);
    lutra_model_close(model);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_models), cmocka_unit_test(test_rows_with_gaps),
                                       cmocka_unit_test(test_what_32_bits_do_not_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
