#include "tensor/cuda/first.cuh"
#include "tensor/cuda/refusal.cuh"

#define FIRST_NAN(dtype, type, ...)                                                                \
    GRDI_KERNEL(first_nan_##dtype, int64_t n, grdi_array y, grdi_array x)                          \
    {                                                                                              \
        find_first<type>(n, x, (int64_t *)y.data, [](number_of<type> a) { return a != a; });       \
    }
KERNELS_OF_FLOATS(FIRST_NAN, )

#define CHECK_RANGE(dtype, type)                                                                   \
    GRDI_KERNEL(check_range_##dtype, int64_t n, int64_t *first, grdi_array x, double low,          \
                double high)                                                                       \
    {                                                                                              \
        find_first<type>(n, x, first, [low, high](number_of<type> a) {                             \
            return !((double)a >= low && (double)a <= high);                                       \
        });                                                                                        \
    }                                                                                              \
    GRDI_KERNEL(check_range_refuse_##dtype, grdi_refusal *letter, grdi_refusal refused,            \
                const int64_t *first, grdi_array x)                                                \
    {                                                                                              \
        if (*first < 0)                                                                            \
            return;                                                                                \
        set_value(&refused, number(((const type *)x.data)[offset_of(x, *first)]));                 \
        leave_word(letter, refused, *first);                                                       \
    }
CHECK_RANGE(f16, f16)
CHECK_RANGE(bf16, bf16)
CHECK_RANGE(f32, float)
CHECK_RANGE(f64, double)
CHECK_RANGE(i64, int64_t)
CHECK_RANGE(bool, bool)
