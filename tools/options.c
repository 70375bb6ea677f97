/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpus.h"
#include "suggest.h"
#include "terminal.h"

static const tool_option_text descriptions[TOOL_N_OPTIONS] = {
#define OPTION(identifier, long_name, short_name, argument, help)                                            \
    [TOOL_##identifier] = {long_name, short_name, argument, help},
#include "options.inc"
#undef OPTION
};

const tool_option_text *tool_option_describe(tool_option option)
{
    return &descriptions[option];
}

/* ---- values ------------------------------------------------------------------------------------ */

static bool parse_count(const tool_option_text *option, const char *text, uint64_t least, uint64_t most,
                        uint64_t *value)
{
    char *end = NULL;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    /* strtoull would read " -1" as a huge number. */
    if (text[0] >= '0' && text[0] <= '9' && !*end && errno == 0 && number >= least && number <= most) {
        *value = number;
        return true;
    }
    tool_error("--%s takes a whole number from %llu to %llu, not '%s'", option->name,
               (unsigned long long)least, (unsigned long long)most, text);
    return false;
}

static bool parse_size(const tool_option_text *option, const char *text, size_t least, size_t most,
                       size_t *value)
{
    uint64_t number = 0;
    if (!parse_count(option, text, least, most, &number))
        return false;
    *value = (size_t)number;
    return true;
}

static bool parse_part(const tool_option_text *option, const char *text, double *value)
{
    char *end = NULL;
    const double number = strtod(text, &end);
    if (end != text && !*end && isfinite(number) && number > 0 && number <= 1) {
        *value = number;
        return true;
    }
    tool_error("--%s takes a number above 0 and up to 1, not '%s'", option->name, text);
    return false;
}

/* The place of `text` among the values that option->argument lists. */
static bool parse_choice(const tool_option_text *option, const char *text, unsigned *choice)
{
    const size_t length = strlen(text);
    *choice = 0;
    for (const char *at = option->argument;; ++*choice) {
        const size_t n = strcspn(at, "|");
        if (n == length && strncmp(at, text, n) == 0)
            return true;
        if (!at[n])
            break;
        at += n + 1;
    }
    tool_error("--%s takes %s, not '%s'", option->name, option->argument, text);
    return false;
}

/* The name up to a dot must be in the library's table; what follows (".augreg_in21k") is timm's name of a set
 * of weights. */
static bool parse_arch(const tool_option_text *option, const char *text, const char **value)
{
    tool_suggestions suggestions = {.word = text};
    const size_t length = strcspn(text, ".");
    const char *name;
    for (size_t i = 0; (name = lutra_arch_name(i)); i++) {
        if (strlen(name) == length && strncmp(name, text, length) == 0) {
            *value = name;
            return true;
        }
        tool_suggest(&suggestions, name);
    }
    char hint[256];
    tool_error("--%s: no architecture is called '%s'%s; 'lutra help architectures' lists them", option->name,
               text, tool_suggestions_text(&suggestions, hint, sizeof hint));
    return false;
}

/* Seconds: "90", "30s", "5m", "1h"; at most a week. */
static bool parse_duration(const tool_option_text *option, const char *text, double *value)
{
    char *end = NULL;
    const double number = strtod(text, &end);
    const double unit = strcmp(end, "h") == 0                   ? 3600
                        : strcmp(end, "m") == 0                 ? 60
                        : strcmp(end, "s") == 0 || *end == '\0' ? 1
                                                                : 0;
    const double seconds = number * unit;
    if (end != text && isfinite(seconds) && seconds > 0 && seconds <= 7 * 24 * 3600.0) {
        *value = seconds;
        return true;
    }
    tool_error("--%s takes a time such as 30s, 5m or 1h, not '%s'", option->name, text);
    return false;
}

/* "4MiB", "4.5bits", "kl=0.005". */
static bool parse_budget(const tool_option_text *option, const char *text, lutra_budget_unit *unit,
                         double *value)
{
    static const struct {
        const char *name;
        lutra_budget_unit unit;
        double worth;
    } units[] = {
        {"B", LUTRA_BUDGET_BYTES, 1},         {"kB", LUTRA_BUDGET_BYTES, 1e3},
        {"KiB", LUTRA_BUDGET_BYTES, 1 << 10}, {"MB", LUTRA_BUDGET_BYTES, 1e6},
        {"MiB", LUTRA_BUDGET_BYTES, 1 << 20}, {"GB", LUTRA_BUDGET_BYTES, 1e9},
        {"GiB", LUTRA_BUDGET_BYTES, 1 << 30}, {"bits", LUTRA_BUDGET_BITS, 1},
        {"bit", LUTRA_BUDGET_BITS, 1},
    };
    const bool is_loss = strncmp(text, "kl=", 3) == 0;
    const char *number = is_loss ? text + 3 : text;
    char *end = NULL;
    *unit = is_loss ? LUTRA_BUDGET_KL : LUTRA_BUDGET_NONE;
    *value = strtod(number, &end);
    for (size_t i = 0; !is_loss && i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].name) == 0) {
            *unit = units[i].unit;
            *value *= units[i].worth;
        }
    /* strtod would also read " 1", "0x1" and "inf". */
    const bool plain = number[0] >= '0' && number[0] <= '9' && !strpbrk(number, "xX");
    if (!plain || (is_loss && *end) || *unit == LUTRA_BUDGET_NONE || !isfinite(*value) || *value <= 0) {
        tool_error("--%s takes a size such as 4MiB, mean bits of an index such as 4.5bits or a loss such as "
                   "kl=0.005, not '%s'",
                   option->name, text);
        return false;
    }
    if (*unit == LUTRA_BUDGET_BITS && (*value < 1 || *value > 8)) {
        tool_error("--%s %s cannot be met: an index has 1 to 8 bits", option->name, text);
        return false;
    }
    return true;
}

