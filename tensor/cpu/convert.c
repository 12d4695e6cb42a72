#include "tensor/cpu/convert.h"
#include "tensor/cpu/half.h"

static inline uint16_t bf16_of_f64(double x)
{
    return bf16_of_f32(odd_f32(x));
}

static inline uint16_t bf16_of_i64(int64_t x)
{
    return bf16_of_f64(odd_f64(x));
}

static inline uint16_t f16_of_f64(double x)
{
    return f16_of_f32(odd_f32(x));
}

static inline uint16_t f16_of_i64(int64_t x)
{
    return f16_of_f64(odd_f64(x));
}

static inline int64_t i64_of_f64(double x)
{
    return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN;
}

static inline int64_t i64_of_i64(int64_t x)
{
    return x;
}

/* What is read as f32, f64 or i64 in the type that is written. */
#define TO_F32(x) ((float)(x))
#define TO_F64(x) ((double)(x))
#define TO_F16(x) _Generic((x), float : f16_of_f32, double : f16_of_f64, int64_t : f16_of_i64)(x)
#define TO_BF16(x)                                                                                 \
    _Generic((x), float : bf16_of_f32, double : bf16_of_f64, int64_t : bf16_of_i64)(x)
#define TO_I64(x) _Generic((x), float : i64_of_f64, double : i64_of_f64, int64_t : i64_of_i64)(x)
#define TO_BOOL(x) ((x) != 0)

#define CONVERTER(name, to_type, from_type, value)                                                 \
    static void name(int64_t n, void *to, int64_t to_stride, const void *from, int64_t stride)     \
    {                                                                                              \
        to_type *y = to;                                                                           \
        const from_type *x = from;                                                                 \
        if (to_stride == 1 && stride == 1)                                                         \
            for (int64_t i = 0, j = 0; i < n; i++, j++)                                            \
                y[i] = value;                                                                      \
        else                                                                                       \
            for (int64_t i = 0, j = 0; n > 0; n--, i += to_stride, j += stride)                    \
                y[i] = value;                                                                      \
    }

#define FROM_F16(to, type, TO) CONVERTER(to##_from_f16, type, uint16_t, TO(from_f16(x[j])))
#define FROM_BF16(to, type, TO) CONVERTER(to##_from_bf16, type, uint16_t, TO(from_bf16(x[j])))
#define FROM_WIDE(to, type, TO)                                                                    \
    CONVERTER(to##_from_f32, type, float, TO(x[j]))                                                \
    CONVERTER(to##_from_f64, type, double, TO(x[j]))                                               \
    CONVERTER(to##_from_i64, type, int64_t, TO(x[j]))                                              \
    CONVERTER(to##_from_bool, type, bool, TO((float)x[j]))
#define FROM_ALL(to, type, TO)                                                                     \
    FROM_WIDE(to, type, TO) FROM_F16(to, type, TO) FROM_BF16(to, type, TO)

FROM_ALL(f32, float, TO_F32)
FROM_ALL(f64, double, TO_F64)
FROM_ALL(i64, int64_t, TO_I64)
FROM_ALL(truth, bool, TO_BOOL)
FROM_WIDE(f16, uint16_t, TO_F16)
FROM_BF16(f16, uint16_t, TO_F16)
FROM_WIDE(bf16, uint16_t, TO_BF16)
FROM_F16(bf16, uint16_t, TO_BF16)
CONVERTER(f16_from_f16, uint16_t, uint16_t, x[j])
CONVERTER(bf16_from_bf16, uint16_t, uint16_t, x[j])

#define ROW(to)                                                                                    \
    {                                                                                              \
        [GRD_F32] = to##_from_f32, [GRD_F64] = to##_from_f64, [GRD_F16] = to##_from_f16,           \
        [GRD_BF16] = to##_from_bf16, [GRD_I64] = to##_from_i64, [GRD_BOOL] = to##_from_bool,       \
    }

grdi_converter *const grdi_converters[GRD_DTYPE_COUNT][GRD_DTYPE_COUNT] = {
    [GRD_F32] = ROW(f32),   [GRD_F64] = ROW(f64), [GRD_F16] = ROW(f16),
    [GRD_BF16] = ROW(bf16), [GRD_I64] = ROW(i64), [GRD_BOOL] = ROW(truth),
};
