#include "tensor/cpu/loops.h"

#include <math.h>

/* NaN stays once it is found, since nothing is larger, or smaller. */

float GRDI_LOOP(largest_f32)(int64_t n, const float *x)
{
    float found = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        found = x[i] > found || x[i] != x[i] ? x[i] : found;
    return found;
}

float GRDI_LOOP(smallest_f32)(int64_t n, const float *x)
{
    float found = INFINITY;
    for (int64_t i = 0; i < n; i++)
        found = x[i] < found || x[i] != x[i] ? x[i] : found;
    return found;
}