/* Cuts `text` at its commas and has each part parsed; a range as parse_size takes it, or a choice if `most`
 * is 0. */
static bool parse_list(const tool_option_text *option, const char *text, size_t least, size_t most,
                       tool_list *list)
{
    char part[64];
    *list = (tool_list){.n = 0};
    for (const char *at = text;; at++) {
        const size_t length = strcspn(at, ",");
        if (list->n == TOOL_MAX_LIST) {
            tool_error("--%s takes at most %d values", option->name, TOOL_MAX_LIST);
            return false;
        }
        if (length >= sizeof part) {
            tool_error("--%s: '%.*s' is too long", option->name, (int)length, at);
            return false;
        }
        snprintf(part, sizeof part, "%.*s", (int)length, at);
        unsigned choice = 0;
        if (most ? !parse_size(option, part, least, most, &list->at[list->n])
                 : !parse_choice(option, part, &choice))
            return false;
        if (!most)
            list->at[list->n] = choice;
        list->n++;
        at += length;
        if (!*at)
            return true;
    }
}

static bool set_choice(tool_arguments *arguments, tool_option id, const char *value)
{
    static const lutra_dtype dtypes[] = {LUTRA_F32, LUTRA_F16, LUTRA_BF16};
    unsigned choice;
    if (!parse_choice(&descriptions[id], value, &choice))
        return false;
    switch (id) {
    case TOOL_SCOPE:
        arguments->scope = (lutra_scope)choice;
        return true;
    case TOOL_CODEBOOK:
        arguments->codebook = (lutra_codebook_type)choice;
        return true;
    case TOOL_MODE:
        arguments->mode = (lutra_mode)choice;
        return true;
    case TOOL_AGAINST_MODE:
        arguments->against_mode = (lutra_mode)choice;
        return true;
    case TOOL_DTYPE:
        arguments->dtype = dtypes[choice];
        return true;
    default:
        return false;
    }
}

static void set_flag(tool_arguments *arguments, tool_option id, bool *help)
{
    arguments->exact |= id == TOOL_EXACT;
    arguments->errors |= id == TOOL_ERRORS;
    arguments->draw |= id == TOOL_DRAW;
    arguments->stream |= id == TOOL_STREAM;
    arguments->plan |= id == TOOL_PLAN;
    arguments->steps |= id == TOOL_STEPS;
    arguments->verify |= id == TOOL_VERIFY;
    arguments->dense |= id == TOOL_DENSE;
    arguments->cold |= id == TOOL_COLD;
    arguments->json |= id == TOOL_JSON;
    arguments->csv |= id == TOOL_CSV;
    arguments->quick |= id == TOOL_QUICK;
    arguments->no_energy |= id == TOOL_NO_ENERGY;
    arguments->quick |= id == TOOL_STUDY_QUICK;
    arguments->quiet |= id == TOOL_QUIET;
    arguments->model.ignore_exif |= id == TOOL_NO_EXIF;
    arguments->model.copy |= id == TOOL_COPY;
    *help |= id == TOOL_HELP;
}

