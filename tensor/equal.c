#include "tensor/front.h"

#include <math.h>
#include <string.h>

/* Whether n elements are the same, in whatever sense. */
typedef bool sameness(const void *a, const void *b, int64_t n, const void *how);

static bool read_both(const char *op, const grd_tensor *a, const grd_tensor *b, grd_dtype dtype,
                      char *to, size_t bytes)
{
    const grd_tensor *const both[] = { a, b };
    for (int i = 0; i < 2; i++) {
        const grd_tensor *x = both[i]->array.dtype == dtype ? both[i] : grdi_cast(both[i], dtype);
        if (!x || !grdi_download(op, x, to + (size_t)i * bytes))
            return false;
    }
    return true;
}

/* Compares a and b, of one shape, as elements of `dtype` in host memory; their devices may
 * differ. */
static bool compare(const char *op, const grd_tensor *a, const grd_tensor *b, grd_dtype dtype,
                    sameness *same, const void *how)
{
    const int64_t count = grdi_count(&a->array);
    const size_t bytes = (size_t)count * grdi_dtype_size(dtype);
    if (!count)
        return true;
    char *block = grdi_allocate(2 * bytes);
    if (!block)
        return grdi_fail_memory(op, 2 * bytes);
    grd_scope scope;
    grdi_scope_open(&scope);
    const bool answer =
        read_both(op, a, b, dtype, block, bytes) && same(block, block + bytes, count, how);
    grd_scope_end(&scope);
    grdi_free(block, 2 * bytes);
    return answer;
}

static bool comparable(const grd_tensor *a, const grd_tensor *b)
{
    if (!a || !b || grdi_latched())
        return false;
    const grd_shape shape = grdi_array_shape(&a->array);
    return grdi_has_shape(&b->array, &shape);
}

static bool same_bytes(const void *a, const void *b, int64_t n, const void *how)
{
    const size_t *size = how;
    return memcmp(a, b, (size_t)n * *size) == 0;
}

/* f64 holds all floating types exactly, the sign of a zero included. */
static bool same_reals(const void *a, const void *b, int64_t n, const void *how)
{
    const double *x = a, *y = b;
    (void)how;
    for (int64_t i = 0; i < n; i++)
        if (!(x[i] == y[i] && signbit(x[i]) == signbit(y[i])) && !(isnan(x[i]) && isnan(y[i])))
            return false;
    return true;
}

bool grd_equal(const grd_tensor *a, const grd_tensor *b)
{
    if (!comparable(a, b) || a->array.dtype != b->array.dtype)
        return false;
    const grd_dtype dtype = a->array.dtype;
    const size_t size = grdi_dtype_size(dtype);
    if (dtype == GRD_I64 || dtype == GRD_BOOL)
        return compare("equal", a, b, dtype, same_bytes, &size);
    return compare("equal", a, b, GRD_F64, same_reals, NULL);
}

typedef struct tolerance {
    double rtol, atol;
} tolerance;

static bool close_reals(const void *a, const void *b, int64_t n, const void *how)
{
    const double *x = a, *y = b;
    const tolerance *t = how;
    for (int64_t i = 0; i < n; i++) {
        const bool finite = isfinite(x[i]) && isfinite(y[i]);
        if (x[i] != y[i] && !(finite && fabs(x[i] - y[i]) <= t->atol + t->rtol * fabs(y[i])))
            return false;
    }
    return true;
}

bool grd_allclose(const grd_tensor *a, const grd_tensor *b, double rtol, double atol)
{
    return comparable(a, b) &&
           compare("allclose", a, b, GRD_F64, close_reals, &(tolerance){ rtol, atol });
}
