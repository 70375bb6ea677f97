/* SPDX-License-Identifier: Apache-2.0 */
/* What a step is made of: multiply-adds and bytes, for one picture, which are counted here alone, and how its
 * rows lie and pass on. */
#include <string.h>

#include "format/dtype.h"
#include "kernels/gemm/few_rows.h"
#include "model/plan.h"

static const char *const op_names[] = {
    [LUTRA_OP_PATCHES] = "patches",       [LUTRA_OP_GEMM] = "gemm",           [LUTRA_OP_TOKENS] = "tokens",
    [LUTRA_OP_LAYER_NORM] = "layer_norm", [LUTRA_OP_ATTENTION] = "attention", [LUTRA_OP_MEAN] = "mean",
    [LUTRA_OP_AVERAGE] = "average",       [LUTRA_OP_COPY] = "copy",
};

static uint64_t floats(uint64_t count)
{
    return sizeof(float) * count;
}

static uint64_t matrix_bytes(const lutra_named_matrix *named)
{
    const lutra_matrix *matrix = &named->matrix;
    if (matrix->dense)
        return (uint64_t)matrix->n * matrix->k * lutra_dtype_size(matrix->dtype);
    const uint64_t codebook = named->n_clusters * (matrix->codebook_is_i8 ? 1 : sizeof(float));
    return matrix->layout.bytes + codebook + floats(matrix->scale_per_row ? matrix->n : 1);
}

static void describe_gemm(const lutra_step *step, lutra_step_info *info)
{
    const lutra_matrix *matrix = &step->linear.weight->matrix;
    info->n = matrix->n;
    info->k = matrix->k;
    info->macs = (uint64_t)info->m * info->n * info->k;
    info->weight_bytes = matrix_bytes(step->linear.weight);
    info->weight_bytes += floats((step->linear.bias ? info->n : 0) + (step->layer_scale ? info->n : 0));
    const uint64_t m = info->m; /* 65536 rows of 98304 do not fit into 32 bits */
    info->read_bytes = floats(m * info->k + (step->has_residual ? m * info->n : 0));
    info->written_bytes = floats(m * info->n);
}

void lutra_step_describe(const lutra_vit *vit, const lutra_step *step, lutra_step_info *info)
{
    const uint64_t dim = vit->dim, row_floats = step->rows * dim;
    *info = (lutra_step_info){
        .op = op_names[step->op], .name = step->name, .block = step->block, .m = step->rows, .n = vit->dim};
    info->read_bytes = info->written_bytes = floats(row_floats);
    switch (step->op) {
    case LUTRA_OP_GEMM:
        describe_gemm(step, info);
        break;
    case LUTRA_OP_PATCHES:
        info->n = 3 * vit->patch * vit->patch;
        info->read_bytes = step->rows * info->n; /* 8-bit pixels */
        info->written_bytes = floats(step->rows * info->n);
        break;
    case LUTRA_OP_TOKENS:
        info->weight_bytes = floats((vit->n_prefix + vit->n_patches) * dim);
        info->read_bytes = floats(vit->n_patches * dim);
        break;
    case LUTRA_OP_LAYER_NORM:
        info->weight_bytes = floats(2 * dim);
        break;
    case LUTRA_OP_ATTENTION:
        info->n = vit->n_tokens;
        info->k = vit->dim;
        info->macs = 2 * (uint64_t)step->rows * vit->n_tokens * dim;
        info->read_bytes = floats(row_floats + 2 * vit->n_tokens * dim);
        break;
    case LUTRA_OP_MEAN:
        info->read_bytes = floats(vit->n_patches * dim);
        break;
    case LUTRA_OP_COPY:
        break;
    case LUTRA_OP_AVERAGE:
        info->n = step->c.ld;
        info->read_bytes = floats(2 * info->n);
        info->written_bytes = floats(info->n);
        break;
    }
}

lutra_mode lutra_step_mode(const lutra_step_info *step, lutra_mode mode)
{
    if (strcmp(step->op, op_names[LUTRA_OP_GEMM]) == 0)
        return mode;
    return mode == LUTRA_MODE_INT8 ? LUTRA_MODE_BF16 : LUTRA_MODE_F32;
}

static bool is_dense(const lutra_operand *operand, size_t rows)
{
    return operand->stride == rows * operand->ld;
}

bool lutra_step_is_even(const lutra_step *step)
{
    return step->rows == 1 || (is_dense(&step->a, step->rows) && is_dense(&step->c, step->rows) &&
                               (!step->has_residual || is_dense(&step->residual, step->rows)));
}

bool lutra_step_passes_i8(const lutra_step *step, lutra_mode mode, size_t batch)
{
    return step->shares_rows && mode == LUTRA_MODE_INT8 && batch * step->rows > LUTRA_FEW_ROWS;
}

size_t lutra_step_columns(const lutra_vit *vit, const lutra_step *step)
{
    switch (step->op) {
    case LUTRA_OP_GEMM:
        return step->linear.weight->matrix.n;
    case LUTRA_OP_PATCHES:
        return 3 * vit->patch * vit->patch;
    case LUTRA_OP_AVERAGE:
        return step->c.ld;
    case LUTRA_OP_TOKENS:
    case LUTRA_OP_LAYER_NORM:
    case LUTRA_OP_ATTENTION:
    case LUTRA_OP_MEAN:
    case LUTRA_OP_COPY:
        break;
    }
    return vit->dim;
}