static bool set_value(tool_arguments *arguments, tool_option id, const char *value)
{
    const tool_option_text *option = &descriptions[id];
    switch (id) {
    case TOOL_OUTPUT:
        arguments->output = value;
        return true;
    case TOOL_IMAGES:
    case TOOL_PICTURES:
        arguments->images = value;
        return true;
    case TOOL_TRUTH:
        arguments->truth = value;
        return true;
    case TOOL_AGAINST:
    case TOOL_AGAINST_PROFILE:
        arguments->against = value;
        return true;
    case TOOL_POWER_METER:
        arguments->power_meter = value;
        return true;
    case TOOL_ON:
        arguments->on = value;
        return true;
    case TOOL_HTML:
        arguments->html = value;
        return true;
    case TOOL_CALIBRATE:
        arguments->calibrate = value;
        return true;
    case TOOL_REPORT:
        arguments->report = value;
        return true;
    case TOOL_BUDGET:
        return parse_budget(option, value, &arguments->budget_unit, &arguments->budget);
    case TOOL_CALIBRATE_COUNT:
        return parse_size(option, value, 16, 1024, &arguments->n_calibrate);
    case TOOL_LABELS:
        arguments->model.labels = value;
        return true;
    case TOOL_ARCH:
        return parse_arch(option, value, &arguments->model.arch);
    case TOOL_CROP_PCT:
        return parse_part(option, value, &arguments->model.crop_pct);
    case TOOL_CLUSTERS:
        return parse_size(option, value, 2, 256, &arguments->n_clusters);
    case TOOL_TOP:
        return parse_size(option, value, 1, 1u << 20, &arguments->top);
    case TOOL_IMAGE_SIZE:
        return parse_size(option, value, 1, 1u << 14, &arguments->model.image_size);
    case TOOL_BATCH:
    case TOOL_BATCH_ONE:
        return parse_size(option, value, 1, 1024, &arguments->batch);
    case TOOL_THREADS:
        return parse_size(option, value, 1, LUTRA_MAX_THREADS, &arguments->n_threads);
    case TOOL_CPUS:
    case TOOL_CPUS_SHARED:
        if (tool_parse_cpus(value, arguments))
            return true;
        tool_error("--%s takes numbers and ranges of up to %d CPUs, as in 0-3,6, not '%s'", option->name,
                   LUTRA_MAX_THREADS, value);
        return false;
    case TOOL_SEED:
        return parse_count(option, value, 0, INT64_MAX, &arguments->seed); /* what JSON tells of it */
    case TOOL_CLUSTERS_LIST:
        return parse_list(option, value, 2, 256, &arguments->clusters_list);
    case TOOL_CLUSTERS_ONE:
        arguments->clusters_list.n = 1;
        return parse_size(option, value, 2, 256, &arguments->clusters_list.at[0]);
    case TOOL_MODES:
        return parse_list(option, value, 0, 0, &arguments->modes);
    case TOOL_THREADS_LIST:
        return parse_list(option, value, 1, LUTRA_MAX_THREADS, &arguments->threads_list);
    case TOOL_BATCHES:
    case TOOL_STUDY_BATCHES:
        return parse_list(option, value, 1, 1024, &arguments->batches);
    case TOOL_REPEAT:
        return parse_size(option, value, 1, 1u << 24, &arguments->repeat);
    case TOOL_CONTEND:
        return parse_size(option, value, 1, LUTRA_MAX_THREADS, &arguments->contend);
    case TOOL_DURATION:
        return parse_duration(option, value, &arguments->duration);
    default:
        return set_choice(arguments, id, value);
    }
}

/* ---- the command line -------------------------------------------------------------------------- */

struct tool_parser {
    poptContext context;
    struct poptOption table[TOOL_N_OPTIONS];
    char *values[TOOL_N_OPTIONS]; /* popt's copies, which the arguments point to */
};

