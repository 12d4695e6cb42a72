#include "tensor/front.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* More elements than this are shown by the first and last of each dimension; and however many
 * dimensions there are, not more than a few thousand then. */
enum { SHOWN_WHOLE = 1000, SHOWN_AT_MOST = 4096, EDGE = 3, LINE = 80 };

/* As snprintf: what does not fit is counted. */
typedef struct text {
    char *out;
    size_t size, length, line; /* line: where the last one starts */
} text;

static void put(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(text *t, const char *format, ...)
{
    char *at = t->length < t->size ? t->out + t->length : NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(at, at ? t->size - t->length : 0, format, arguments);
    va_end(arguments);
    t->length += length > 0 ? (size_t)length : 0;
}

static void put_line_end(text *t, int lines, int indent)
{
    for (int i = 0; i < lines; i++)
        put(t, "\n");
    t->line = t->length;
    put(t, "%*s", indent, "");
}

/* The shown elements: of one of the types, the others are NULL. */
typedef struct cells {
    const double *reals;
    const int64_t *integers;
    const bool *answers;
    int64_t count;
    const char *format; /* of reals */
    int width;
} cells;

static int cell(const cells *c, int64_t i, char *out, size_t size)
{
    if (c->answers)
        return snprintf(out, size, "%s", c->answers[i] ? "true" : "false");
    if (c->integers)
        return snprintf(out, size, "%lld", (long long)c->integers[i]);
    return snprintf(out, size, isfinite(c->reals[i]) ? c->format : "%g", c->reals[i]);
}

/* Whole numbers as such, others with four digits, in powers of ten where they differ much. */
static const char *format_of(const double *x, int64_t count)
{
    double least = INFINITY, most = 0;
    bool whole = true;
    for (int64_t i = 0; i < count; i++) {
        const double size = fabs(x[i]);
        if (!isfinite(size))
            continue;
        whole = whole && trunc(size) == size;
        most = fmax(most, size);
        least = size > 0 ? fmin(least, size) : least;
    }
    if (whole)
        return most < 1e8 ? "%#.0f" : "%.4e";
    return most >= 1e8 || least < 1e-4 || most > 1000 * least ? "%.4e" : "%.4f";
}

static void set_width(cells *c)
{
    char buffer[64];
    c->width = 0;
    for (int64_t i = 0; i < c->count; i++) {
        const int width = cell(c, i, buffer, sizeof buffer);
        c->width = width > c->width ? width : c->width;
    }
}

/* What is written, and how far that is. */
typedef struct page {
    text *text;
    const cells *cells;
    grd_shape shown;
    bool cut[GRD_MAX_RANK]; /* the dimension's middle is left out */
    int64_t edge, next;
} page;

/* Between two parts of dimension d. */
static void separate(page *p, int d)
{
    const int last = (int)p->shown.rank - 1;
    if (d < last) {
        put(p->text, ",");
        put_line_end(p->text, last - d, d + 1);
    } else if (p->text->length - p->text->line + (size_t)p->cells->width + 3 > LINE) {
        put(p->text, ",");
        put_line_end(p->text, 1, d + 1);
    } else {
        put(p->text, ", ");
    }
}

static void put_dim(page *p, int d)
{
    char buffer[64];
    if (d == p->shown.rank) {
        cell(p->cells, p->next++, buffer, sizeof buffer);
        put(p->text, "%*s", p->cells->width, buffer);
        return;
    }
    put(p->text, "[");
    for (int64_t i = 0; i < p->shown.size[d]; i++) {
        if (i)
            separate(p, d);
        if (p->cut[d] && i == p->edge) {
            put(p->text, "...");
            separate(p, d);
        }
        put_dim(p, d + 1);
    }
    put(p->text, "]");
}

/* How many elements x's shape leaves with `edge` at both ends of each dimension. */
static int64_t count_with(const grd_tensor *x, int64_t edge)
{
    int64_t count = 1;
    for (int d = 0; d < x->array.rank; d++) {
        const int64_t size = x->array.dim[d].size;
        count *= size < 2 * edge + 1 ? size : 2 * edge;
    }
    return count;
}

/* x's first and last `edge` elements along dimension d. */
static const grd_tensor *ends(const grd_tensor *x, int d, int64_t edge)
{
    const grdi_range first = { d, 0, 1, edge };
    const grdi_range last = { d, x->array.dim[d].size - edge, 1, edge };
    const grd_tensor *parts[] = { grdi_slice(x, &first), grdi_slice(x, &last) };
    return parts[0] && parts[1] ? grdi_cat(&(grd_list){ 2, parts }, d) : NULL;
}

/* What is shown of x; sets where it is cut. */
static const grd_tensor *shown_of(const grd_tensor *x, page *p)
{
    p->edge = EDGE;
    while (p->edge > 1 && count_with(x, p->edge) > SHOWN_AT_MOST)
        p->edge--;
    const bool whole = grdi_count(&x->array) <= SHOWN_WHOLE;
    for (int d = 0; x && d < x->array.rank; d++) {
        p->cut[d] = !whole && x->array.dim[d].size > 2 * p->edge;
        x = p->cut[d] ? ends(x, d, p->edge) : x;
    }
    return x;
}

static size_t element_bytes(grd_dtype dtype)
{
    return dtype == GRD_BOOL ? sizeof(bool) : sizeof(double);
}

/* The elements of x in `block`, which has room for them. */
static bool read_cells(const grd_tensor *x, void *block, cells *c)
{
    c->count = grdi_count(&x->array);
    if (x->array.dtype == GRD_I64) {
        c->integers = block;
        return grd_read_i64(x, block, c->count) == GRD_OK;
    }
    if (x->array.dtype == GRD_BOOL) {
        c->answers = block;
        return grd_read_bool(x, block, c->count) == GRD_OK;
    }
    c->reals = block;
    const bool done = grd_read_f64(x, block, c->count) == GRD_OK;
    c->format = done ? format_of(block, c->count) : NULL;
    return done;
}

static void write_head(text *t, const grd_tensor *x)
{
    const grd_shape shape = grdi_array_shape(&x->array);
    if (x->name)
        put(t, "%s ", x->name);
    put(t, "%s %s", grdi_dtype_name(x->array.dtype), grdi_shape_text(&shape).chars);
    if (grdi_device(x) != grd_cpu())
        put(t, " on %s", grdi_device(x)->name);
    put_line_end(t, 1, 0);
}

static bool write_tensor(text *t, const grd_tensor *x)
{
    page p = { .text = t };
    cells c = { 0 };
    const grd_tensor *shown = shown_of(x, &p);
    if (!shown)
        return false;
    const size_t bytes = (size_t)grdi_count(&shown->array) * element_bytes(shown->array.dtype);
    void *block = bytes ? grdi_allocate(bytes) : NULL;
    if (bytes && !block)
        return grdi_fail_memory("format", bytes);
    const bool done = !bytes || read_cells(shown, block, &c);
    if (done) {
        set_width(&c);
        p.cells = &c;
        p.shown = grdi_array_shape(&shown->array);
        write_head(t, x);
        if (grdi_count(&x->array))
            put_dim(&p, 0);
        else
            put(t, "[]");
        put(t, "\n");
    }
    grdi_free(block, bytes);
    return done;
}

/* Into t, with views and reads in a scope of its own. */
static bool format(const char *op, text *t, const grd_tensor *x)
{
    if (!x)
        grdi_fail_nothing(op);
    if (grdi_latched())
        return false;
    grd_scope scope;
    grdi_scope_open(&scope);
    write_tensor(t, x);
    return grd_scope_end(&scope) == GRD_OK;
}

size_t grd_format(const grd_tensor *x, char *buffer, size_t size)
{
    text t = { buffer, size, 0, 0 };
    if (format("format", &t, x))
        return t.length;
    if (size)
        buffer[0] = '\0';
    return 0;
}

grd_status grd_print(FILE *out, const grd_tensor *x)
{
    text t = { 0 };
    if (!out)
        grdi_fail_null("print");
    if (!format("print", &t, x))
        return grdi_self.latched;
    t = (text){ grdi_allocate(t.length + 1), t.length + 1, 0, 0 };
    const size_t size = t.size;
    if (!t.out)
        grdi_fail_memory("print", size);
    else if (format("print", &t, x) && fwrite(t.out, 1, t.length, out) != t.length)
        grdi_fail(GRD_ERROR_IO, "print", "the stream cannot be written to");
    grdi_free(t.out, size);
    return grdi_self.latched;
}
