#include "tensor/cpu/loops.h"
#include "tensor/cpu/map.h"
#include "tensor/cpu/rows.h"

#include <math.h>

/* y = f(x); NULL for what the kernel does not compute in. */
typedef struct unary {
    void (*f32)(int64_t n, float *y, const float *x);
    double (*f64)(double x);
    int64_t (*i64)(int64_t x);
    double ns;
} unary;

static void tile_f32(const void *f, int64_t n, void *const at[])
{
    ((const unary *)f)->f32(n, at[0], at[1]);
}

static void tile_f64(const void *f, int64_t n, void *const at[])
{
    double *y = at[0];
    const double *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = ((const unary *)f)->f64(x[i]);
}

static void tile_i64(const void *f, int64_t n, void *const at[])
{
    int64_t *y = at[0];
    const int64_t *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = ((const unary *)f)->i64(x[i]);
}

static grd_status run(const grdi_array *y, const grdi_array *x, const unary *f)
{
    const grd_dtype as = grdi_computed_in(y->dtype);
    if (as == GRD_I64 && !f->i64)
        return GRD_ERROR_UNSUPPORTED;
    grdi_tile *tile = as == GRD_F32 ? tile_f32 : as == GRD_F64 ? tile_f64 : tile_i64;
    return grdi_run_map(&(grdi_map){ tile, f, f->ns, 2, { { y, as }, { x, as } } });
}

static double sign(double x)
{
    return x > 0 ? 1 : x < 0 ? -1 : x;
}

static double square(double x)
{
    return x * x;
}

static double rsqrt(double x)
{
    return 1 / sqrt(x);
}

static int64_t abs_i64(int64_t x)
{
    return x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
}

static int64_t sign_i64(int64_t x)
{
    return (x > 0) - (x < 0);
}

static int64_t square_i64(int64_t x)
{
    return (int64_t)((uint64_t)x * (uint64_t)x);
}

#define KERNEL_OF(name, of_f64, of_i64, ns)                                                        \
    grd_status grdi_cpu_##name(grd_device *device, const grdi_array *y, const grdi_array *x)       \
    {                                                                                              \
        return run(y, x, &(unary){ grdi_loops_of(device)->name##_f32, of_f64, of_i64, ns });       \
    }
KERNEL_OF(abs, fabs, abs_i64, 0.2)
KERNEL_OF(sign, sign, sign_i64, 0.2)
KERNEL_OF(square, square, square_i64, 0.2)
KERNEL_OF(exp, exp, NULL, 1)
KERNEL_OF(log, log, NULL, 2)
KERNEL_OF(sqrt, sqrt, NULL, 0.4)
KERNEL_OF(rsqrt, rsqrt, NULL, 0.5)
KERNEL_OF(sin, sin, NULL, 5)
KERNEL_OF(cos, cos, NULL, 5)
KERNEL_OF(erf, erf, NULL, 1)
