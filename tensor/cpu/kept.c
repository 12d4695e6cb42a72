/* Products in which what is not finite is met only by the pairs that may meet it. Nearly always
 * everything is finite, and then they are matrix products. */
#include "tensor/cpu/rows.h"
#include "tensor/tensor.h"

#include <string.h>

/* The exponent's bits, all set in infinities and NaN; 0: a type without them. */
static const uint64_t exponent_bits[GRD_DTYPE_COUNT] = {
    [GRD_F32] = 0x7f800000,
    [GRD_F64] = 0x7ff0000000000000,
    [GRD_F16] = 0x7c00,
    [GRD_BF16] = 0x7f80,
};

static size_t size_of(const grdi_array *x)
{
    return x->dtype == GRD_F64 ? 8 : x->dtype == GRD_F32 ? 4 : 2;
}

static char *element(const grdi_array *x, int64_t at)
{
    return (char *)x->data + at * (int64_t)size_of(x);
}

static bool is_finite(const grdi_array *x, int64_t at)
{
    uint64_t bits = 0; /* little-endian, as everything that this runs on */
    memcpy(&bits, element(x, at), size_of(x));
    return (bits & exponent_bits[x->dtype]) != exponent_bits[x->dtype];
}

/* Plain loops that the compiler turns into vectors. */
static bool all_finite_f32(const grdi_array *x, int64_t at, int64_t n)
{
    const float *values = (const float *)x->data + at;
    uint32_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        found |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !found;
}

static bool row_is_finite(const grdi_array *x, int64_t at)
{
    const int64_t n = grdi_row_length(x), stride = grdi_row_stride(x);
    if (x->dtype == GRD_F32 && stride == 1)
        return all_finite_f32(x, at, n);
    for (int64_t i = 0; i < n; i++)
        if (!is_finite(x, at + i * stride))
            return false;
    return true;
}

/* x without its repetitions, and with its dense dimension last. */
static grdi_array distinct(const grdi_array *x)
{
    grdi_array once = *x;
    for (int d = 0; d < once.rank; d++)
        if (once.dim[d].stride == 0)
            once.dim[d].size = 1;
    if (once.dim[once.rank - 1].stride != 1) {
        const grdi_dim row = once.dim[once.rank - 2];
        once.dim[once.rank - 2] = once.dim[once.rank - 1];
        once.dim[once.rank - 1] = row;
    }
    return once;
}

static bool all_finite(const grdi_array *x)
{
    grdi_array once = distinct(x);
    grdi_merge(&once, 1);
    const int outer = grdi_outer_rank(&once);
    int64_t index[GRD_MAX_RANK] = { 0 };
    do
        if (!row_is_finite(&once, grdi_offset(&once, outer, index)))
            return false;
    while (grdi_next(&once, outer, index));
    return true;
}

/* Zeros the hidden pairs of y. */
static void clear_hidden(const grdi_array *y, const grdi_array *keep)
{
    int64_t index[GRD_MAX_RANK] = { 0 };
    do
        if (!((const bool *)keep->data)[grdi_offset(keep, y->rank, index)])
            memset(element(y, grdi_offset(y, y->rank, index)), 0, size_of(y));
    while (grdi_next(y, y->rank, index));
}

grd_status grdi_cpu_kept_products(grd_device *device, const grdi_array *y, const grdi_array *a,
                                  const grdi_array *b, const grdi_array *keep)
{
    const grd_status status = grdi_cpu_matmul(device, y, a, b, NULL);
    if (status != GRD_OK || grdi_is_empty(y) || grdi_is_empty(a))
        return status;
    if (!all_finite(a) || !all_finite(b))
        clear_hidden(y, keep);
    return GRD_OK;
}

static void clear_not_finite(const grdi_array *x)
{
    int64_t index[GRD_MAX_RANK] = { 0 };
    do {
        const int64_t at = grdi_offset(x, x->rank, index);
        if (!is_finite(x, at))
            memset(element(x, at), 0, size_of(x));
    } while (grdi_next(x, x->rank, index));
}