static void explain_mistake(const tool_command *command, poptContext context, int code)
{
    const char *bad = poptBadOption(context, POPT_BADOPTION_NOALIAS);
    if (code != POPT_ERROR_BADOPT) {
        tool_error("%s: %s", bad, code == POPT_ERROR_NOARG ? "needs a value" : poptStrerror(code));
        return;
    }
    char hint[256] = "";
    if (strncmp(bad, "--", 2) == 0) {
        char names[TOOL_N_OPTIONS][32];
        tool_suggestions suggestions = {.word = bad};
        for (size_t i = 0; command->options[i]; i++) {
            snprintf(names[i], sizeof names[i], "--%s", descriptions[command->options[i]].name);
            tool_suggest(&suggestions, names[i]);
        }
        tool_suggestions_text(&suggestions, hint, sizeof hint);
    }
    tool_error("'%s' has no option %s%s; 'lutra help %s' lists them", command->name, bad, hint,
               command->name);
}

static void keep(tool_parser *parser, tool_option id, char *value)
{
    free(parser->values[id]);
    parser->values[id] = value;
}

#define NO_MEMORY INT_MIN /* popt's own codes are small */

/* popt puts the next argument in place of these characters of a value, and takes it away. What it expands is
 * not to be told from what was meant afterwards. */
#define EXPANDED "!#:+"

static bool is_expanded(int argc, const char **argv)
{
    for (int i = 1; i < argc; i++)
        if ((argv[i][0] == '-' || argv[i - 1][0] == '-') && strstr(argv[i], EXPANDED)) {
            tool_error("'%s': the value of an option cannot hold " EXPANDED, argv[i]);
            return true;
        }
    return false;
}

/* popt leaves arguments out for which it has no memory, and says nothing; malloc does. */
static int next_option(const tool_parser *parser)
{
    const int code = parser->context ? poptGetNextOpt(parser->context) : NO_MEMORY;
    const bool has_failed = errno == ENOMEM;
    errno = 0; /* what is done with a value sets it too */
    return has_failed ? NO_MEMORY : code;
}

int tool_parse(const tool_command *command, int argc, const char **argv, tool_parser **result,
               tool_arguments *arguments, bool *help)
{
    *result = NULL;
    *help = false;
    *arguments =
        (tool_arguments){.n_calibrate = 128, .top = 5, .dtype = LUTRA_F32, .against_mode = LUTRA_MODE_F32};
    if (is_expanded(argc, argv))
        return TOOL_USAGE;
    tool_parser *parser = calloc(1, sizeof *parser);
    if (!parser)
        return tool_out_of_memory();
    *result = parser;
    for (size_t i = 0; command->options[i]; i++) {
        const tool_option id = command->options[i];
        const tool_option_text *option = &descriptions[id];
        parser->table[i] = (struct poptOption){.longName = option->name,
                                               .shortName = option->letter,
                                               .argInfo = option->argument ? POPT_ARG_STRING : POPT_ARG_NONE,
                                               .val = (int)id,
                                               .descrip = option->help,
                                               .argDescrip = option->argument};
    }
    /* With one of these popt would take what follows the first input for inputs too. */
    unsetenv("POSIXLY_CORRECT");
    unsetenv("POSIX_ME_HARDER");
    errno = 0;
    parser->context = poptGetContext("lutra", argc, argv, parser->table, 0);
    int code;
    while ((code = next_option(parser)) > 0) {
        const tool_option id = (tool_option)code;
        arguments->given[id] = true;
        if (!descriptions[id].argument) {
            set_flag(arguments, id, help);
            continue;
        }
        keep(parser, id, poptGetOptArg(parser->context));
        if (!parser->values[id] || !set_value(arguments, id, parser->values[id]))
            return TOOL_USAGE;
    }
    if (code == NO_MEMORY)
        return tool_out_of_memory();
    if (code < -1) {
        explain_mistake(command, parser->context, code);
        return TOOL_USAGE;
    }
    if (arguments->n_threads == 0)
        arguments->n_threads = arguments->n_cpus;
    arguments->inputs = poptGetArgs(parser->context);
    while (arguments->inputs && arguments->inputs[arguments->n_inputs])
        arguments->n_inputs++;
    return TOOL_DONE;
}

void tool_parser_free(tool_parser *parser)
{
    if (!parser)
        return;
    for (size_t i = 0; i < TOOL_N_OPTIONS; i++)
        free(parser->values[i]);
    poptFreeContext(parser->context);
    free(parser);
}
