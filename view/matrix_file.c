#define _GNU_SOURCE /* newlocale, strcasecmp */
#include "tensor/front.h"
#include "view/picture.h"

#include <locale.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *ending;
    grdi_bytes *(*make)(const grdi_picture *p);
    bool image;
} formats[] = {
    { ".png", grdi_picture_png, true },
    { ".svg", grdi_picture_svg, true },
    { ".csv", grdi_picture_csv, false },
};

static int format_of(const char *op, const char *path)
{
    const char *dot = strrchr(path, '.');
    for (int i = 0; i < (int)(sizeof formats / sizeof formats[0]); i++)
        if (dot && strcasecmp(dot, formats[i].ending) == 0)
            return i;
    grdi_fail(GRD_ERROR_ARGUMENT, op, "%s: expected a path that ends in .png, .svg or .csv", path);
    return -1;
}

static void write_file(const char *op, const char *path, const grd_tensor *matrix,
                       const grd_matrix_options *options)
{
    grdi_picture p;
    const int format = format_of(op, path);
    if (format < 0 || !grdi_picture_read(&p, op, matrix, options) ||
        (formats[format].image && !grdi_picture_lay_out(&p)))
        return;
    const grdi_bytes *bytes = formats[format].make(&p);
    if (bytes && !grdi_latched())
        grdi_file_write(op, path, bytes->data, bytes->size);
}

grd_status grd_view_matrix(const char *path, const grd_tensor *matrix,
                           const grd_matrix_options *options)
{
    static const char op[] = "view_matrix";
    if (!path || !matrix)
        grdi_fail_null(op);
    if (grdi_latched())
        return grdi_self.latched;
    /* Numbers have points in files, whatever the program's language. */
    const locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain) {
        grdi_fail_memory(op, 1);
        return grdi_self.latched;
    }
    const locale_t before = uselocale(plain);
    grd_scope scope;
    grdi_scope_open(&scope);
    write_file(op, path, matrix, options);
    grdi_scope_close(&scope);
    uselocale(before);
    freelocale(plain);
    return grdi_self.latched;
}
