#include "tensor/cpu/loops.h"

#include <string.h>

bool GRDI_LOOP(all_finite_f32)(int64_t n, const float *x)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7f800000u;
}

bool GRDI_LOOP(all_finite_f64)(int64_t n, const double *x)
{
    uint64_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= 0x7fffffffffffffffu;
        largest = bits > largest ? bits : largest;
    }
    return largest < 0x7ff0000000000000u;
}
