#include "tensor/cpu/loops.h"
#include "tensor/cpu/map.h"
#include "tensor/cpu/rows.h"

#include <math.h>

/* y[i] = f(a[i], b[i]); NULL for what the kernel does not compute in. */
typedef struct binary {
    void (*f32)(int64_t n, float *y, const float *a, const float *b);
    void (*f64)(int64_t n, double *y, const double *a, const double *b);
    void (*i64)(int64_t n, int64_t *y, const int64_t *a, const int64_t *b);
    double ns;
} binary;

static void tile_f32(const void *f, int64_t n, void *const at[])
{
    ((const binary *)f)->f32(n, at[0], at[1], at[2]);
}

static void tile_f64(const void *f, int64_t n, void *const at[])
{
    ((const binary *)f)->f64(n, at[0], at[1], at[2]);
}

static void tile_i64(const void *f, int64_t n, void *const at[])
{
    ((const binary *)f)->i64(n, at[0], at[1], at[2]);
}

static grd_status run(const grdi_array *y, const grdi_array *a, const grdi_array *b,
                      const binary *f)
{
    const grd_dtype as = grdi_computed_in(y->dtype);
    if (as == GRD_I64 && !f->i64)
        return GRD_ERROR_UNSUPPORTED;
    grdi_tile *tile = as == GRD_F32 ? tile_f32 : as == GRD_F64 ? tile_f64 : tile_i64;
    return grdi_run_map(&(grdi_map){ tile, f, f->ns, 3, { { y, as }, { a, as }, { b, as } } });
}

/* Integers wrap around, which C leaves open for signed ones. */
#define LOOP_OF(name, type, value)                                                                 \
    static void name(int64_t n, type *y, const type *a, const type *b)                             \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = value;                                                                          \
    }
LOOP_OF(add_f64, double, a[i] + b[i])
LOOP_OF(sub_f64, double, a[i] - b[i])
LOOP_OF(mul_f64, double, a[i] * b[i])
LOOP_OF(div_f64, double, a[i] / b[i])
LOOP_OF(add_i64, int64_t, (int64_t)((uint64_t)a[i] + (uint64_t)b[i]))
LOOP_OF(sub_i64, int64_t, (int64_t)((uint64_t)a[i] - (uint64_t)b[i]))
LOOP_OF(mul_i64, int64_t, (int64_t)((uint64_t)a[i] * (uint64_t)b[i]))

#define KERNEL_OF(name, of_f64, of_i64, ns)                                                        \
    grd_status grdi_cpu_##name(grd_device *device, const grdi_array *y, const grdi_array *a,       \
                               const grdi_array *b)                                                \
    {                                                                                              \
        return run(y, a, b, &(binary){ grdi_loops_of(device)->name##_f32, of_f64, of_i64, ns });   \
    }
KERNEL_OF(add, add_f64, add_i64, 0.2)
KERNEL_OF(sub, sub_f64, sub_i64, 0.2)
KERNEL_OF(mul, mul_f64, mul_i64, 0.2)
KERNEL_OF(div, div_f64, NULL, 0.2)
