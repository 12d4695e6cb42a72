#include "view/graph.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct {
    const char *fill, *line;
} colours[] = {
    [GRDI_BOX_LEAF] = { "#dfe9fd", "#2456cf" },
    [GRDI_BOX_CONSTANT] = { "#eef0f3", "#c3cad4" },
    [GRDI_BOX_OP] = { "#ffffff", "#8a95a5" },
    [GRDI_BOX_MODULE] = { "#f5effb", "#7147b0" },
};

/* Text in quotes of which Graphviz reads no escape; lines end with `newline`. */
static void put(FILE *out, const char *text, const char *newline)
{
    for (; *text; text++)
        if (*text == '\n')
            fputs(newline, out);
        else
            fprintf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
}

static bool write_box(FILE *out, const grdi_graph *g, int64_t b)
{
    const grdi_box *box = &g->boxes[b];
    const grdi_box_text lines = grdi_box_text_of(box);
    char *text = NULL;
    size_t size = 0;
    FILE *told = open_memstream(&text, &size);
    if (!told)
        return grdi_fail_memory(g->op, 1);
    grdi_box_tell(told, g, box);
    const bool fine = fclose(told) == 0;
    fprintf(out, "  n%" PRId64 " [label=\"", b);
    for (int i = 0; i < lines.count; i++) {
        fputs(i ? "\\n" : "", out);
        put(out, lines.line[i], " ");
    }
    fputs("\", tooltip=\"", out);
    put(out, fine ? text : "", "\\n");
    fprintf(out, "\", fillcolor=\"%s\", color=\"%s\"%s];\n", colours[box->kind].fill,
            colours[box->kind].line, b == g->root ? ", penwidth=2.5" : "");
    free(text);
    return fine || grdi_fail_memory(g->op, size);
}

bool grdi_graph_dot(FILE *out, grdi_graph *g)
{
    fputs("digraph gradus {\n  label=\"", out);
    put(out, g->title, " ");
    fputs("\";\n  labelloc=t;\n  fontname=\"sans-serif\";\n"
          "  node [shape=box, style=\"filled,rounded\", fontname=\"sans-serif\"];\n",
          out);
    for (int64_t b = 0; b < g->count; b++)
        if (!write_box(out, g, b))
            return false;
    for (int64_t b = 0; b < g->count; b++)
        for (int64_t i = 0; i < g->boxes[b].num_inputs; i++)
            if (g->boxes[b].inputs[i] >= 0)
                fprintf(out, "  n%" PRId64 " -> n%" PRId64 ";\n", g->boxes[b].inputs[i], b);
    fputs("}\n", out);
    return true;
}
