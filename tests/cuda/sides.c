#include "tests/cuda/sides.h"

#include "tensor/cpu/rows.h"
#include "tensor/tensor.h"
#include "tests/cuda/emulated.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static sided *made;

grd_device *side(int which)
{
    need_gpu();
    return which == GPU ? grd_cuda(0) : grd_cpu();
}

static size_t bytes_of(const sided *x)
{
    return (size_t)x->extent * grdi_dtype_size(x->on[CPU].dtype);
}

static char *start_of(const sided *x, int which)
{
    const grdi_array *a = &x->on[which];
    return (char *)a->data - (size_t)x->skip * grdi_dtype_size(a->dtype);
}

static void send(const sided *x)
{
    if (x->extent)
        cr_assert_eq(side(GPU)->upload(side(GPU), start_of(x, GPU), start_of(x, CPU), bytes_of(x)),
                     GRD_OK);
}

static double random_value(grd_dtype dtype)
{
    static unsigned seed = 12345;
    seed = seed * 1664525u + 1013904223u;
    const double value = (double)(seed >> 8) / (1 << 23) - 1;
    return dtype == GRD_BOOL ? value > 0 : dtype == GRD_I64 ? floor(value * 50) : value;
}

static void store(const grdi_array *x, int64_t offset, double value)
{
    const int64_t whole = (int64_t)value;
    if (grdi_computed_in(x->dtype) == GRD_I64)
        grdi_store_i64(x, offset, 1, 1, &whole);
    else
        grdi_store_f64(x, offset, 1, 1, &value);
}

static double value_at(const grdi_array *x, int64_t offset)
{
    double value;
    return *grdi_load_f64(x, offset, 1, 1, &value);
}

sided *make_sided(grd_dtype dtype, int rank, const grdi_dim dim[], int64_t skip)
{
    need_gpu(); /* Before there is anything to free. */
    sided *x = calloc(1, sizeof *x);
    grdi_array *here = &x->on[CPU];
    *here = (grdi_array){ .dtype = dtype, .rank = rank };
    x->extent = 1;
    x->skip = skip;
    for (int d = 0; d < rank; d++) {
        here->dim[d] = dim[d];
        x->extent += (dim[d].size - 1) * dim[d].stride;
    }
    x->extent = grdi_count(here) ? x->extent + skip : 0;
    const size_t size = grdi_dtype_size(dtype);
    here->data = (char *)malloc(bytes_of(x) + 1) + (size_t)skip * size;
    for (int64_t i = 0; i < x->extent; i++)
        store(here, i - skip, random_value(dtype));
    x->on[GPU] = *here;
    x->on[GPU].data =
        x->extent ? (char *)side(GPU)->allocate(side(GPU), bytes_of(x)) + (size_t)skip * size
                  : NULL;
    send(x);
    x->next = made;
    made = x;
    return x;
}

sided *make_contiguous(grd_dtype dtype, int rank, const int64_t size[])
{
    grdi_dim dim[GRD_MAX_RANK];
    int64_t stride = 1;
    for (int d = rank - 1; d >= 0; d--) {
        dim[d] = (grdi_dim){ size[d], stride };
        stride *= size[d];
    }
    return make_sided(dtype, rank, dim, 0);
}

void set_here(sided *x, int64_t offset, double value)
{
    store(&x->on[CPU], offset, value);
}

void set_sided(sided *x, int64_t offset, double value)
{
    store(&x->on[CPU], offset, value);
    send(x);
}

static bool is_same(double a, double b, double allowed)
{
    if (isnan(a) || isnan(b) || isinf(a) || isinf(b))
        return a == b || (isnan(a) && isnan(b));
    return fabs(a - b) <= allowed * fmax(1, fmax(fabs(a), fabs(b)));
}

void expect_sides_same(const sided *y, double allowed, const char *what)
{
    sided got = *y;
    char *memory = malloc(bytes_of(y) + 1);
    if (y->extent)
        cr_assert_eq(side(GPU)->download(side(GPU), memory, start_of(y, GPU), bytes_of(y)), GRD_OK,
                     "%s: %s", what, grd_error_message());
    got.on[GPU].data = memory;
    for (int64_t i = 0; i < y->extent; i++) {
        const double a = value_at(&y->on[CPU], i - y->skip), b = value_at(&got.on[GPU], i);
        cr_assert(is_same(a, b, allowed), "%s of %s: element %lld of %lld is %.17g, not %.17g",
                  what, grdi_dtype_name(y->on[CPU].dtype), (long long)i, (long long)y->extent, b,
                  a);
    }
    free(memory);
}

void end_sides(void)
{
    while (made) {
        sided *x = made;
        made = x->next;
        free(start_of(x, CPU));
        if (x->extent)
            side(GPU)->free(side(GPU), start_of(x, GPU), bytes_of(x));
        free(x);
    }
}

double allowed_in(grd_dtype dtype)
{
    static const double allowed[GRD_DTYPE_COUNT] = {
        [GRD_F16] = 2e-3, [GRD_BF16] = 1e-2, [GRD_F32] = 3e-6, [GRD_F64] = 1e-13
    };
    return allowed[dtype];
}
