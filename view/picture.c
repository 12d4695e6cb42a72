#include "view/picture.h"
#include "tensor/front.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

int64_t grdi_picture_cells(const grdi_picture *p)
{
    return p->down * p->across * p->rows * p->columns;
}

static bool read_sizes(grdi_picture *p, const grd_tensor *matrix)
{
    const int64_t rank = grd_tensor_rank(matrix);
    if (rank < 2 || rank > 4)
        return grdi_fail(GRD_ERROR_SHAPE, p->op,
                         "matrix is %s, expected (rows, columns), or up to two dimensions of such "
                         "matrices before (select what is to be seen)",
                         grdi_size_text(matrix).chars);
    p->down = rank > 3 ? grd_tensor_size(matrix, 0) : 1;
    p->across = rank > 2 ? grd_tensor_size(matrix, rank - 3) : 1;
    p->rows = grd_tensor_size(matrix, -2);
    p->columns = grd_tensor_size(matrix, -1);
    p->dtype = matrix->array.dtype;
    return true;
}

static bool read_values(grdi_picture *p, const grd_tensor *matrix)
{
    p->values = grdi_scratch(p->op, (size_t)grdi_picture_cells(p), sizeof(double));
    const grd_tensor *x = p->dtype == GRD_F64 ? matrix : grdi_cast(matrix, GRD_F64);
    return p->values && x && grdi_download(p->op, x, p->values);
}

static bool fits(const grd_tensor *attend, const grd_tensor *matrix)
{
    const int64_t rank = grd_tensor_rank(attend);
    for (int64_t i = 1; i <= rank; i++) {
        const int64_t size = grd_tensor_size(attend, -i);
        if (i > grd_tensor_rank(matrix) || (size != 1 && size != grd_tensor_size(matrix, -i)))
            return false;
    }
    return true;
}

static bool check_attend(const grdi_picture *p, const grd_tensor *matrix)
{
    const grd_tensor *attend = p->options->attend;
    if (attend && attend->array.dtype != GRD_BOOL)
        return grdi_fail(GRD_ERROR_DTYPE, p->op,
                         "attend is %s, expected bool, true where a cell counts",
                         grdi_dtype_name(attend->array.dtype));
    if (attend && !fits(attend, matrix))
        return grdi_fail(GRD_ERROR_SHAPE, p->op, "attend is %s, which does not broadcast to %s",
                         grdi_size_text(attend).chars, grdi_size_text(matrix).chars);
    return true;
}

/* Leaves the colours of masked cells at GRDI_MASKED, and those of the others at 0. */
static bool read_attend(grdi_picture *p, const grd_tensor *matrix)
{
    const size_t count = (size_t)grdi_picture_cells(p);
    p->colours = grdi_scratch(p->op, count, 1);
    if (!p->colours || !check_attend(p, matrix))
        return false;
    memset(p->colours, 0, count);
    if (!p->options->attend)
        return true;
    bool *attend = grdi_scratch(p->op, count, sizeof(bool));
    const grd_tensor *x = grd_expand(p->options->attend, grd_tensor_shape(matrix));
    if (!attend || !x || !grdi_download(p->op, x, attend))
        return false;
    for (size_t i = 0; i < count; i++)
        p->colours[i] = attend[i] ? 0 : GRDI_MASKED;
    return true;
}

static void find_ends(grdi_picture *p)
{
    p->least = p->largest = -1;
    for (int64_t i = 0; i < grdi_picture_cells(p); i++) {
        const double x = p->values[i];
        const bool masked = p->colours[i] == GRDI_MASKED;
        p->masked += masked;
        p->nans += !masked && isnan(x);
        if (masked || !isfinite(x))
            continue;
        p->least = p->least < 0 || x < p->values[p->least] ? i : p->least;
        p->largest = p->largest < 0 || x > p->values[p->largest] ? i : p->largest;
    }
}

/* The ends that were asked for, or those of the values and 0. */
static void set_scale(grdi_picture *p)
{
    const grd_matrix_options *o = p->options;
    const bool given = o->low != o->high;
    p->low = given ? o->low : p->least < 0 ? 0 : fmin(0, p->values[p->least]);
    p->high = given ? o->high : p->largest < 0 ? 0 : fmax(0, p->values[p->largest]);
    if (o->two_sided) {
        p->high = fmax(-p->low, p->high);
        p->low = -p->high;
    }
}

static int shade_of(const grdi_picture *p, double x)
{
    const double range = p->high / 2 - p->low / 2; /* halves: the difference may be too large */
    if (!(range > 0))                              /* nothing but 0 */
        return p->options->two_sided ? GRDI_SHADES / 2 : 0;
    const double part = x <= p->low ? 0 : x >= p->high ? 1 : (x / 2 - p->low / 2) / range;
    return (int)lrint(part * (GRDI_SHADES - 1));
}

static void set_colours(grdi_picture *p)
{
    for (int64_t i = 0; i < grdi_picture_cells(p); i++) {
        const double x = p->values[i];
        unsigned char *colour = &p->colours[i];
        if (*colour != GRDI_MASKED) {
            *colour = isnan(x) ? GRDI_NAN : (unsigned char)shade_of(p, x);
            p->beyond += x < p->low || x > p->high;
        }
        p->used[*colour] = true;
    }
}

static bool check_options(const grdi_picture *p)
{
    const grd_matrix_options *o = p->options;
    if (!isfinite(o->low) || !isfinite(o->high) || o->low > o->high)
        return grdi_fail(GRD_ERROR_ARGUMENT, p->op,
                         "low is %g, high is %g: expected finite numbers, low below high (or both "
                         "0: the values' own)",
                         o->low, o->high);
    if (o->cell < 0 || o->width < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, p->op, "%s is %" PRId64 ", expected 0 or more",
                         o->cell < 0 ? "cell" : "width", o->cell < 0 ? o->cell : o->width);
    return true;
}

bool grdi_picture_read(grdi_picture *p, const char *op, const grd_tensor *matrix,
                       const grd_matrix_options *options)
{
    static const grd_matrix_options defaults = { 0 };
    *p = (grdi_picture){ .op = op, .options = options ? options : &defaults };
    if (!check_options(p) || !read_sizes(p, matrix) || !read_values(p, matrix) ||
        !read_attend(p, matrix))
        return false;
    find_ends(p);
    set_scale(p);
    set_colours(p);
    return true;
}

/* ---- Words ---- */

void grdi_picture_label(char out[GRDI_LABEL], const char *const *labels, int64_t at,
                        int64_t columns)
{
    if (!labels)
        snprintf(out, GRDI_LABEL, "%" PRId64, at);
    else
        grdi_label(out, labels[at] ? labels[at] : "", columns);
}

void grdi_picture_caption(char out[GRDI_LABEL], const grdi_picture *p, int64_t matrix)
{
    const char *const *captions = p->options->captions;
    if (captions || p->down == 1)
        grdi_picture_label(out, captions, matrix, GRDI_LABEL);
    else
        snprintf(out, GRDI_LABEL, "%" PRId64 ", %" PRId64, matrix / p->across, matrix % p->across);
}

grdi_bytes *grdi_picture_text(const grdi_picture *p,
                              void (*write)(const grdi_picture *p, FILE *out))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return grdi_fail_memory(p->op, 1);
    write(p, out);
    const bool full = ferror(out) | fclose(out);
    grdi_bytes *bytes = full ? grdi_fail_memory(p->op, size) : grdi_bytes_create(p->op, size);
    if (bytes)
        memcpy(bytes->data, text, size);
    free(text);
    return bytes;
}
