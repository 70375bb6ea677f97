/* SPDX-License-Identifier: Apache-2.0 */
/* Options: their table, and the arguments of one command line. */
#ifndef LUTRA_TOOLS_OPTIONS_H
#define LUTRA_TOOLS_OPTIONS_H

#include "command.h"

typedef struct tool_option_text {
    const char *name;     /* without the dashes */
    char letter;          /* 0: none */
    const char *argument; /* NULL: takes none */
    const char *help;
} tool_option_text;

const tool_option_text *tool_option_describe(tool_option option);

typedef struct tool_parser tool_parser;

/* Parses argv[1..] of `command`; argv[0] is the command's name. TOOL_DONE: run it with `arguments`, which
 * live until tool_parser_free. TOOL_USAGE: the mistake has been explained. `*help` is set where --help was
 * among them. */
int tool_parse(const tool_command *command, int argc, const char **argv, tool_parser **parser,
               tool_arguments *arguments, bool *help);
void tool_parser_free(tool_parser *parser);

#endif
