/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan walked backwards: how much a function of a picture's outputs changes with what each product of the
 * plan yields, token by token. For calibration, which weighs its inputs by that.
 *
 *     lutra_backward_forward(backward, pixels, outputs);
 *     ... gradient of the function in the outputs ...
 *     lutra_backward_run(backward, gradient, visitor, user);
 *
 * One picture at a time on one thread: several pictures want several of these.
 */
#ifndef LUTRA_MODEL_BACKWARD_H
#define LUTRA_MODEL_BACKWARD_H

#include "model/model.h"

typedef struct lutra_backward lutra_backward;

lutra_status lutra_backward_create(const lutra_model *model, lutra_backward **backward, lutra_error *error);
void lutra_backward_free(lutra_backward *backward); /* NULL is fine */

/* Of the logits, or of the features where the model has no head. */
size_t lutra_backward_n_outputs(const lutra_backward *backward);

/* Runs the picture in f32 and keeps what the way back needs. */
void lutra_backward_forward(lutra_backward *backward, const uint8_t *pixels /* [height][width][3] */,
                            float *outputs /* [n_outputs] */);

/* Called for each product of the plan, from the last to the first, with the gradient in its input times
 * weight plus bias: before activation and LayerScale. */
typedef void lutra_gradient_visitor(void *user, size_t step, size_t rows, size_t n,
                                    const float *gradient /* [rows][n] */);

/* After one forward run any number of these may follow. */
void lutra_backward_run(lutra_backward *backward, const float *gradient /* [n_outputs] */,
                        lutra_gradient_visitor *visitor, void *user);

#endif
