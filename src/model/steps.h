/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a context step by step, for calibration: between two steps the activations of all its pictures lie in
 * the arena, and a product may be given other weights than the model's.
 *
 *     for (size_t i = 0; i < lutra_model_n_steps(model); i++) {
 *         if (lutra_context_product(context, i, n_pictures, &product))
 *             cluster(product.weight, &product.input, &weights, &bias);
 *         lutra_context_step(context, i, pixels, n_pictures, &weights, bias);
 *     }
 */
#ifndef LUTRA_MODEL_STEPS_H
#define LUTRA_MODEL_STEPS_H

#include "model/model.h"

struct lutra_operand;

/* Rows of activations: row i of picture p begins at data + p * stride + i * ld. */
typedef struct lutra_rows {
    const float *data;
    size_t n_pictures, rows; /* of each picture */
    size_t stride, ld;
} lutra_rows;

/* What a step multiplies: layer_scale * activation(input weight^T + bias) + residual. */
typedef struct lutra_product {
    const lutra_named_matrix *weight;
    const float *bias; /* [n], or NULL */
    lutra_rows input;  /* [k] each; as they are before the step runs */
} lutra_product;

/* False where step `index` is no product. */
bool lutra_context_product(const lutra_context *context, size_t index, size_t batch, lutra_product *product);

/* Where an operand of the plan lies, of the first picture. */
const float *lutra_context_operand(const lutra_context *context, const struct lutra_operand *operand);

/* Runs step `index` in f32 on `batch` pictures (1..max_batch), with `weight` [n][k] and `bias` in place of
 * the model's where they are not NULL. */
void lutra_context_step(lutra_context *context, size_t index, const uint8_t *pixels, size_t batch,
                        const lutra_matrix *weight, const float *bias);

/* The activations between two steps, [*n] floats, to be kept and brought back by whoever runs several times
 * from there on. */
float *lutra_context_arena(lutra_context *context, size_t *n);

/* The logits that the last step left, one row a picture; the model has classes. */
lutra_rows lutra_context_logits(const lutra_context *context, size_t batch);

#endif
