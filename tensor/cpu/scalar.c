#include "tensor/cpu/loops.h"
#include "tensor/cpu/map.h"
#include "tensor/cpu/rows.h"

#include <math.h>

/* An array and one or two numbers. */
typedef struct scalar {
    const grdi_loops *loops;
    double a, b;
} scalar;

static grd_status run(const grdi_array *y, const grdi_array *x, const scalar *s, double ns,
                      grdi_tile *f32, grdi_tile *f64, grdi_tile *i64)
{
    const grd_dtype as = grdi_computed_in(y->dtype);
    grdi_tile *tile = as == GRD_F32 ? f32 : as == GRD_F64 ? f64 : i64;
    if (!tile)
        return GRD_ERROR_UNSUPPORTED;
    return grdi_run_map(&(grdi_map){ tile, s, ns, 2, { { y, as }, { x, as } } });
}

static void affine_f32(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    s->loops->affine_f32(n, at[0], at[1], (float)s->a, (float)s->b);
}

static void affine_f64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    double *y = at[0];
    const double *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = s->a * x[i] + s->b;
}

static void affine_i64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    int64_t *y = at[0];
    const int64_t *x = at[1];
    const uint64_t a = (uint64_t)(int64_t)s->a, b = (uint64_t)(int64_t)s->b;
    for (int64_t i = 0; i < n; i++)
        y[i] = (int64_t)(a * (uint64_t)x[i] + b);
}

grd_status grdi_cpu_affine(grd_device *device, const grdi_array *y, const grdi_array *x, double a,
                           double b)
{
    return run(y, x, &(scalar){ grdi_loops_of(device), a, b }, 0.2, affine_f32, affine_f64,
               affine_i64);
}

grd_status grdi_cpu_scale_by(grd_device *device, const grdi_array *y, const grdi_array *x,
                             const grdi_array *factor)
{
    if (grdi_computed_in(y->dtype) == GRD_I64)
        return GRD_ERROR_UNSUPPORTED;
    return grdi_cpu_affine(device, y, x, *(const double *)factor->data, -0.0);
}

static void div_f32(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    s->loops->div_scalar_f32(n, at[0], at[1], (float)s->b);
}

static void div_f64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    double *y = at[0];
    const double *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] / s->b;
}

grd_status grdi_cpu_div_scalar(grd_device *device, const grdi_array *y, const grdi_array *x,
                               double b)
{
    return run(y, x, &(scalar){ grdi_loops_of(device), 0, b }, 0.2, div_f32, div_f64, NULL);
}

static void pow_f32(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    if (s->b == 2)
        s->loops->square_f32(n, at[0], at[1]);
    else if (s->b == 0.5)
        s->loops->sqrt_f32(n, at[0], at[1]);
    else
        s->loops->pow_scalar_f32(n, at[0], at[1], (float)s->b);
}

static void pow_f64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    double *y = at[0];
    const double *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = pow(x[i], s->b);
}

grd_status grdi_cpu_pow_scalar(grd_device *device, const grdi_array *y, const grdi_array *x,
                               double b)
{
    return run(y, x, &(scalar){ grdi_loops_of(device), 0, b }, 10, pow_f32, pow_f64, NULL);
}

static void clamp_f32(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    s->loops->clamp_f32(n, at[0], at[1], (float)s->a, (float)s->b);
}

static void clamp_f64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    double *y = at[0];
    const double *x = at[1];
    for (int64_t i = 0; i < n; i++) {
        const double raised = x[i] < s->a ? s->a : x[i];
        y[i] = raised > s->b ? s->b : raised;
    }
}

/* An infinite bound is none, which no i64 says. */
static void clamp_i64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    int64_t *y = at[0];
    const int64_t *x = at[1];
    const int64_t low = s->a < -0x1p63 ? INT64_MIN : (int64_t)s->a,
                  high = s->b >= 0x1p63 ? INT64_MAX : (int64_t)s->b;
    for (int64_t i = 0; i < n; i++) {
        const int64_t raised = x[i] < low ? low : x[i];
        y[i] = raised > high ? high : raised;
    }
}

grd_status grdi_cpu_clamp(grd_device *device, const grdi_array *y, const grdi_array *x, double low,
                          double high)
{
    return run(y, x, &(scalar){ grdi_loops_of(device), low, high }, 0.2, clamp_f32, clamp_f64,
               clamp_i64);
}

static void add_scaled_f32(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    s->loops->add_scaled_f32(n, at[0], at[1], at[2], (float)s->b);
}

static void add_scaled_f64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    double *y = at[0];
    const double *a = at[1], *b = at[2];
    for (int64_t i = 0; i < n; i++)
        y[i] = a[i] + s->b * b[i];
}

static void add_scaled_i64(const void *context, int64_t n, void *const at[])
{
    const scalar *s = context;
    int64_t *y = at[0];
    const int64_t *a = at[1], *b = at[2];
    const uint64_t factor = (uint64_t)(int64_t)s->b;
    for (int64_t i = 0; i < n; i++)
        y[i] = (int64_t)((uint64_t)a[i] + factor * (uint64_t)b[i]);
}

grd_status grdi_cpu_add_scaled(grd_device *device, const grdi_array *y, const grdi_array *a,
                               const grdi_array *b, double factor)
{
    const grd_dtype as = grdi_computed_in(y->dtype);
    const scalar s = { grdi_loops_of(device), 0, factor };
    grdi_tile *tile = as == GRD_F32   ? add_scaled_f32
                      : as == GRD_F64 ? add_scaled_f64
                                      : add_scaled_i64;
    return grdi_run_map(&(grdi_map){ tile, &s, 0.3, 3, { { y, as }, { a, as }, { b, as } } });
}
