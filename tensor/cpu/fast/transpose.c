#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

void GRDI_LOOP(transpose_f32)(int64_t rows, int64_t columns, float *y, int64_t y_row,
                              const float *x, int64_t x_row)
{
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        int64_t j = 0;
        for (; j + 4 <= columns; j += 4)
            transpose_four(y + i * y_row + j, y_row, x + j * x_row + i, x_row);
        for (; j < columns; j++)
            for (int64_t k = i; k < i + 4; k++)
                y[k * y_row + j] = x[j * x_row + k];
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            y[i * y_row + j] = x[j * x_row + i];
}
