/* SPDX-License-Identifier: Apache-2.0 */
/* Completions for bash, zsh and fish. */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "text.h"

tool_value tool_value_of(tool_option option)
{
    const char *argument = tool_option_describe(option)->argument;
    if (!argument)
        return TOOL_VALUE_NONE;
    if (option == TOOL_ARCH)
        return TOOL_VALUE_ARCH;
    if (strcmp(argument, "FILE") == 0 || strcmp(argument, "MODEL") == 0)
        return TOOL_VALUE_FILE;
    if (strcmp(argument, "DIR") == 0)
        return TOOL_VALUE_FOLDER;
    /* Upper case stands for something; lower case is a value itself. */
    return argument[0] >= 'a' && argument[0] <= 'z' ? TOOL_VALUE_CHOICE : TOOL_VALUE_OTHER;
}

/* The values of a choice, or the architectures, parted by blanks. */
static void print_values(tool_option option)
{
    const char *name, *argument = tool_option_describe(option)->argument;
    if (tool_value_of(option) == TOOL_VALUE_ARCH) {
        for (size_t i = 0; (name = lutra_arch_name(i)); i++)
            printf("%s%s", i ? " " : "", name);
        return;
    }
    for (; *argument; argument++)
        putchar(*argument == '|' ? ' ' : *argument);
}

static void print_command_names(const char *separator)
{
    const tool_command *command;
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        printf("%s%s", i ? separator : "", command->name);
}

/* ---- bash -------------------------------------------------------------------------------------- */

/* What compgen prints is read line by line: names of files have spaces. */
static void print_bash_value(tool_option id)
{
    const tool_option_text *option = tool_option_describe(id);
    const tool_value value = tool_value_of(id);
    if (value == TOOL_VALUE_NONE)
        return;
    printf("        %s--%s", "", option->name);
    if (option->letter)
        printf("|-%c", option->letter);
    if (value == TOOL_VALUE_FILE)
        puts(") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;");
    else if (value == TOOL_VALUE_FOLDER)
        puts(") compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$word\"); return ;;");
    else if (value == TOOL_VALUE_OTHER)
        puts(") return ;;");
    else {
        printf(") mapfile -t COMPREPLY < <(compgen -W \"");
        print_values(id);
        puts("\" -- \"$word\"); return ;;");
    }
}

static void print_bash_command(const tool_command *command)
{
    printf("    %s)\n        options=\"", command->name);
    for (size_t i = 0; command->options[i]; i++)
        printf("%s--%s", i ? " " : "", tool_option_describe(command->options[i])->name);
    puts("\"\n        case $before in");
    for (size_t i = 0; command->options[i]; i++)
        print_bash_value(command->options[i]);
    puts("        esac ;;");
}

static void print_bash(void)
{
    const tool_command *command;
    puts("# bash completion for lutra\n_lutra() {\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options=\n"
         "    if [ \"$COMP_CWORD\" -eq 1 ]; then");
    printf("        mapfile -t COMPREPLY < <(compgen -W \"");
    print_command_names(" ");
    puts(" --help --version\" -- \"$word\")\n        return\n    fi\n    case ${COMP_WORDS[1]} in");
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        print_bash_command(command);
    puts("    esac\n"
         "    if [ \"${COMP_WORDS[1]}\" = help ]; then");
    printf("        mapfile -t COMPREPLY < <(compgen -W \"");
    print_command_names(" ");
    puts(" architectures\" -- \"$word\")\n"
         "    elif [[ $word == -* ]]; then\n"
         "        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
         "    else\n"
         "        compopt -o filenames\n"
         "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
         "    fi\n}\ncomplete -F _lutra lutra");
}

/* ---- zsh and fish ------------------------------------------------------------------------------ */

/* Text within '...', where zsh's _arguments also needs brackets and colons escaped. */
static void print_quoted(const char *text, bool zsh)
{
    for (; *text; text++) {
        if (*text == '\'')
            fputs(zsh ? "'\\''" : "\\'", stdout);
        else if (zsh && strchr("[]:\\", *text))
            printf("\\%c", *text);
        else if (!zsh && *text == '\\')
            fputs("\\\\", stdout);
        else
            putchar(*text);
    }
}

static void print_zsh_option(tool_option id)
{
    const tool_option_text *option = tool_option_describe(id);
    if (option->letter)
        printf(" \\\n            {-%c,--%s}'[", option->letter, option->name);
    else
        printf(" \\\n            '--%s[", option->name);
    print_quoted(option->help, true);
    putchar(']');
    if (option->argument) {
        putchar(':');
        print_quoted(option->argument, true);
        putchar(':');
    }
    switch (tool_value_of(id)) {
    case TOOL_VALUE_FILE:
        fputs("_files", stdout);
        break;
    case TOOL_VALUE_FOLDER:
        fputs("_files -/", stdout);
        break;
    case TOOL_VALUE_CHOICE:
    case TOOL_VALUE_ARCH:
        putchar('(');
        print_values(id);
        putchar(')');
        break;
    default:
        break;
    }
    putchar('\'');
}

static void print_zsh(void)
{
    const tool_command *command;
    puts("#compdef lutra\n_lutra() {\n    local -a commands\n    commands=(");
    for (size_t i = 0; (command = tool_command_at(i)); i++) {
        printf("        '%s:", command->name);
        print_quoted(command->summary, true);
        puts("'");
    }
    puts(
        "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n        return\n    fi\n"
        "    case $words[2] in");
    for (size_t i = 0; (command = tool_command_at(i)); i++) {
        printf("    %s)\n        shift words; (( CURRENT-- ))\n        _arguments -s", command->name);
        for (size_t j = 0; command->options[j]; j++)
            print_zsh_option(command->options[j]);
        if (strcmp(command->name, "help") == 0) {
            printf(" \\\n            '1:topic:(");
            print_command_names(" ");
            puts(" architectures)' ;;");
        } else {
            puts(" \\\n            '*:file:_files' ;;");
        }
    }
    puts("    esac\n}\n_lutra \"$@\"");
}

static void print_fish_option(const tool_command *command, tool_option id)
{
    const tool_option_text *option = tool_option_describe(id);
    const tool_value value = tool_value_of(id);
    printf("complete -c lutra -n '__fish_seen_subcommand_from %s' -l %s", command->name, option->name);
    if (option->letter)
        printf(" -s %c", option->letter);
    if (value == TOOL_VALUE_FILE)
        fputs(" -rF", stdout);
    else if (value == TOOL_VALUE_FOLDER)
        fputs(" -xa '(__fish_complete_directories)'", stdout);
    else if (value == TOOL_VALUE_OTHER)
        fputs(" -x", stdout);
    else if (value != TOOL_VALUE_NONE) {
        fputs(" -xa '", stdout);
        print_values(id);
        putchar('\'');
    }
    fputs(" -d '", stdout);
    print_quoted(option->help, false);
    puts("'");
}

static void print_fish(void)
{
    const tool_command *command;
    puts("# fish completion for lutra");
    for (size_t i = 0; (command = tool_command_at(i)); i++) {
        printf("complete -c lutra -n __fish_use_subcommand -xa %s -d '", command->name);
        print_quoted(command->summary, false);
        puts("'");
    }
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        for (size_t j = 0; command->options[j]; j++)
            print_fish_option(command, command->options[j]);
    printf("complete -c lutra -n '__fish_seen_subcommand_from help' -xa '");
    print_command_names(" ");
    puts(" architectures'");
}

bool tool_print_completion(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else if (strcmp(shell, "fish") == 0)
        print_fish();
    else
        return false;
    return true;
}
