/* The manual's pages in roff, for man. */
#include "nn/files.h"
#include "tools/folder.h"
#include "tools/page.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 66 }; /* of an example, so that 80 hold it */

static void put(FILE *out, char c)
{
    static const char special[] = "\\'`^~\"";
    static const char *const names[] = { "e", "(aq", "(ga", "(ha", "(ti", "(dq" };
    const char *found = strchr(special, c);
    if (found)
        fprintf(out, "\\%s", names[found - special]);
    else
        fputc(c, out);
}

/* What is typed: its dashes can be copied. */
static void put_typed(FILE *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        fputs(text[i] == '-' ? "\\" : "", out);
        put(out, text[i]);
    }
}

/* The length of the --option that the text starts with; 0 if with none. */
static size_t option_length(const char *text, size_t size)
{
    size_t length = 2;
    if (size < 3 || strncmp(text, "--", 2) != 0)
        return 0;
    while (length < size && (isalnum((unsigned char)text[length]) || text[length] == '-'))
        length++;
    return length > 2 ? length : 0;
}

/* A line ends at a space; a dot at its start would be a request. */
static size_t put_between(FILE *out, char c, char next, size_t column)
{
    const bool breaks = c == ' ' && column >= 60;
    put(out, breaks ? '\n' : c);
    fputs(breaks && next == '.' ? "\\&" : "", out);
    return breaks ? 0 : column + 1;
}

/* Text to be filled, the options in it bold. */
static void put_text(FILE *out, const char *text, size_t size)
{
    size_t column = 0;
    fputs(size && text[0] == '.' ? "\\&" : "", out);
    for (size_t i = 0; i < size; i++) {
        const size_t length = option_length(text + i, size - i);
        if (length) {
            fputs("\\fB", out);
            put_typed(out, text + i, length);
            fputs("\\fR", out);
            i += length - 1;
            column += length;
        } else {
            column = put_between(out, text[i], text[i + 1], column);
        }
    }
    fputc('\n', out);
}

/* FILE stands for something and is in italics; what is typed is bold: words, choices, options. */
static void put_word(FILE *out, const char *word, size_t size)
{
    const char font = isupper((unsigned char)word[0]) ? 'I' : 'B';
    fprintf(out, "\\f%c", font);
    for (size_t i = 0; i < size; i++)
        if (word[i] == '|')
            fprintf(out, "\\fR|\\f%c", font);
        else
            put_typed(out, word + i, 1);
    fputs("\\fR", out);
}

/* "[FILE] [options]": brackets and dots are neither. */
static void put_arguments(FILE *out, const char *text)
{
    while (*text) {
        const size_t plain = strspn(text, "[]. "), word = strcspn(text + plain, "[] ");
        fprintf(out, "%.*s", (int)plain, text);
        if (word && strncmp(text + plain, "options", word) == 0)
            fprintf(out, "\\fI%.*s\\fR", (int)word, text + plain);
        else if (word)
            put_word(out, text + plain, word);
        text += plain + word;
    }
}

static void section(page *p, const char *title)
{
    const char *quote = strchr(title, ' ') ? "\"" : "";
    fprintf(p->out, ".SH %s%s%s\n", quote, title, quote);
    p->begun = false;
}

static void begin_paragraph(page *p)
{
    if (p->begun)
        fputs(".PP\n", p->out);
    p->begun = true;
}

static void synopsis(page *p, const char *call, const char *arguments)
{
    if (p->begun)
        fputs(".br\n", p->out);
    p->begun = true;
    fputs("\\fB", p->out);
    put_typed(p->out, call, strlen(call));
    fputs(*arguments ? "\\fR " : "\\fR", p->out);
    put_arguments(p->out, arguments);
    fputc('\n', p->out);
}

/* The dash behind a page's name is one that man looks for. */
static void paragraph(page *p, const char *text, size_t size)
{
    const char *dash = strstr(text, " - ");
    begin_paragraph(p);
    if (dash && strncmp(text, "gradus", 6) == 0) {
        put_typed(p->out, text, (size_t)(dash - text));
        fputs(" \\- ", p->out);
        size -= (size_t)(dash + 3 - text);
        text = dash + 3;
    }
    put_text(p->out, text, size);
}

static void group(page *p, const char *title)
{
    fprintf(p->out, ".SS %s\n", title);
    p->begun = false;
}

static void item(page *p, const char *term, const char *text)
{
    fputs(".TP\n", p->out);
    put_arguments(p->out, term);
    fputc('\n', p->out);
    put_text(p->out, text, strlen(text));
    p->begun = true;
}

