#include "nn/files.h"
#include "view/graph.h"
#include "view/page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TITLE = 44, LEGEND = 34 };

static const char style[] =
    "<style>"
    ".g-page{fill:#fff;stroke:#d5dbe3}.g-text{fill:#1f2733}.g-quiet{fill:#5c6675}"
    ".g-edge{fill:none;stroke:#8a95a5;stroke-width:1.4}.g-tip{fill:#8a95a5}"
    ".g-op{fill:#fff;stroke:#8a95a5}.g-leaf{fill:#dfe9fd;stroke:#2456cf}"
    ".g-constant{fill:#eef0f3;stroke:#c3cad4}.g-module{fill:#f5effb;stroke:#7147b0}"
    ".g-root{stroke-width:2.6}.g-bad{fill:#fde7e4;stroke:#bb2f26}"
    "@media(prefers-color-scheme:dark){"
    ".g-page{fill:#12171f;stroke:#303947}.g-text{fill:#e8ecf2}.g-quiet{fill:#9ba6b6}"
    ".g-edge{stroke:#6b7789}.g-tip{fill:#6b7789}"
    ".g-op{fill:#1a212c;stroke:#6b7789}.g-leaf{fill:#1c2c48;stroke:#82b1ff}"
    ".g-constant{fill:#20262f;stroke:#485364}.g-module{fill:#2a2239;stroke:#b79bf2}"
    ".g-bad{fill:#43201d;stroke:#ff877d}}"
    "</style>\n";

static const struct {
    const char *class, *legend;
} kinds[] = {
    [GRDI_BOX_LEAF] = { "g-leaf", "collects a gradient" },
    [GRDI_BOX_CONSTANT] = { "g-constant", "constant" },
    [GRDI_BOX_OP] = { "g-op", "op" },
    [GRDI_BOX_MODULE] = { "g-module", "module" },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- Edges ---- */

/* Straight down through a layer, and a curve that leaves and enters upright between two. */
static void draw_way(FILE *out, const grdi_way *way)
{
    const double *at = way->points;
    fprintf(out, "<path class=\"g-edge\" d=\"M%.1f %.1f", at[0], at[1]);
    for (int64_t i = 1; i < way->num_points; i++) {
        const double *from = at + 2 * i - 2, *to = at + 2 * i;
        const bool last = i + 1 == way->num_points;
        const double y = to[1] - (last ? 6 : 0), middle = (from[1] + y) / 2;
        if (from[0] == to[0])
            fprintf(out, "V%.1f", y);
        else
            fprintf(out, "C%.1f %.1f %.1f %.1f %.1f %.1f", from[0], middle, to[0], middle, to[0],
                    y);
    }
    const double *end = at + 2 * (way->num_points - 1);
    fprintf(out, "\"/><path class=\"g-tip\" d=\"M%.1f %.1fl-4 -8h8z\"/>\n", end[0], end[1]);
}

/* ---- Boxes ---- */

/* "a box of ...", escaped, as what a pointer shows. */
static bool draw_words(FILE *out, const grdi_graph *g, const grdi_box *box)
{
    char *text = NULL;
    size_t size = 0;
    FILE *told = open_memstream(&text, &size);
    if (!told)
        return grdi_fail_memory(g->op, 1);
    grdi_box_tell(told, g, box);
    const bool fine = fclose(told) == 0;
    fputs("<title>", out);
    for (char *line = fine ? text : NULL, *end; line && *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        grdi_page_escape(out, line);
        fputs(end[1] ? "\n" : "", out);
    }
    fputs("</title>", out);
    free(text);
    return fine || grdi_fail_memory(g->op, size);
}

static bool draw_box(FILE *out, const grdi_graph *g, const grdi_box *box)
{
    const bool bad = box->of_value.not_finite || box->of_gradient.not_finite;
    const bool root = box == &g->boxes[g->root];
    const grdi_box_text text = grdi_box_text_of(box);
    fputs("<g>", out);
    if (!draw_words(out, g, box))
        return false;
    fprintf(out,
            "<rect class=\"%s%s%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
            "rx=\"%d\"/>",
            kinds[box->kind].class, root ? " g-root" : "", bad ? " g-bad" : "", box->x, box->y,
            box->width, box->height, box->kind == GRDI_BOX_OP ? 8 : 3);
    for (int i = 0; i < text.count; i++) {
        fprintf(out, "<text class=\"%s\" font-size=\"%d\"%s x=\"%.1f\" y=\"%.1f\">",
                i ? "g-quiet" : "g-text", i ? 12 : 13, i ? "" : " font-weight=\"600\"",
                box->x + box->width / 2, box->y + 20 + 18 * i);
        grdi_page_escape(out, text.line[i]);
        fputs("</text>", out);
    }
    fputs("</g>\n", out);
    return true;
}

/* ---- The picture ---- */

static bool has_kind(const grdi_graph *g, grdi_box_kind kind)
{
    for (int64_t b = 0; b < g->count; b++)
        if (g->boxes[b].kind == kind)
            return true;
    return false;
}

static void draw_legend(FILE *out, const grdi_graph *g, double y)
{
    double x = 28;
    for (int k = 0; k < KINDS; k++) {
        if (!has_kind(g, (grdi_box_kind)k))
            continue;
        fprintf(out,
                "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"14\" height=\"14\" rx=\"3\"/>"
                "<text class=\"g-quiet\" font-size=\"12\" text-anchor=\"start\" x=\"%.1f\" "
                "y=\"%.1f\">%s</text>\n",
                kinds[k].class, x, y, x + 21, y + 11.5, kinds[k].legend);
        x += 44 + 7 * (double)strlen(kinds[k].legend);
    }
}

static void begin(FILE *out, const grdi_graph *g)
{
    const double legend = 56 + 44 * KINDS + 7 * 36;
    const double width = ceil(fmax(fmax(g->width, legend), 60 + 9.2 * (double)strlen(g->title)));
    const double height = ceil(g->height + TITLE + LEGEND);
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%.0f\" "
            "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
            "font-family=\"system-ui,'DejaVu Sans',sans-serif\">\n<title>",
            width, height, width, height);
    grdi_page_escape(out, g->title);
    fprintf(out,
            "</title>\n<desc>A graph of %" PRId64
            " boxes; values flow down, from leaves to the root.</desc>\n",
            g->count);
    fputs(style, out);
    fprintf(out,
            "<rect class=\"g-page\" x=\".5\" y=\".5\" width=\"%.0f\" height=\"%.0f\" rx=\"8\"/>\n"
            "<text class=\"g-text\" font-size=\"15\" font-weight=\"600\" x=\"28\" y=\"32\">",
            width - 1, height - 1);
    grdi_page_escape(out, g->title);
    fputs("</text>\n", out);
    draw_legend(out, g, height - LEGEND);
    fprintf(out, "<g text-anchor=\"middle\" transform=\"translate(%.1f %d)\">\n",
            (width - g->width) / 2, TITLE - 14);
}

bool grdi_graph_svg(FILE *out, grdi_graph *g)
{
    grdi_layout layout;
    for (int64_t b = 0; b < g->count; b++)
        grdi_box_measure(&g->boxes[b]);
    if (!grdi_graph_layout(g, &layout))
        return false;
    begin(out, g);
    for (int64_t i = 0; i < layout.num_ways; i++)
        draw_way(out, &layout.ways[i]);
    bool done = true;
    for (int64_t b = 0; b < g->count && done; b++)
        done = draw_box(out, g, &g->boxes[b]);
    fputs("</g>\n</svg>\n", out);
    return done;
}
