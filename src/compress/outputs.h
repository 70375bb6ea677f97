/* SPDX-License-Identifier: Apache-2.0 */
/* What a model says of pictures, kept to tell how far another one is from it. */
#ifndef LUTRA_COMPRESS_OUTPUTS_H
#define LUTRA_COMPRESS_OUTPUTS_H

#include "model/steps.h"

typedef struct lutra_outputs {
    size_t n_pictures, n_classes;
    double *log_p; /* [n_pictures][n_classes] log-softmax of the logits */
    double *other; /* [n_classes] */
} lutra_outputs;

/* From the logits [n_classes] of each picture, one row a picture, of the model at `path`: FORMAT where one is
 * not finite. To be freed either way. */
lutra_status lutra_outputs_keep(lutra_outputs *outputs, const lutra_rows *logits, size_t n_classes,
                                const char *path, lutra_error *error);
void lutra_outputs_free(lutra_outputs *outputs);

/* The mean over pictures first..n_pictures of KL(kept || other), in nats; infinite where a logit of `other`
 * is not finite. */
double lutra_outputs_kl(const lutra_outputs *outputs, const lutra_rows *other, size_t first);

#endif
