/* SPDX-License-Identifier: Apache-2.0 */
/* What is in a picture:
 *     cc classify.c -o classify $(pkg-config --cflags --libs lutra) && ./classify MODEL PICTURE */
#include <lutra/lutra.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc != 3)
        return fprintf(stderr, "usage: %s MODEL PICTURE\n", argv[0]), 2;
    lutra_model *model = NULL;
    lutra_context *context = NULL;
    lutra_error error;
    if (lutra_model_open(argv[1], NULL, &model, &error) ||
        lutra_context_create(model, NULL, &context, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    const lutra_model_info *info = lutra_model_get_info(model);
    uint8_t *pixels = malloc(info->input_bytes);                   /* [height][width][3] */
    float *logits = malloc((info->n_classes + 1) * sizeof(float)); /* [n_classes] */
    if (!pixels || !logits)
        return fprintf(stderr, "out of memory\n"), 1;
    if (lutra_image_read(argv[2], &info->preprocessing, pixels, &error) ||
        lutra_context_run(context, pixels, 1, logits, NULL, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    size_t best = 0;
    for (size_t i = 1; i < info->n_classes; i++)
        best = logits[i] > logits[best] ? i : best;
    const char *name = lutra_model_label(model, best);
    printf("%zu %s\n", best, name ? name : "");
    free(logits);
    free(pixels);
    lutra_context_free(context);
    lutra_model_close(model);
    return 0;
}
