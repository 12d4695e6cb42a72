/* --help, from the table of options. */
#include "tools/tools.h"

#include <string.h>

/* "(0.001)": the value without the option. */
static void print_row(FILE *out, const option *row)
{
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", row->name, *row->value ? " " : "", row->value);
    const int width = 26;
    if ((int)strlen(left) > width)
        fprintf(out, "  %s\n  %*s", left, width, "");
    else
        fprintf(out, "  %-*s", width, left);
    fprintf(out, "  %s", row->help);
    if (row->fallback && row->value[0])
        fprintf(out, " [%s]", row->fallback);
    fputc('\n', out);
}

static void print_group(FILE *out, const option_group *group, int command)
{
    bool titled = false;
    for (size_t i = 0; i < group->count; i++) {
        if (!(group->rows[i].commands & command))
            continue;
        if (!titled)
            fprintf(out, "\n%s\n", group->title);
        titled = true;
        print_row(out, &group->rows[i]);
    }
}

void print_help(FILE *out, const command *c)
{
    fprintf(out, "usage: gradus %s %s\n\n%s\n\nExamples\n%s", c->name, c->arguments, c->summary,
            c->examples);
    for (size_t g = 0; g < num_option_groups; g++)
        print_group(out, &option_groups[g], c->bit);
}
