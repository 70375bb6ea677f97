/* SPDX-License-Identifier: Apache-2.0 */
/* The man page lutra(1). */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "text.h"

/* `n` bytes of text with what troff would take for its own escaped. */
static void print_escaped(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const bool line_begins = i == 0 || text[i - 1] == '\n';
        if (line_begins && (text[i] == '.' || text[i] == '\''))
            fputs("\\&", stdout);
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (text[i] == '-')
            fputs("\\-", stdout);
        else
            putchar(text[i]);
    }
}

static void print_text(const char *text)
{
    print_escaped(text, strlen(text));
}

/* Paragraphs parted by empty lines. */
static void print_paragraphs(const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        const size_t n = end ? (size_t)(end - text) : strlen(text);
        puts(".PP");
        print_escaped(text, n);
        putchar('\n');
        text += n;
        text += strspn(text, "\n");
    }
}

static void print_entry(const char *name, const char *argument, const char *text)
{
    puts(".TP");
    fputs(".B ", stdout);
    print_text(name);
    if (argument) {
        fputs(" \\fI", stdout);
        print_text(argument);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    print_text(text);
    putchar('\n');
}

static void print_options(const tool_command *command)
{
    for (size_t i = 0; command->options[i]; i++) {
        const tool_option_text *option = tool_option_describe(command->options[i]);
        char name[64];
        if (option->letter)
            snprintf(name, sizeof name, "-%c, --%s", option->letter, option->name);
        else
            snprintf(name, sizeof name, "--%s", option->name);
        print_entry(name, option->argument, option->help);
    }
}

static void print_command(const tool_command *command)
{
    printf(".SS \"");
    print_text("lutra ");
    print_text(command->name);
    printf(" ");
    print_text(command->usage);
    puts("\"");
    print_paragraphs(command->description);
    print_options(command);
    puts(".PP\nExamples:\n.PP\n.EX");
    print_text(command->examples);
    puts("\n.EE");
}

void tool_print_man(void)
{
    const tool_command *command;
    printf(".TH LUTRA 1 \"\" \"lutra %s\" \"User Commands\"\n", lutra_version());
    puts(".SH NAME\nlutra \\- vision transformers made small, run from codebooks and packed indices");
    puts(".SH SYNOPSIS");
    for (size_t i = 0; (command = tool_command_at(i)); i++) {
        printf(".B lutra %s\n", command->name);
        print_text(command->usage);
        puts("\n.br");
    }
    puts(".SH DESCRIPTION");
    puts("Lutra clusters the weights of a trained vision transformer: a small codebook and an index of 1 to "
         "8 bits\n"
         "take the place of each 32\\-bit weight. It runs straight from the packed indices, on ordinary "
         "CPUs, and\n"
         "measures what that cost in accuracy.");
    puts(".SH COMMANDS");
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        print_command(command);
    puts(".SH EXIT STATUS");
    for (const tool_entry *entry = tool_exit_statuses; entry->name; entry++)
        print_entry(entry->name, NULL, entry->text);
    puts(".SH ENVIRONMENT");
    for (const tool_entry *entry = tool_environment; entry->name; entry++)
        print_entry(entry->name, NULL, entry->text);
}
