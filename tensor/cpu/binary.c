#include "tensor/cpu/loops.h"
#include "tensor/cpu/map.h"

#include <math.h>

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
LOOP_OF(pow_f64, double, pow(a[i], b[i]))
LOOP_OF(maximum_f64, double, a[i] > b[i] || a[i] != a[i] ? a[i] : b[i])
LOOP_OF(minimum_f64, double, a[i] < b[i] || a[i] != a[i] ? a[i] : b[i])
LOOP_OF(add_i64, int64_t, (int64_t)((uint64_t)a[i] + (uint64_t)b[i]))
LOOP_OF(sub_i64, int64_t, (int64_t)((uint64_t)a[i] - (uint64_t)b[i]))
LOOP_OF(mul_i64, int64_t, (int64_t)((uint64_t)a[i] * (uint64_t)b[i]))
LOOP_OF(maximum_i64, int64_t, a[i] > b[i] ? a[i] : b[i])
LOOP_OF(minimum_i64, int64_t, a[i] < b[i] ? a[i] : b[i])

#define KERNEL_OF(name, of_f64, of_i64, ns)                                                        \
    grd_status grdi_cpu_##name(grd_device *device, const grdi_array *y, const grdi_array *a,       \
                               const grdi_array *b)                                                \
    {                                                                                              \
        return grdi_run_binary(                                                                    \
            y, a, b, &(grdi_binary){ grdi_loops_of(device)->name##_f32, of_f64, of_i64, ns });     \
    }
KERNEL_OF(add, add_f64, add_i64, 0.2)
KERNEL_OF(sub, sub_f64, sub_i64, 0.2)
KERNEL_OF(mul, mul_f64, mul_i64, 0.2)
KERNEL_OF(div, div_f64, NULL, 0.2)
KERNEL_OF(pow, pow_f64, NULL, 10)
KERNEL_OF(maximum, maximum_f64, maximum_i64, 0.2)
KERNEL_OF(minimum, minimum_f64, minimum_i64, 0.2)
