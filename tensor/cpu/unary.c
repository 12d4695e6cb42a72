#include "tensor/cpu/loops.h"
#include "tensor/cpu/map.h"

#include <math.h>

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
        return grdi_run_unary(                                                                     \
            y, x, &(grdi_unary){ grdi_loops_of(device)->name##_f32, of_f64, of_i64, ns });         \
    }
KERNEL_OF(abs, fabs, abs_i64, 0.2)
KERNEL_OF(sign, sign, sign_i64, 0.2)
KERNEL_OF(square, square, square_i64, 0.2)
KERNEL_OF(exp, exp, NULL, 1)
KERNEL_OF(log, log, NULL, 1)
KERNEL_OF(sqrt, sqrt, NULL, 0.4)
KERNEL_OF(rsqrt, rsqrt, NULL, 0.5)
KERNEL_OF(sin, sin, NULL, 1)
KERNEL_OF(cos, cos, NULL, 1)
