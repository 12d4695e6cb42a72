/* The command line, by popt. Values are checked by the table, not by popt. */
#include "tools/options.h"
#include "tools/tools.h"

#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* popt's view of the table: what it returns for an option is its row's index + 1. */
static void list_for_popt(struct poptOption list[MAX_OPTIONS + 1], int command)
{
    size_t count = 0;
    for (size_t i = 0; i < num_options(); i++) {
        const option *row = option_at(i);
        if (!(row->commands & command))
            continue;
        const bool is_switch = row->kind == SWITCH, is_flag = is_switch && !row->value[0];
        list[count++] = (struct poptOption){
            .longName = row->name,
            .shortName = letter_of(row),
            .argInfo =
                is_flag ? POPT_ARG_NONE : POPT_ARG_STRING | (is_switch ? POPT_ARGFLAG_OPTIONAL : 0),
            .val = (int)i + 1,
        };
    }
    list[count] = (struct poptOption){ 0 };
}

/* What is written on the command line, to be applied after the configuration file. */
typedef struct given {
    const option *row;
    char *text;
} given;

typedef struct command_line {
    given *items;
    int count;
} command_line;

static bool keep_option(command_line *line, const option *row, char *text)
{
    given *items = realloc(line->items, (size_t)(line->count + 1) * sizeof *items);
    if (!items) {
        free(text);
        return complain("out of memory");
    }
    items[line->count++] = (given){ row, text };
    line->items = items;
    return true;
}

static void free_command_line(command_line *line)
{
    for (int i = 0; i < line->count; i++)
        free(line->items[i].text);
    free(line->items);
}

static bool bad_option(poptContext context, int error, int command)
{
    char nearest[128] = "";
    const char *bad = poptBadOption(context, POPT_BADOPTION_NOALIAS), *written = bad ? bad : "";
    if (error == POPT_ERROR_BADOPT) {
        char name[64];
        const char *start = written + strspn(written, "-");
        snprintf(name, sizeof name, "%.*s", (int)strcspn(start, "="), start);
        return complain("unknown option %.*s%s", (int)strcspn(written, "="), written,
                        name[1] ? nearest_option(name, command, false, nearest) : "");
    }
    if (error == POPT_ERROR_NOARG)
        return complain("%s needs a value", written);
    return complain("%s: %s", written, poptStrerror(error));
}

static bool keep_arguments(options *o, const char **arguments)
{
    while (arguments && arguments[o->num_arguments])
        o->num_arguments++;
    o->arguments = calloc((size_t)o->num_arguments + 1, sizeof *o->arguments);
    for (int i = 0; o->arguments && i < o->num_arguments; i++)
        o->arguments[i] = strdup(arguments[i]);
    return o->arguments || complain("out of memory");
}

static bool split(options *o, command_line *line, int command, int argc, const char **argv)
{
    struct poptOption list[MAX_OPTIONS + 1];
    list_for_popt(list, command);
    poptContext context = poptGetContext(NULL, argc, argv, list, 0);
    bool fine = context;
    int found;
    while (fine && (found = poptGetNextOpt(context)) > 0)
        fine = keep_option(line, option_at((size_t)found - 1), poptGetOptArg(context));
    if (fine && found < -1)
        fine = bad_option(context, found, command);
    fine = fine && keep_arguments(o, poptGetArgs(context));
    poptFreeContext(context);
    return fine;
}

static bool apply(options *o, const command_line *line)
{
    for (int i = 0; i < line->count; i++) {
        const given *g = &line->items[i];
        char label[64];
        snprintf(label, sizeof label, "--%s", g->row->name);
        const bool alone = g->row->kind == SWITCH && !g->text;
        if (!set_option(o, g->row, alone ? "true" : g->text, FROM_COMMAND, label))
            return false;
    }
    return true;
}

static const char *config_named(const command_line *line)
{
    const char *path = NULL;
    for (int i = 0; i < line->count; i++)
        if (strcmp(line->items[i].row->name, "config") == 0)
            path = line->items[i].text;
    return path;
}

int parse_options(options *o, int command, int argc, const char **argv)
{
    command_line line = { 0 };
    bool fine = split(o, &line, command, argc, argv);
    const char *path = config_named(&line), *device = getenv("GRADUS_DEVICE");
    const option *row = option_named("device", command);
    if (fine && row && device && *device)
        fine = set_option(o, row, device, FROM_TABLE, "GRADUS_DEVICE");
    if (fine && path)
        fine = read_config_file(o, path, command);
    fine = fine && apply(o, &line);
    free_command_line(&line);
    return fine ? 0 : EXIT_USAGE;
}