/* "[0,1)" in words: "from 0 to below 1". */
static void put_range(FILE *out, const char *range)
{
    char low[32], high[32], open, close;
    if (sscanf(range, "%c%31[^,],%31[^])]%c", &open, low, high, &close) != 4)
        return;
    const bool ends = strcmp(high, "inf") != 0;
    fprintf(out, "%s %s", open == '(' ? "above" : ends ? "from" : "at least", low);
    if (ends)
        fprintf(out, " %s %s", close == ']' ? "to" : "to below", high);
}

/* What holds without the option, and what may be given. */
static void put_limits(FILE *out, const option *row)
{
    if (!row->value[0] || (!row->fallback && !row->range))
        return;
    fputs(".br\n[", out);
    if (row->fallback) {
        fputs("default ", out);
        put_typed(out, row->fallback, strlen(row->fallback));
    }
    fputs(row->fallback && row->range ? ", " : "", out);
    if (row->range)
        put_range(out, row->range);
    fputs("]\n", out);
}

static void put_option_name(FILE *out, const option *row)
{
    if (letter_of(row))
        fprintf(out, "\\fB\\-%c\\fR, ", letter_of(row));
    fputs("\\fB\\-\\-", out);
    put_typed(out, row->name, strlen(row->name));
    fputs("\\fR", out);
    if (row->value[0]) {
        fputs(row->kind == SWITCH ? " [" : " ", out);
        put_word(out, row->value, strlen(row->value));
        fputs(row->kind == SWITCH ? "]" : "", out);
    }
    fputc('\n', out);
}

static void option_item(page *p, const option *row)
{
    fputs(".TP\n", p->out);
    put_option_name(p->out, row);
    put_text(p->out, row->help, strlen(row->help));
    put_limits(p->out, row);
    p->begun = true;
}

/* Breaks a long call before an option, as a shell takes it. */
static void put_call(FILE *out, const char *call)
{
    size_t column = 0;
    while (*call) {
        const char *next = strstr(call + 1, " --");
        const size_t size = next ? (size_t)(next - call) : strlen(call);
        if (column && column + size > MOST_COLUMNS) {
            fputs(" \\e\n   ", out);
            column = 3;
        }
        put_typed(out, call, size);
        column += size;
        call += size;
    }
    fputc('\n', out);
}

static void example(page *p, const char *call, const char *remark)
{
    begin_paragraph(p);
    if (remark) {
        char text[256];
        snprintf(text, sizeof text, "%c%s:", toupper((unsigned char)*remark), remark + 1);
        put_text(p->out, text, strlen(text));
        fputs(".PP\n", p->out);
    }
    fputs(".RS 4\n.EX\n", p->out);
    put_call(p->out, call);
    fputs(".EE\n.RE\n", p->out);
}

static void reference(page *p, const char *name, bool last)
{
    fputs(".BR ", p->out);
    put_typed(p->out, name, strlen(name));
    fprintf(p->out, " (1)%s\n", last ? "" : ",");
}

static const page_style style = {
    .section = section,
    .synopsis = synopsis,
    .paragraph = paragraph,
    .group = group,
    .option = option_item,
    .item = item,
    .example = example,
    .reference = reference,
};

static void print_manual(FILE *out, const command *c)
{
    char name[64];
    page_of(c, name);
    for (char *at = name; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    fprintf(out, ".TH %s 1 %s \"gradus %s\" \"Gradus\"\n", name, GRADUS_DATE, grd_version());
    tell_page(&(page){ .out = out, .style = &style, .about = c });
}

/* folder/gradus-train.1 */
static bool write_manual(const char *folder, const command *c)
{
    char path[4096], name[64], *text = NULL;
    size_t size = 0;
    if (snprintf(path, sizeof path, "%s/%s.1", folder, page_of(c, name)) >= (int)sizeof path)
        return complain("%s: the name is too long", folder);
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return complain("%s", system_error());
    print_manual(out, c);
    bool done = fclose(out) == 0 || complain("%s", system_error());
    done = done && grdi_file_write("manual", path, text, size);
    free(text);
    return done;
}

static int write_manuals(const char *folder)
{
    grd_scope *scope = grd_scope_begin();
    bool fine = make_folder(folder) && write_manual(folder, &whole_program);
    for (size_t i = 0; fine && command_at(i); i++)
        fine = write_manual(folder, command_at(i));
    if (grd_scope_end(scope) != GRD_OK)
        return complain_of_library();
    return fine ? 0 : EXIT_FAILED;
}

int run_manual(options *o)
{
    char name[64];
    const command *c = o->num_arguments ? command_named(named_command(o, name)) : &whole_program;
    if (c && o->output && o->num_arguments)
        return complain("--output writes all pages: name no COMMAND"), EXIT_USAGE;
    if (!c)
        return complain("there is no command \"%s\"", name), EXIT_USAGE;
    if (o->output)
        return write_manuals(o->output);
    print_manual(stdout, c);
    return 0;
}
