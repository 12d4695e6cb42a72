#include "tensor/cpu/convert.h"
#include "tensor/cpu/map.h"
#include "tensor/cpu/rows.h"

#include <math.h>

#define COMPARE(name, type, sign)                                                                  \
    static void name(const void *context, int64_t n, void *const at[])                             \
    {                                                                                              \
        (void)context;                                                                             \
        bool *y = at[0];                                                                           \
        const type *a = at[1], *b = at[2];                                                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = a[i] sign b[i];                                                                 \
    }
COMPARE(eq_f32, float, ==)
COMPARE(ne_f32, float, !=)
COMPARE(lt_f32, float, <)
COMPARE(le_f32, float, <=)
COMPARE(eq_f64, double, ==)
COMPARE(ne_f64, double, !=)
COMPARE(lt_f64, double, <)
COMPARE(le_f64, double, <=)
COMPARE(eq_i64, int64_t, ==)
COMPARE(ne_i64, int64_t, !=)
COMPARE(lt_i64, int64_t, <)
COMPARE(le_i64, int64_t, <=)
COMPARE(and_bool, bool, &)
COMPARE(or_bool, bool, |)

/* a > b is b < a. */
static const struct {
    grdi_tile *f32, *f64, *i64;
    bool swapped;
} comparisons[] = {
    [GRDI_EQ] = { eq_f32, eq_f64, eq_i64, false }, [GRDI_NE] = { ne_f32, ne_f64, ne_i64, false },
    [GRDI_LT] = { lt_f32, lt_f64, lt_i64, false }, [GRDI_LE] = { le_f32, le_f64, le_i64, false },
    [GRDI_GT] = { lt_f32, lt_f64, lt_i64, true },  [GRDI_GE] = { le_f32, le_f64, le_i64, true },
};

grd_status grdi_cpu_compare(grd_device *device, const grdi_array *y, const grdi_array *a,
                            const grdi_array *b, grdi_comparison how)
{
    (void)device;
    const grd_dtype as = grdi_computed_in(a->dtype);
    grdi_tile *tile = as == GRD_F32   ? comparisons[how].f32
                      : as == GRD_F64 ? comparisons[how].f64
                                      : comparisons[how].i64;
    const bool swapped = comparisons[how].swapped;
    return grdi_run_map(
        &(grdi_map){ .tile = tile,
                     .ns = 0.3,
                     .count = 3,
                     .of = { { y, GRD_BOOL }, { swapped ? b : a, as }, { swapped ? a : b, as } } });
}

grd_status grdi_cpu_compare_scalar(grd_device *device, const grdi_array *y, const grdi_array *x,
                                   double b, grdi_comparison how)
{
    grdi_value room;
    const grdi_array repeated = grdi_repeated(x, b, &room);
    return grdi_cpu_compare(device, y, x, &repeated, how);
}

static grd_status logical(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                          grdi_tile *tile)
{
    const grd_dtype as = GRD_BOOL;
    return grdi_run_map(&(grdi_map){
        .tile = tile, .ns = 0.1, .count = 3, .of = { { y, as }, { a, as }, { b, as } } });
}

grd_status grdi_cpu_logical_and(grd_device *device, const grdi_array *y, const grdi_array *a,
                                const grdi_array *b)
{
    (void)device;
    return logical(y, a, b, and_bool);
}

grd_status grdi_cpu_logical_or(grd_device *device, const grdi_array *y, const grdi_array *a,
                               const grdi_array *b)
{
    (void)device;
    return logical(y, a, b, or_bool);
}

static void not_bool(const void *context, int64_t n, void *const at[])
{
    (void)context;
    bool *y = at[0];
    const bool *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = !x[i];
}

grd_status grdi_cpu_logical_not(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    (void)device;
    return grdi_run_map(&(grdi_map){
        .tile = not_bool, .ns = 0.1, .count = 2, .of = { { y, GRD_BOOL }, { x, GRD_BOOL } } });
}

static void finite_f32(const void *context, int64_t n, void *const at[])
{
    (void)context;
    bool *y = at[0];
    const float *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = fabsf(x[i]) < INFINITY;
}

static void finite_f64(const void *context, int64_t n, void *const at[])
{
    (void)context;
    bool *y = at[0];
    const double *x = at[1];
    for (int64_t i = 0; i < n; i++)
        y[i] = fabs(x[i]) < INFINITY;
}

grd_status grdi_cpu_isfinite(grd_device *device, const grdi_array *y, const grdi_array *x)
{
    const grd_dtype as = grdi_computed_in(x->dtype);
    if (as == GRD_I64)
        return grdi_cpu_fill(device, y, 1);
    return grdi_run_map(&(grdi_map){ .tile = as == GRD_F32 ? finite_f32 : finite_f64,
                                     .ns = 0.3,
                                     .count = 2,
                                     .of = { { y, GRD_BOOL }, { x, as } } });
}
