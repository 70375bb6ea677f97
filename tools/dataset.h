/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures with their right classes: what eval reads. */
#ifndef LUTRA_TOOLS_DATASET_H
#define LUTRA_TOOLS_DATASET_H

#include "inputs.h"
#include "session.h"

typedef struct tool_dataset {
    tool_files files;
    size_t *truth;   /* [files.n], each below n_classes */
    char order[160]; /* how classes were told, for people */
} tool_dataset;

/* From arguments->images and arguments->truth. Understood are
 *   a table with a heading that has a column 'file' and one of 'class_index', 'index', 'label', 'class',
 * 'wnid'; lines "PICTURE CLASS"; lines "CLASS" for the sorted pictures of the folder, as ImageNet's flat
 * validation set comes with; columns part at tabs, else commas, else blanks (then the last one is the rest of
 * the line); without a table, DIR/labels.tsv, else one folder of pictures per class. A class is an index, a
 * name that the model has, or one of ImageNet's wnids. Pictures that a table names but that are not there
 * stay in the list: they will be unreadable. */
lutra_status tool_dataset_open(tool_dataset *dataset, const tool_arguments *arguments,
                               const tool_session *session, lutra_error *error);
void tool_dataset_free(tool_dataset *dataset);

/* How a class is written in labels -> its index. Returns how many classes of the model are called so: 0, 1 or
 * more (ImageNet has two cranes). */
size_t tool_class_find(const tool_session *session, const tool_names *imagenet, const char *text,
                       size_t *index);

lutra_status tool_dataset_error(lutra_error *error, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
lutra_status tool_dataset_add(tool_dataset *dataset, const char *path, size_t truth, lutra_error *error);
/* The parts of tool_dataset_open: a folder of pictures per class; a table. */
lutra_status tool_dataset_read_folders(tool_dataset *dataset, const char *folder, const tool_session *session,
                                       const tool_names *imagenet, lutra_error *error);
lutra_status tool_dataset_read_labels(tool_dataset *dataset, const char *labels, const char *folder,
                                      const tool_session *session, const tool_names *imagenet,
                                      lutra_error *error);

#endif
