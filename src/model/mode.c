/* SPDX-License-Identifier: Apache-2.0 */
#include "model/mode.h"

#include "kernels/gemm/gemm_bf16.h"
#include "kernels/table.h"
#include "model/model_private.h"

/* Whether 8 bits hold the weights as they are: their codebooks are int8. */
static bool is_exact_in_i8(const lutra_model *model)
{
    const lutra_binding *binding = &model->binding;
    for (size_t i = 0; i < binding->n_matrices; i++)
        if (binding->matrices[i].matrix.dense || !binding->matrices[i].matrix.codebook_is_i8)
            return false;
    return true;
}

lutra_mode lutra_choose_mode_of(const lutra_model *model, bool multiplies_i8, bool multiplies_bf16)
{
    if (multiplies_i8 && is_exact_in_i8(model))
        return LUTRA_MODE_INT8;
    return multiplies_bf16 ? LUTRA_MODE_BF16 : LUTRA_MODE_F32;
}

lutra_mode lutra_choose_mode(const lutra_model *model, const lutra_kernels *kernels)
{
    const bool multiplies_i8 = kernels->unpack_panel_i8 != lutra_kernels_level(0)->unpack_panel_i8;
    return lutra_choose_mode_of(model, multiplies_i8, lutra_multiplies_bf16(kernels));
}
