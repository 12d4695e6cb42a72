#include <gradus/view.h>

#include "nn/utf8.h"
#include "tensor/front.h"
#include "view/drawing.h"
#include "view/page.h"

#include <inttypes.h>
#include <string.h>

/* ---- What is drawn where ---- */

enum {
    LARGEST = 1024, /* queries or keys */
    TOLD = 32,      /* queries whose keys are said in words too */
    GRID = 448,     /* what a large mask is made to fit, in pixels */
    CELL = 28,      /* of a small one */
    MARGIN = 20,
    LINE = 22, /* of the legend */
    LEFT = 68, /* beside the grid, and above it: labels and numbers */
    ABOVE = 44,
    TITLE = 40
};

typedef struct picture {
    FILE *out;
    const bool *seen;
    int64_t queries, keys;
    int64_t pairs, blind; /* pairs that are seen; queries without a key */
    int cell, top;        /* size of a cell; where the grid starts */
} picture;

/* What a cell shows. */
typedef enum look { SEEN, LEFT_OUT, BLIND } look;
static const struct {
    const char *class, *legend;
} looks[] = {
    [SEEN] = { "mask-seen", "the query sees the key" },
    [LEFT_OUT] = { "mask-out", "left out" },
    [BLIND] = { "mask-blind", "a query without a key: its output is 0" },
};

static const char style[] =
    "<style>"
    ".mask-page{fill:#fff;stroke:#d5dbe3}.mask-text{fill:#1f2733}.mask-quiet{fill:#67717f}"
    ".mask-seen{fill:#2563eb;stroke:#2563eb}.mask-out{fill:#e6eaf0;stroke:#e6eaf0}"
    ".mask-blind{fill:#fbcfb0;stroke:#fbcfb0}"
    "@media(prefers-color-scheme:dark){"
    ".mask-page{fill:#12171f;stroke:#303947}.mask-text{fill:#e8ecf2}.mask-quiet{fill:#98a3b3}"
    ".mask-seen{fill:#6ea8fe;stroke:#6ea8fe}.mask-out{fill:#2b3442;stroke:#2b3442}"
    ".mask-blind{fill:#7a4322;stroke:#7a4322}}"
    "</style>\n";

static bool sees(const picture *p, int64_t query, int64_t key)
{
    return p->seen[query * p->keys + key];
}

static bool is_blind(const picture *p, int64_t query)
{
    return !memchr(p->seen + query * p->keys, true, (size_t)p->keys);
}

static look look_of(const picture *p, int64_t query, int64_t key)
{
    return sees(p, query, key) ? SEEN : is_blind(p, query) ? BLIND : LEFT_OUT;
}

static void measure(picture *p, const char *title)
{
    const int64_t most = p->queries > p->keys ? p->queries : p->keys;
    p->cell = most * CELL <= GRID ? CELL : most <= GRID ? (int)(GRID / most) : 1;
    p->top = ABOVE + (title ? TITLE : MARGIN / 2);
    for (int64_t i = 0; i < p->queries; i++)
        p->blind += is_blind(p, i);
    for (int64_t i = 0; i < p->queries * p->keys; i++)
        p->pairs += p->seen[i];
}

static int64_t legend_lines(const picture *p)
{
    return p->blind ? 3 : 2;
}

static int64_t bottom(const picture *p)
{
    return p->top + p->queries * p->cell;
}

static int64_t height(const picture *p)
{
    return bottom(p) + MARGIN + legend_lines(p) * LINE + MARGIN / 2;
}

/* Wide enough for the title in bold, and for the longest line of the legend. */
static int64_t width(const picture *p, const char *title)
{
    const int64_t grid = LEFT + p->keys * p->cell + MARGIN;
    const int64_t text = title ? 2 * MARGIN + 9 * (int64_t)strlen(title) : 0;
    const int64_t legend = p->blind ? 316 : 220;
    return grid > text && grid > legend ? grid : text > legend ? text : legend;
}

/* ---- Words ---- */

