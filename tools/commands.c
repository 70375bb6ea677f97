/* SPDX-License-Identifier: Apache-2.0 */
/* The list of commands.inc. */
#include <string.h>

#include "command.h"

static const tool_command *const commands[] = {
#define COMMAND(name) &tool_command_##name,
#include "commands.inc"
#undef COMMAND
};

const tool_command *tool_command_at(size_t index)
{
    return index < sizeof commands / sizeof *commands ? commands[index] : NULL;
}

const tool_command *tool_command_find(const char *name)
{
    const tool_command *command;
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}
