#include "tensor/cpu/loops.h"
#include "tensor/cpu/map.h"
#include "tensor/cpu/rows.h"

static void where_f32(const void *loops, int64_t n, void *const at[])
{
    ((const grdi_loops *)loops)->where_f32(n, at[0], at[1], at[2], at[3]);
}

#define WHERE(name, type)                                                                          \
    static void name(const void *loops, int64_t n, void *const at[])                               \
    {                                                                                              \
        (void)loops;                                                                               \
        type *y = at[0];                                                                           \
        const bool *condition = at[1];                                                             \
        const type *a = at[2], *b = at[3];                                                         \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = condition[i] ? a[i] : b[i];                                                     \
    }
WHERE(where_f64, double)
WHERE(where_i64, int64_t)

grd_status grdi_cpu_where(grd_device *device, const grdi_array *y, const grdi_array *condition,
                          const grdi_array *a, const grdi_array *b)
{
    const grd_dtype as = grdi_computed_in(y->dtype);
    return grdi_run_map(
        &(grdi_map){ .tile = as == GRD_F32   ? where_f32
                             : as == GRD_F64 ? where_f64
                                             : where_i64,
                     .context = grdi_loops_of(device),
                     .ns = 0.3,
                     .count = 4,
                     .of = { { y, as }, { condition, GRD_BOOL }, { a, as }, { b, as } } });
}

typedef struct filling {
    const grdi_loops *loops;
    float value;
} filling;

static void masked_fill_f32(const void *context, int64_t n, void *const at[])
{
    const filling *f = context;
    f->loops->masked_fill_f32(n, at[0], at[1], at[2], f->value);
}

grd_status grdi_cpu_masked_fill(grd_device *device, const grdi_array *y, const grdi_array *x,
                                const grdi_array *mask, double value)
{
    if (y->dtype == GRD_F32)
        return grdi_run_map(&(grdi_map){ masked_fill_f32,
                                         &(filling){ grdi_loops_of(device), (float)value },
                                         0.2,
                                         3,
                                         { { y, GRD_F32 }, { x, GRD_F32 }, { mask, GRD_BOOL } } });
    grdi_value room;
    const grdi_array repeated = grdi_repeated(x, value, &room);
    return grdi_cpu_where(device, y, mask, &repeated, x);
}