static double value_at(const grdi_array *x, int64_t at)
{
    double value;
    return *grdi_load_f64(x, at, 1, 1, &value);
}

static void add_at(const grdi_array *y, int64_t at, double value)
{
    const double sum = value_at(y, at) + value;
    const float narrow = (float)sum;
    if (y->dtype == GRD_F64)
        grdi_store_f64(y, at, 1, 1, &sum);
    else
        grdi_store_f32(y, at, 1, 1, &narrow);
}

/* Adds to y what b's element at `index`, [..., k, n], gives to the rows that may meet it. */
static void add_shown(const grdi_array *y, const grdi_array *a, const grdi_array *keep,
                      const int64_t index[], double value)
{
    const int batch = y->rank - 2;
    const int64_t k = index[batch], n = index[batch + 1];
    const int64_t row = grdi_offset(y, batch, index) + n * y->dim[batch + 1].stride;
    const int64_t pair = grdi_offset(a, batch, index) + k * a->dim[batch + 1].stride;
    const int64_t shown = grdi_offset(keep, batch, index) + k * keep->dim[batch + 1].stride;
    for (int64_t m = 0; m < y->dim[batch].size; m++)
        if (((const bool *)keep->data)[shown + m * keep->dim[batch].stride])
            add_at(y, row + m * y->dim[batch].stride,
                   value * value_at(a, pair + m * a->dim[batch].stride));
}

static void add_not_finite(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                           const grdi_array *keep)
{
    int64_t index[GRD_MAX_RANK] = { 0 };
    do {
        const int64_t at = grdi_offset(b, b->rank, index);
        if (!is_finite(b, at))
            add_shown(y, a, keep, index, value_at(b, at));
    } while (grdi_next(b, b->rank, index));
}

/* b's distinct elements on memory of their own, with b's sizes; data NULL: out of memory. */
static grdi_array copy_of(grd_device *device, const grdi_array *b, size_t *bytes)
{
    grdi_array from = *b, copy = *b;
    int64_t stride = 1;
    for (int d = b->rank - 1; d >= 0; d--) {
        from.dim[d].size = b->dim[d].stride ? b->dim[d].size : 1;
        copy.dim[d].stride = b->dim[d].stride ? stride : 0;
        stride *= from.dim[d].size;
    }
    *bytes = (size_t)stride * size_of(b);
    copy.data = grdi_allocate(*bytes);
    grdi_array to = from;
    to.data = copy.data;
    for (int d = 0; d < b->rank; d++)
        to.dim[d].stride = copy.dim[d].stride;
    if (copy.data && grdi_cpu_copy(device, &to, &from) == GRD_OK)
        clear_not_finite(&to);
    return copy;
}

/* The finite part of b as a product, so that it gives the same bits whatever is hidden, and then
 * the rest pair by pair. */
static grd_status sums_with_not_finite(grd_device *device, const grdi_array *y, const grdi_array *a,
                                       const grdi_array *b, const grdi_array *keep)
{
    size_t bytes;
    const grdi_array finite = copy_of(device, b, &bytes);
    if (!finite.data)
        return GRD_ERROR_MEMORY;
    const grd_status status = grdi_cpu_matmul(device, y, a, &finite, NULL);
    grdi_free(finite.data, bytes);
    if (status == GRD_OK)
        add_not_finite(y, a, b, keep);
    return status;
}

grd_status grdi_cpu_kept_sums(grd_device *device, const grdi_array *y, const grdi_array *a,
                              const grdi_array *b, const grdi_array *keep)
{
    if (grdi_is_empty(y) || grdi_is_empty(b) || all_finite(b))
        return grdi_cpu_matmul(device, y, a, b, NULL);
    return sums_with_not_finite(device, y, a, b, keep);
}
