/* Boxes in words. */
#include "nn/utf8.h"
#include "view/graph.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { LONGEST = 40 }; /* characters of a name in a box */

/* Copies up to `most` characters of UTF-8. */
static void put(char *to, size_t room, const char *text, int most)
{
    const size_t size = strlen(text);
    size_t at = 0, taken;
    for (int i = 0; i < most && at < size; i++, at += taken)
        grdi_utf8_next(text + at, size - at, &taken);
    snprintf(to, room, "%.*s%s", (int)at, text, at < size ? "\xe2\x80\xa6" : "");
}

/* "12 ops, 872 parameters, saves 1.2 kB" */
static grdi_text module_text(const grdi_box *box)
{
    char values[48] = "";
    if (box->values)
        snprintf(values, sizeof values, ", %" PRId64 " parameters", box->values);
    grdi_text text;
    snprintf(text.chars, sizeof text.chars, "%" PRId64 " op%s%s, saves %.40s", box->ops,
             box->ops == 1 ? "" : "s", values, grdi_bytes_text(box->saved_bytes).chars);
    return text;
}

static const char *kind_of(const grdi_box *box)
{
    return box->kind == GRDI_BOX_LEAF ? "leaf" : box->op;
}

grdi_box_text grdi_box_text_of(const grdi_box *box)
{
    grdi_box_text text = { .count = 0 };
    char *line = text.line[text.count++];
    const size_t room = sizeof text.line[0];
    put(line, room, box->name ? box->name : kind_of(box), LONGEST);
    line = text.line[text.count++];
    char kind[100] = "";
    if (box->name)
        put(kind, sizeof kind, kind_of(box), 24);
    snprintf(line, room, "%s%s%s %s", kind, box->name ? " \xc2\xb7 " : "",
             grdi_dtype_name(box->dtype), grdi_shape_text(&box->shape).chars);
    if (box->kind == GRDI_BOX_MODULE || box->saved_bytes > 0)
        line = text.line[text.count++];
    if (box->kind == GRDI_BOX_MODULE)
        snprintf(line, room, "%s", module_text(box).chars);
    else if (box->saved_bytes > 0)
        snprintf(line, room, "saves %s", grdi_bytes_text(box->saved_bytes).chars);
    return text;
}

/* How wide text is, in characters. Wide ones of the Far East count twice. */
static double columns_of(const char *text)
{
    const size_t size = strlen(text);
    double columns = 0;
    for (size_t at = 0, taken; at < size; at += taken)
        columns += grdi_utf8_next(text + at, size - at, &taken) >= 0x1100 ? 2 : 1;
    return columns;
}

void grdi_box_measure(grdi_box *box)
{
    const grdi_box_text text = grdi_box_text_of(box);
    double width = 8.1 * columns_of(text.line[0]);
    for (int i = 1; i < text.count; i++)
        width = fmax(width, 6.9 * columns_of(text.line[i]));
    box->width = fmax(70, ceil(width) + 24);
    box->height = 14 + 18 * text.count;
}

static void tell_summary(FILE *out, const char *what, const grdi_summary *s)
{
    if (s->known != GRDI_KNOWN) {
        fprintf(out, "%s: %s\n", what,
                s->known == GRDI_CHANGED ? "changed in place since" : "not computed");
        return;
    }
    fprintf(out, "%s:", what);
    if (!isnan(s->mean))
        fprintf(out, " min %.4g, max %.4g, mean %.4g, norm %.4g", s->min, s->max, s->mean, s->norm);
    if (s->not_finite)
        fprintf(out, "%s %" PRId64 " not finite", isnan(s->mean) ? "" : ",", s->not_finite);
    else if (isnan(s->mean))
        fputs(" none", out);
    fputc('\n', out);
}

grdi_text grdi_saved_text(const grdi_traced_saved *saved)
{
    grdi_text text;
    if (saved->input >= 0)
        snprintf(text.chars, sizeof text.chars, "input %d", saved->input);
    else
        snprintf(text.chars, sizeof text.chars, "%s",
                 saved->input == GRDI_SAVED_OUTPUT ? "output" : "extra");
    return text;
}

static void tell_saved(FILE *out, const grdi_graph *g, const grdi_traced *item)
{
    for (int64_t i = 0; i < item->num_saved; i++) {
        const grdi_traced_saved *saved = &grdi_traced_saved_at(g->trace, item)[i];
        fprintf(out, "%s%s %s (%s)", i ? ", " : "saves ", grdi_saved_text(saved).chars,
                grdi_shape_text(&saved->shape).chars, grdi_bytes_text(saved->bytes).chars);
    }
    fputs(item->num_saved ? "\n" : "", out);
}

void grdi_box_tell(FILE *out, const grdi_graph *g, const grdi_box *box)
{
    const grdi_traced *item = grdi_traced_at(g->trace, box->item);
    fprintf(out, "%s%s%s\n", kind_of(box), box->name ? " " : "", box->name ? box->name : "");
    fprintf(out, "%s %s\n", grdi_dtype_name(box->dtype), grdi_shape_text(&box->shape).chars);
    if (box->kind == GRDI_BOX_MODULE)
        fprintf(out, "%s\n", module_text(box).chars);
    else if (box->module)
        fprintf(out, "in %s\n", box->module);
    tell_summary(out, "values", &box->of_value);
    if (box->kind != GRDI_BOX_CONSTANT)
        tell_summary(out, "gradient", &box->of_gradient);
    if (box->kind == GRDI_BOX_OP) {
        tell_saved(out, g, item);
        if (item->node->derivative->rule)
            fprintf(out, "%s\n", item->node->derivative->rule);
        if (item->node->file)
            fprintf(out, "at %s:%d\n", item->node->file, item->node->line);
    }
}