/* "Query 3 sees keys 1 to 4, 6." */
static void tell_query(const picture *p, int64_t query)
{
    int64_t count = 0;
    for (int64_t j = 0; j < p->keys; j++)
        count += sees(p, query, j);
    const char *before = count == 1 ? " key " : " keys ";
    fprintf(p->out, " Query %" PRId64 " sees", query);
    for (int64_t from = 0, to; from < p->keys; from = to + 1) {
        for (to = from; to < p->keys && sees(p, query, to);)
            to++;
        if (to == from)
            continue;
        fprintf(p->out, "%s%" PRId64, before, from);
        if (to > from + 1)
            fprintf(p->out, " to %" PRId64, to - 1);
        before = ", ";
    }
    fputs(count == 0 ? " no key." : ".", p->out);
}

static void tell(const picture *p, const char *title)
{
    fputs("<title>", p->out);
    grdi_page_escape(p->out, title ? title : "Which keys each query sees");
    fprintf(p->out,
            "</title>\n<desc>An attention mask: %" PRId64 " queries, a row each, over %" PRId64
            " keys, a column each; %" PRId64 " of %" PRId64 " pairs are seen.",
            p->queries, p->keys, p->pairs, p->queries * p->keys);
    if (p->queries > TOLD)
        fprintf(p->out, " Queries that see no key: %" PRId64 ".", p->blind);
    else
        for (int64_t i = 0; i < p->queries; i++)
            tell_query(p, i);
    fputs("</desc>\n", p->out);
}

/* ---- Shapes ---- */

/* A cell with round corners, which the stroke makes, if it is large enough for them. */
static void draw_cell(const picture *p, int64_t x, int64_t y, int64_t count)
{
    const int inset = p->cell >= 12 ? 3 : p->cell >= 4 ? 1 : 0;
    fprintf(p->out, "M%" PRId64 " %" PRId64 "h%" PRId64 "v%dh-%" PRId64 "z", x + inset, y + inset,
            count * p->cell - 2 * inset, p->cell - 2 * inset, count * p->cell - 2 * inset);
}

/* All cells of one look in one path; small ones that follow each other as one. */
static void draw_cells(const picture *p, look wanted)
{
    const bool joined = p->cell < 4;
    fprintf(p->out, "<path class=\"%s\" stroke-width=\"%d\" stroke-linejoin=\"round\" d=\"",
            looks[wanted].class, p->cell >= 12 ? 4 : 0);
    for (int64_t i = 0; i < p->queries; i++)
        for (int64_t j = 0, next; j < p->keys; j = next) {
            next = j + 1;
            if (look_of(p, i, j) != wanted)
                continue;
            while (joined && next < p->keys && look_of(p, i, next) == wanted)
                next++;
            draw_cell(p, LEFT + j * p->cell, p->top + i * p->cell, next - j);
        }
    fputs("\"/>\n", p->out);
}

static void draw_axes(const picture *p)
{
    const int64_t across = p->keys * p->cell, down = p->queries * p->cell;
    const int64_t step = grdi_tick_step(p->cell, 26);
    fprintf(p->out,
            "<g class=\"mask-text\" font-size=\"13\" text-anchor=\"middle\">"
            "<text x=\"%" PRId64 "\" y=\"%d\">keys</text>"
            "<text transform=\"translate(%d %" PRId64 ") rotate(-90)\">queries</text></g>\n",
            LEFT + across / 2, p->top - 28, MARGIN + 8, p->top + down / 2);
    fputs("<g class=\"mask-quiet\" font-size=\"12\" text-anchor=\"middle\">", p->out);
    for (int64_t j = 0; j < p->keys; j += step)
        fprintf(p->out, "<text x=\"%" PRId64 "\" y=\"%d\">%" PRId64 "</text>",
                LEFT + j * p->cell + p->cell / 2, p->top - 8, j);
    fputs("</g>\n<g class=\"mask-quiet\" font-size=\"12\" text-anchor=\"end\">", p->out);
    for (int64_t i = 0; i < p->queries; i += step)
        fprintf(p->out, "<text x=\"%d\" y=\"%" PRId64 "\">%" PRId64 "</text>", LEFT - 9,
                p->top + i * p->cell + p->cell / 2 + 4, i);
    fputs("</g>\n", p->out);
}

