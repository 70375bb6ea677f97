/* SPDX-License-Identifier: Apache-2.0 */
/* What an open model is made of; for the files of this folder. */
#ifndef LUTRA_MODEL_PRIVATE_H
#define LUTRA_MODEL_PRIVATE_H

#include "model/plan.h"

struct lutra_model {
    lutra_safetensors *file;
    lutra_clustered clustered;
    lutra_vit_settings settings;
    lutra_binding binding;
    lutra_vit vit;
    lutra_plan plan;
    lutra_model_info info;
};

/* Who says what the tensors do not: the clustered file itself or the files beside it, else `options`, its
 * name or its shapes, in this order. An option that names another architecture than the first two is refused.
 * `path` NULL: from memory, with nothing beside it. */
lutra_status lutra_model_read_settings(const lutra_model *model, const char *path,
                                       const lutra_model_options *options, lutra_vit_settings *settings,
                                       lutra_error *error);

#endif
