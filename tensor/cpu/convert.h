/* Conversions between all dtypes, each rounded once, to nearest with ties to even. */
#ifndef GRDI_CPU_CONVERT_H
#define GRDI_CPU_CONVERT_H

#include "tensor/backend.h"

/* n elements from `from` to `to`; strides count elements, and may be 0 in `from`. The same memory
 * may be both only for equal sizes and strides. */
typedef void grdi_converter(int64_t n, void *to, int64_t to_stride, const void *from,
                            int64_t from_stride);

/* By dtypes, [to][from]. Floating to i64 drops the fraction; a NaN, or what does not fit, becomes
 * INT64_MIN. To bool: whether it is not 0. Too large for a floating dtype: infinite. A NaN stays
 * one, with the upper bits of what it carried. */
extern grdi_converter *const grdi_converters[GRD_DTYPE_COUNT][GRD_DTYPE_COUNT];

#endif
