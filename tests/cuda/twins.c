#include "tests/cuda/twins.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { MOST_INPUTS = 4 };

double precision_of(grd_dtype dtype)
{
    static const double precision[GRD_DTYPE_COUNT] = {
        [GRD_F32] = 0x1p-24, [GRD_F64] = 0x1p-53, [GRD_F16] = 0x1p-11, [GRD_BF16] = 0x1p-8
    };
    return precision[dtype];
}

grd_tensor *wild(grd_rng *rng, grd_shape shape, grd_dtype dtype)
{
    static const double rare[] = { NAN, INFINITY, -INFINITY, 0, -0., 1000, -1000, 1, -1 };
    enum { RARE = sizeof rare / sizeof rare[0] };
    const grd_tensor *x = grd_randn(rng, shape);
    const int64_t n = grd_tensor_count(x);
    double *values = calloc((size_t)n + 1, sizeof *values);
    cr_assert_eq(grd_read_f64(grd_cast(x, GRD_F64), values, n), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < n; i++)
        if (i % 7 == 3)
            values[i] = rare[i / 7 % RARE];
    grd_tensor *made = grd_cast(grd_from_f64(values, n, shape), dtype);
    free(values);
    return made;
}

/* As f64, or integers, from the CPU. */
static void *read(const twins *t, const grd_tensor *x)
{
    const int64_t n = grd_tensor_count(x);
    void *values = calloc((size_t)n + 1, sizeof(double));
    const grd_dtype dtype = grd_tensor_dtype(x);
    const grd_tensor *near = grd_to_device(x, grd_cpu());
    const grd_status status = dtype == GRD_I64 ? grd_read_i64(near, values, n)
                                               : grd_read_f64(grd_cast(near, GRD_F64), values, n);
    cr_assert_eq(status, GRD_OK, "%s: %s", t->what, grd_error_message());
    return values;
}

static bool is_near(double a, double b, double allowed)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    if (a == b)
        return !signbit(a) == !signbit(b) || allowed > 0;
    return isfinite(a) && isfinite(b) && fabs(a - b) <= allowed * fmax(fabs(a), 1);
}

void expect_twin(const twins *t, const grd_tensor *cpu, const grd_tensor *gpu)
{
    cr_assert(cpu && gpu, "%s: %s", t->what, grd_error_message());
    const grd_shape shape = grd_tensor_shape(cpu), other = grd_tensor_shape(gpu);
    cr_assert(shape.rank == other.rank && grd_tensor_count(cpu) == grd_tensor_count(gpu));
    void *a = read(t, cpu), *b = read(t, gpu);
    const grd_dtype dtype = grd_tensor_dtype(cpu);
    const double allowed = t->allowed * precision_of(dtype);
    for (int64_t i = 0; i < grd_tensor_count(cpu); i++)
        if (dtype == GRD_I64)
            cr_assert_eq(((int64_t *)a)[i], ((int64_t *)b)[i], "%s: %ld is %ld, not %ld", t->what,
                         (long)i, (long)((int64_t *)b)[i], (long)((int64_t *)a)[i]);
        else
            cr_assert(is_near(((double *)a)[i], ((double *)b)[i], allowed),
                      "%s: %ld is %.17g, not %.17g", t->what, (long)i, ((double *)b)[i],
                      ((double *)a)[i]);
    free(a);
    free(b);
}

static grd_tensor *seen(const grd_tensor *x, pattern how)
{
    const grd_shape shape = grd_tensor_shape(x);
    if (how == TRANSPOSED && shape.rank >= 2)
        return grd_transpose(x, -1, -2);
    if (how == UNALIGNED && shape.rank >= 1 && shape.size[0] > 1)
        return grd_slice(x, 0, 1, shape.size[0], 1);
    if (how == STRETCHED && shape.rank >= 1 && shape.size[shape.rank - 1] > 0)
        return grd_expand(grd_slice(x, -1, 0, 1, 1), shape);
    return (grd_tensor *)x;
}

static grd_tensor *run(const twins *t, grd_list x, grd_device *device, pattern how)
{
    const grd_tensor *inputs[MOST_INPUTS];
    for (int64_t i = 0; i < x.count; i++)
        inputs[i] = seen(grd_to_device(x.at[i], device), how);
    return t->op(inputs, t->user);
}

static void expect_seen(const twins *t, grd_list x, pattern how)
{
    grd_scope *scope = grd_scope_begin();
    expect_twin(t, run(t, x, grd_cpu(), how), run(t, x, grd_cuda(0), how));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", t->what, grd_error_message());
}

void expect_twins(const twins *t, grd_list x)
{
    expect_seen(t, x, PLAIN);
}

void expect_twins_seen(const twins *t, grd_list x)
{
    for (int how = PLAIN; how < PATTERNS; how++)
        expect_seen(t, x, (pattern)how);
}
