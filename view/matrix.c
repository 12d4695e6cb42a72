#include <gradus/view.h>

#include "tensor/object.h"
#include "view/picture.h"

#include <math.h>

/* How dark a value is drawn, of what is largest; twice, since a character is half as wide as high.
 */
static void put(FILE *out, double value, double largest)
{
    const double part = value >= largest ? value > 0 : value / largest; /* an infinite one too */
    const char *shade = isnan(value) ? "?" : grdi_shade(part);
    fputs(shade, out);
    fputs(shade, out);
}

static double largest_of(const double *values, int64_t count)
{
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = values[i] > largest ? values[i] : largest;
    return largest;
}

static void draw(FILE *out, const double *values, int64_t rows, int64_t columns)
{
    const double largest = largest_of(values, rows * columns);
    for (int64_t i = 0; i < rows; i++) {
        fputc('|', out);
        for (int64_t j = 0; j < columns; j++)
            put(out, values[i * columns + j], largest);
        fputs("|\n", out);
    }
    fprintf(out, "%lld x %lld, darkest: %.4g\n", (long long)rows, (long long)columns, largest);
}

grd_status grd_print_matrix(FILE *out, const grd_tensor *matrix)
{
    if (!out || !matrix)
        grdi_fail_null("print_matrix");
    else if (grd_tensor_rank(matrix) != 2)
        grdi_fail(GRD_ERROR_SHAPE, "print_matrix",
                  "wants two dimensions, not %lld (select one matrix of them)",
                  (long long)grd_tensor_rank(matrix));
    if (grdi_latched())
        return grdi_self.latched;

    const size_t bytes = (size_t)grd_tensor_count(matrix) * sizeof(double);
    double *values = grdi_allocate(bytes);
    if (!values)
        grdi_fail_memory("print_matrix", bytes);
    else if (grd_read_f64(matrix, values, grd_tensor_count(matrix)) == GRD_OK)
        draw(out, values, grd_tensor_size(matrix, 0), grd_tensor_size(matrix, 1));
    grdi_free(values, bytes);
    return grdi_self.latched;
}
