/* SPDX-License-Identifier: Apache-2.0 */
/* Files that come with Lutra: the embedded model and the names of ImageNet's classes. */
#ifndef LUTRA_TOOLS_DATA_H
#define LUTRA_TOOLS_DATA_H

#include "command.h"

/* The first that exists of
 *   $LUTRA_DATA_DIR/NAME               (where set, it is the only place)
 *   EXECUTABLE/../../data/NAME         (a build folder inside the source tree,
 *   EXECUTABLE/../../../data/NAME       or two levels down)
 *   EXECUTABLE/../share/lutra/NAME     (an installation that was moved)
 *   the installed data directory/NAME
 * allocated; else NULL: UNSUPPORTED, which lists the places, where there is none, IO when out of memory. */
char *tool_find_data(const char *name, lutra_error *error);

#define TOOL_EMBEDDED_MODEL "embedded"
#define TOOL_IMAGENET_NAMES "labels/imagenet1k.tsv"

/* Classes by index: a table "index<TAB>wnid<TAB>name" with a heading. */
typedef struct tool_names {
    char *text;        /* the file, cut into the strings below */
    const char **wnid; /* [n]; NULL where a class is not listed */
    const char **name; /* [n] */
    size_t n;
} tool_names;

lutra_status tool_names_read(const char *path, tool_names *names, lutra_error *error);
void tool_names_free(tool_names *names);

#endif
