/* SPDX-License-Identifier: Apache-2.0 */
/* lutra: finds the command, runs it, and makes sure that what it printed arrived. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cpus.h"
#include "json.h"
#include "options.h"
#include "suggest.h"
#include "terminal.h"
#include "text.h"

static int unknown(const char *word)
{
    char hint[128];
    const tool_command *command;
    tool_suggestions suggestions = {.word = word};
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        tool_suggest(&suggestions, command->name);
    tool_error("there is no %s '%s'%s; 'lutra help' lists the commands",
               word[0] == '-' ? "option" : "command", word,
               tool_suggestions_text(&suggestions, hint, sizeof hint));
    return TOOL_USAGE;
}

static int run_command(const tool_command *command, int argc, const char **argv)
{
    tool_parser *parser;
    tool_arguments arguments;
    bool help;
    int result = tool_parse(command, argc, argv, &parser, &arguments, &help);
    if (result == TOOL_DONE && help)
        tool_print_command_help(command);
    else if (result == TOOL_DONE && (result = tool_keep_to_cpus(&arguments)) == TOOL_DONE)
        result = command->run(&arguments);
    tool_parser_free(parser);
    return result;
}

/* What the build asks for: "__man", "__complete bash". */
static bool print_document(int argc, const char **argv)
{
    if (argc == 2 && strcmp(argv[1], "__man") == 0)
        tool_print_man();
    else if (argc != 3 || strcmp(argv[1], "__complete") != 0 || !tool_print_completion(argv[2]))
        return false;
    return true;
}

static int run(int argc, const char **argv)
{
    if (argc < 2) {
        tool_error("no command; 'lutra help' lists them");
        return TOOL_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        tool_print_help();
        return TOOL_DONE;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        printf("lutra %s\n", lutra_version());
        return TOOL_DONE;
    }
    if (print_document(argc, argv))
        return TOOL_DONE;
    const tool_command *command = tool_command_find(argv[1]);
    return command ? run_command(command, argc - 1, argv + 1) : unknown(argv[1]);
}

int main(int argc, char **argv)
{
    if (!tool_hold_standard_streams())
        return TOOL_FAILED;
    tool_catch_interrupts();
    tool_json_watch();
    int result = run(argc, (const char **)argv);
    if (result == TOOL_DONE || result == TOOL_UNREADABLE) {
        const int written = tool_finish_output();
        result = written ? written : result;
    }
    if (result == TOOL_INTERRUPTED && ferror(stdout))
        _exit(result); /* what waits to be printed would wait for the same reader again */
    return result;
}
