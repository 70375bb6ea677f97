/* SPDX-License-Identifier: Apache-2.0 */
/* An open model with a context to run it, as the commands use it. */
#ifndef LUTRA_TOOLS_SESSION_H
#define LUTRA_TOOLS_SESSION_H

#include "data.h"

typedef struct tool_session {
    lutra_model *model;
    lutra_context *context;
    const lutra_model_info *info;
    tool_names imagenet; /* n = 0 unless the model is one of ImageNet's and carries no names */
} tool_session;

/* Opens `path` (NULL: the embedded model) for runs of up to `max_batch` pictures. Says what it had to guess.
 * Returns the exit status; the session is to be closed either way. */
int tool_session_open(tool_session *session, const tool_arguments *arguments, const char *path,
                      const lutra_model_options *options, lutra_mode mode, size_t max_batch);
void tool_session_close(tool_session *session);

/* --arch where the model of --against needs it: where nothing of its own tells its architecture. */
const char *tool_against_arch(const tool_arguments *arguments);

/* Gives ImageNet's names to a model of ImageNet that carries none, and says so. */
void tool_session_name_classes(tool_session *session, const tool_arguments *arguments);

/* The name of a class, or NULL. */
const char *tool_session_label(const tool_session *session, size_t index);

/* Whether both make the same pixels of a picture. */
bool tool_same_preprocessing(const lutra_preprocessing *a, const lutra_preprocessing *b);

/* Whether the first input is a model rather than a picture or a folder or list of pictures. */
bool tool_first_is_model(const tool_arguments *arguments);

/* Where only indices are known, finds ImageNet's wnids and names: none where the model is not one of
 * ImageNet's 1000 classes and known by its architecture. UNSUPPORTED where the table is not installed. */
lutra_status tool_imagenet_names(const lutra_model_info *info, tool_names *names, lutra_error *error);

#endif