static void draw_legend(const picture *p)
{
    for (int64_t i = 0; i < legend_lines(p); i++) {
        const int64_t y = bottom(p) + MARGIN + i * LINE;
        fprintf(p->out,
                "<path class=\"%s\" stroke-width=\"4\" stroke-linejoin=\"round\" d=\"M%d %" PRId64
                "h10v10h-10z\"/><text class=\"mask-text\" font-size=\"13\" x=\"%d\" y=\"%" PRId64
                "\">%s</text>\n",
                looks[i].class, MARGIN + 3, y + 3, MARGIN + 26, y + 13, looks[i].legend);
    }
}

static void draw(const picture *p, const char *title)
{
    const int64_t w = width(p, title), h = height(p);
    fprintf(p->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"%" PRId64
            "\" height=\"%" PRId64 "\" viewBox=\"0 0 %" PRId64 " %" PRId64
            "\" font-family=\"system-ui,'DejaVu Sans',sans-serif\">\n",
            w, h, w, h);
    tell(p, title);
    fputs(style, p->out);
    fprintf(p->out,
            "<rect class=\"mask-page\" x=\".5\" y=\".5\" width=\"%" PRId64 "\" height=\"%" PRId64
            "\" rx=\"8\"/>\n",
            w - 1, h - 1);
    if (title) {
        fprintf(p->out,
                "<text class=\"mask-text\" font-size=\"15\" font-weight=\"600\" x=\"%d\" y=\"30\">",
                MARGIN);
        grdi_page_escape(p->out, title);
        fputs("</text>\n", p->out);
    }
    draw_axes(p);
    for (int i = 0; i < legend_lines(p); i++)
        draw_cells(p, (look)i);
    draw_legend(p);
    fputs("</svg>\n", p->out);
}

/* ---- The call ---- */

static bool check(const grd_tensor *visible, const char *title)
{
    if (visible->array.dtype != GRD_BOOL)
        return grdi_fail(GRD_ERROR_DTYPE, "mask_svg",
                         "visible is %s, expected bool (weights are drawn by grd_print_matrix)",
                         grdi_dtype_name(visible->array.dtype));
    if (visible->array.rank != 2)
        return grdi_fail(GRD_ERROR_SHAPE, "mask_svg",
                         "visible is %s, expected (L, S) (select one sample and head)",
                         grdi_size_text(visible).chars);
    if (grd_tensor_size(visible, 0) > LARGEST || grd_tensor_size(visible, 1) > LARGEST)
        return grdi_fail(GRD_ERROR_SHAPE, "mask_svg", "visible is %s: at most %d x %d are drawn",
                         grdi_size_text(visible).chars, LARGEST, LARGEST);
    if (title && !grdi_utf8_plain(title, strlen(title)))
        return grdi_fail(GRD_ERROR_ARGUMENT, "mask_svg",
                         "title is no UTF-8, or holds control characters");
    return true;
}

grd_status grd_mask_svg(FILE *out, const grd_tensor *visible, const char *title)
{
    if (!out || !visible)
        grdi_fail_null("mask_svg");
    if (grdi_latched() || !check(visible, title))
        return grdi_self.latched;
    const int64_t queries = grd_tensor_size(visible, 0), keys = grd_tensor_size(visible, 1);
    const size_t bytes = (size_t)(queries * keys) + 1; /* never none */
    bool *seen = grdi_allocate(bytes);
    if (!seen) {
        grdi_fail_memory("mask_svg", bytes);
    } else if (grdi_download("mask_svg", visible, seen)) {
        picture p = { .out = out, .seen = seen, .queries = queries, .keys = keys };
        measure(&p, title);
        draw(&p, title);
        if (ferror(out))
            grdi_fail(GRD_ERROR_IO, "mask_svg", "the picture cannot be written");
    }
    grdi_free(seen, bytes);
    return grdi_self.latched;
}
