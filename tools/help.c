/* SPDX-License-Identifier: Apache-2.0 */
/* lutra help, and the help that --help prints. */
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "suggest.h"
#include "terminal.h"
#include "text.h"

#define WIDTH 96

const tool_entry tool_exit_statuses[] = {
    {"0", "done"},
    {"1", "failed; the message says why"},
    {"2", "the command line is wrong"},
    {"3", "done, but some inputs could not be read; the first 20 of them are named"},
    {"130", "interrupted (Ctrl-C); nothing is left half written"},
    {NULL, NULL},
};

const tool_entry tool_environment[] = {
    {"LUTRA_DATA_DIR",
     "the folder of the embedded model and of ImageNet's class names. Where it is not set, they are "
     "searched in data/ of the source tree if lutra runs from a build folder in it, in "
     "../share/lutra beside the program's folder, and where Lutra was installed."},
    {"LUTRA_ISA",
     "the level of instructions to use, instead of the best that this machine has: reference, avx2, avxvnni, "
     "avx512, avx512vnni, avx512bf16; on Arm neon, neondot, i8mm"},
    {"NO_COLOR", "where set, nothing is printed in bold"},
    {NULL, NULL},
};

/* Words of `text` from column `column` on, lines indented by `indent`; empty lines part paragraphs. */
static void print_wrapped(const char *text, int column, int indent)
{
    bool first = true; /* on its line */
    while (*text) {
        if (*text == '\n') {
            text++;
            printf(*text == '\n' ? "\n\n%*s" : "\n%*s", indent, "");
            text += *text == '\n';
            column = indent;
            first = true;
            continue;
        }
        const int length = (int)strcspn(text, " \n");
        if (!first && column + 1 + length > WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
            first = true;
        }
        if (!first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", length, text);
        column += length;
        first = false;
        text += length;
        text += *text == ' ';
    }
    putchar('\n');
}

static void print_heading(const char *text)
{
    printf("\n%s%s%s\n", tool_bold(stdout), text, tool_plain(stdout));
}

static void print_entries(const tool_entry *entries, int width)
{
    for (; entries->name; entries++) {
        printf("  %-*s  ", width, entries->name);
        print_wrapped(entries->text, width + 4, width + 4);
    }
}

void tool_print_help(void)
{
    const tool_command *command;
    printf("%slutra%s %s - vision transformers made small, run from codebooks and packed indices\n",
           tool_bold(stdout), tool_plain(stdout), lutra_version());
    print_heading("Usage");
    printf("  lutra COMMAND ...\n  lutra help COMMAND    what it does, its options, examples\n");
    print_heading("Commands");
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        printf("  %-9s %s\n", command->name, command->summary);
    print_heading("A first run");
    printf("  lutra cluster model.safetensors -o small.safetensors      # 64 clusters, 5 times smaller\n"
           "  lutra classify small.safetensors photo.jpg\n"
           "  lutra eval small.safetensors --images val --against model.safetensors\n");
    print_heading("Exit status");
    print_entries(tool_exit_statuses, 4);
    print_heading("Environment");
    print_entries(tool_environment, 14);
}

static int option_width(const tool_option_text *option)
{
    return (int)(strlen(option->name) + (option->argument ? strlen(option->argument) + 1 : 0)) + 6;
}

static void print_option(const tool_option_text *option, int width)
{
    char text[96];
    snprintf(text, sizeof text, "%c%c%c --%s%s%s", option->letter ? '-' : ' ',
             option->letter ? option->letter : ' ', option->letter ? ',' : ' ', option->name,
             option->argument ? " " : "", option->argument ? option->argument : "");
    printf("  %-*s  ", width, text);
    print_wrapped(option->help, width + 4, width + 4);
}

static void print_examples(const char *examples)
{
    while (*examples) {
        const int length = (int)strcspn(examples, "\n");
        printf("  %.*s\n", length, examples);
        examples += length;
        examples += *examples == '\n';
    }
}

void tool_print_command_help(const tool_command *command)
{
    int width = 0;
    printf("%slutra %s%s - %s\n", tool_bold(stdout), command->name, tool_plain(stdout), command->summary);
    print_heading("Usage");
    printf("  lutra %s %s\n\n", command->name, command->usage);
    print_wrapped(command->description, 0, 0);
    print_heading("Options");
    for (size_t i = 0; command->options[i]; i++) {
        const int needed = option_width(tool_option_describe(command->options[i]));
        width = needed > width ? needed : width;
    }
    for (size_t i = 0; command->options[i]; i++)
        print_option(tool_option_describe(command->options[i]), width < 30 ? width : 30);
    print_heading("Examples");
    print_examples(command->examples);
}

void tool_print_architectures(void)
{
    const char *name;
    for (size_t i = 0; (name = lutra_arch_name(i)); i++)
        printf("%s\n", name);
}

static int run(const tool_arguments *arguments)
{
    if (arguments->n_inputs == 0) {
        tool_print_help();
        return TOOL_DONE;
    }
    if (arguments->n_inputs > 1) {
        tool_error("help explains one command at a time; '%s' is one too many", arguments->inputs[1]);
        return TOOL_USAGE;
    }
    const char *topic = arguments->inputs[0];
    const tool_command *command = tool_command_find(topic);
    if (command) {
        tool_print_command_help(command);
        return TOOL_DONE;
    }
    if (strcmp(topic, "architectures") == 0) {
        tool_print_architectures();
        return TOOL_DONE;
    }
    char hint[128];
    tool_suggestions suggestions = {.word = topic};
    for (size_t i = 0; (command = tool_command_at(i)); i++)
        tool_suggest(&suggestions, command->name);
    tool_suggest(&suggestions, "architectures");
    tool_error("there is no help on '%s'%s; 'lutra help' lists the commands", topic,
               tool_suggestions_text(&suggestions, hint, sizeof hint));
    return TOOL_USAGE;
}

static const tool_option options[] = {TOOL_HELP, TOOL_NO_OPTION};

const tool_command tool_command_help = {
    .name = "help",
    .usage = "[COMMAND|architectures]",
    .summary = "explain a command, or list the known architectures",
    .description = "Prints what COMMAND does, its options and examples; or the names that --arch takes.",
    .examples = "lutra help cluster\nlutra help architectures",
    .options = options,
    .run = run,
};
