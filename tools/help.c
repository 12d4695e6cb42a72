/* --help: a page in plain text, without what is looked up but rarely. */
#include "tools/page.h"

#include <string.h>

static void section(page *p, const char *title)
{
    fprintf(p->out, "\n%c", title[0]);
    for (const char *c = title + 1; *c; c++)
        fputc(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c, p->out);
    fputc('\n', p->out);
}

static void synopsis(page *p, const char *call, const char *arguments)
{
    fprintf(p->out, "usage: %s%s%s\n", call, *arguments ? " " : "", arguments);
}

static void paragraph(page *p, const char *text, size_t size)
{
    fprintf(p->out, "\n%.*s\n", (int)size, text);
}

static void group(page *p, const char *title)
{
    fprintf(p->out, "\n%s\n", title);
}

static void item(page *p, const char *term, const char *text)
{
    const int width = 26;
    if ((int)strlen(term) > width)
        fprintf(p->out, "  %s\n  %*s  %s\n", term, width, "", text);
    else
        fprintf(p->out, "  %-*s  %s\n", width, term, text);
}

/* What it is without the option stands behind it: [0.001]. */
static void option_item(page *p, const option *row)
{
    char term[96], text[256];
    const char letter = letter_of(row);
    snprintf(term, sizeof term, "%s--%s%s%s", letter ? (char[]){ '-', letter, ',', ' ', '\0' } : "",
             row->name, *row->value ? " " : "", row->value);
    const bool shown = row->fallback && row->value[0];
    snprintf(text, sizeof text, "%s%s%s%s", row->help, shown ? " [" : "",
             shown ? row->fallback : "", shown ? "]" : "");
    item(p, term, text);
}

static void example(page *p, const char *call, const char *remark)
{
    if (remark)
        fprintf(p->out, "  %-45s  %s\n", call, remark);
    else
        fprintf(p->out, "  %s\n", call);
}

static const page_style style = {
    .section = section,
    .synopsis = synopsis,
    .paragraph = paragraph,
    .group = group,
    .option = option_item,
    .item = item,
    .example = example,
};

void print_help(FILE *out, const command *c)
{
    tell_help(&(page){ .out = out, .style = &style, .about = c });
}

bool starts_with(const command *c, const char *word)
{
    const size_t length = strlen(word);
    return strncmp(c->name, word, length) == 0 && strchr(" ", c->name[length]);
}

void print_usage(FILE *out, const char *word)
{
    fprintf(out, "usage: gradus %s%sCOMMAND [options]\n\n", word, *word ? " " : "");
    for (size_t i = 0; command_at(i); i++)
        if (!*word || starts_with(command_at(i), word))
            fprintf(out, "  %-17s  %.*s\n", command_at(i)->name,
                    (int)strcspn(command_at(i)->summary, "\n"), command_at(i)->summary);
    fprintf(out, "\ngradus help COMMAND lists its options; gradus --version what it is made of.\n");
}

/* The arguments as one name: "attention run". */
const char *named_command(const options *o, char buffer[64])
{
    buffer[0] = '\0';
    for (int i = 0; i < o->num_arguments; i++) {
        const size_t used = strlen(buffer);
        snprintf(buffer + used, 64 - used, "%s%s", i ? " " : "", o->arguments[i]);
    }
    return buffer;
}

int run_help(options *o)
{
    char name[64];
    const command *c = command_named(named_command(o, name));
    if (c) {
        print_help(stdout, c);
        return 0;
    }
    for (size_t i = 0; command_at(i); i++)
        if (!*name || starts_with(command_at(i), name)) {
            print_usage(stdout, name);
            return 0;
        }
    complain("there is no command \"%s\"", name);
    return EXIT_USAGE;
}
