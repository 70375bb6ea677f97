/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a subcommand is, and what its arguments are once parsed. Help, man page, completions and parser are
 * all made from these descriptions and options.inc.
 */
#ifndef LUTRA_TOOLS_COMMAND_H
#define LUTRA_TOOLS_COMMAND_H

#include "lutra/lutra.h"

/* Exit statuses, as the man page promises them. */
enum {
    TOOL_DONE = 0,
    TOOL_FAILED = 1,
    TOOL_USAGE = 2,
    TOOL_UNREADABLE = 3,    /* done, but some inputs could not be read */
    TOOL_INTERRUPTED = 130, /* 128 + SIGINT */
};

typedef enum tool_option {
    TOOL_NO_OPTION, /* ends a command's list */
#define OPTION(identifier, long_name, short_name, argument, help) TOOL_##identifier,
#include "options.inc"
#undef OPTION
    TOOL_N_OPTIONS
} tool_option;

/* The values of an option that takes several, parted by commas. */
#define TOOL_MAX_LIST 16
typedef struct tool_list {
    size_t at[TOOL_MAX_LIST], n;
} tool_list;

typedef struct tool_arguments {
    const char **inputs; /* [n_inputs]: what is not an option */
    size_t n_inputs;
    bool given[TOOL_N_OPTIONS];

    lutra_model_options model;
    size_t n_threads; /* 0: the default */
    size_t cpus[LUTRA_MAX_THREADS], n_cpus;
    lutra_mode mode, against_mode;
    bool json, csv, quiet;

    const char *output, *images, *truth, *against, *calibrate, *report, *power_meter, *on, *html;
    size_t n_clusters; /* 0: not given */
    lutra_budget_unit budget_unit;
    double budget; /* bytes, bits or nats */
    size_t top, batch, n_calibrate;
    lutra_scope scope;
    lutra_codebook_type codebook;
    lutra_dtype dtype;
    uint64_t seed;
    bool exact, errors, draw, stream, plan, steps, verify;

    /* of bench; an empty list: the default */
    tool_list clusters_list, modes, threads_list, batches; /* modes are lutra_mode */
    size_t repeat, contend;                                /* 0: not given */
    double duration;                                       /* seconds; 0: not given */
    bool dense, cold;
    bool quick;     /* of profile and study */
    bool no_energy; /* of profile */
} tool_arguments;

typedef struct tool_command {
    const char *name;
    const char *usage;                           /* what follows the name: "MODEL -o FILE [OPTION...]" */
    const char *summary;                         /* one line, no full stop */
    const char *description;                     /* paragraphs, separated by an empty line */
    const char *examples;                        /* "lutra ..." lines, with "# ..." lines that explain them */
    const tool_option *options;                  /* up to TOOL_NO_OPTION */
    int (*run)(const tool_arguments *arguments); /* returns the exit status */
} tool_command;

#define COMMAND(name) extern const tool_command tool_command_##name;
#include "commands.inc"
#undef COMMAND

/* The `index`-th command; NULL beyond the last. */
const tool_command *tool_command_at(size_t index);
const tool_command *tool_command_find(const char *name); /* or NULL */

#endif
