/* Whether rows are finite. Compiled for f32 and for f64. */
#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

#ifdef GRDI_F64
#define FINITE(name) GRDI_LOOP(name##_f64)
#else
#define FINITE(name) GRDI_LOOP(name##_f32)
#endif

static bool all_zero(vec x)
{
    real of[LANES];
    bool zero = true;
    store(of, x);
    for (int i = 0; i < LANES; i++)
        zero &= of[i] == 0;
    return zero;
}

/* x - x is 0 of what is finite, and else NaN, as is any sum with it. */
bool FINITE(rows_finite)(int64_t rows, int64_t size, const real *x, int64_t row)
{
    vec even = all(0), odd = all(0);
    if (row == size) {
        size *= rows;
        rows = rows > 0;
    }
    for (int64_t i = 0; i < rows; i++, x += row) {
        int64_t j = 0;
        for (; j + 2 * LANES <= size; j += 2 * LANES) {
            const vec first = load(x + j), second = load(x + j + LANES);
            even += first - first;
            odd += second - second;
        }
        for (; j < size; j += LANES) {
            const vec last = size - j < LANES ? load_part(x + j, size - j, all(0)) : load(x + j);
            even += last - last;
        }
    }
    return all_zero(even + odd);
}
