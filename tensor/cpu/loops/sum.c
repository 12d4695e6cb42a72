#include "tensor/cpu/loops.h"

double GRDI_LOOP(sum_f32)(int64_t n, const float *x)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum;
}

double GRDI_LOOP(distance_f32)(int64_t n, const float *x, double mean)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

void GRDI_LOOP(sum_columns_f32)(int64_t rows, int64_t n, double *totals, const float *x,
                                int64_t stride)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < n; j++)
            totals[j] += (double)x[i * stride + j];
}
