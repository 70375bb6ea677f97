/* SPDX-License-Identifier: Apache-2.0 */
/* The documents made from commands.inc and options.inc: help, man page, shell completions. */
#ifndef LUTRA_TOOLS_TEXT_H
#define LUTRA_TOOLS_TEXT_H

#include "command.h"

void tool_print_help(void);                                /* lutra --help */
void tool_print_command_help(const tool_command *command); /* lutra help COMMAND */
void tool_print_architectures(void);

void tool_print_man(void);
/* "bash", "zsh" or "fish"; false for another. */
bool tool_print_completion(const char *shell);

/* What `option` takes: a file, a folder, one of a list, or something else. */
typedef enum tool_value {
    TOOL_VALUE_NONE,
    TOOL_VALUE_FILE,
    TOOL_VALUE_FOLDER,
    TOOL_VALUE_CHOICE,
    TOOL_VALUE_ARCH,
    TOOL_VALUE_OTHER
} tool_value;
tool_value tool_value_of(tool_option option);

/* The paragraphs of exit statuses and environment, in help and man page alike. */
typedef struct tool_entry {
    const char *name, *text;
} tool_entry;
extern const tool_entry tool_exit_statuses[], tool_environment[]; /* up to a NULL name */

#endif
