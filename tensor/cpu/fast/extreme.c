#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

#include <math.h>

/* Several at a time, since one would wait for the one before. */
enum { ROWS = 4 };

/* The largest of sign x, and in `odd` whether one is NaN, which max passes over. */
static inline __attribute__((always_inline)) vec largest(int64_t n, const float *x, float sign,
                                                         whole_vec *odd)
{
    vec most[ROWS];
    for (int r = 0; r < ROWS; r++)
        most[r] = all(-INFINITY);
    int64_t i = 0;
    for (; i + ROWS * LANES <= n; i += ROWS * LANES)
        for (int r = 0; r < ROWS; r++) {
            const vec next = all(sign) * load(x + i + r * LANES);
            most[r] = max(next, most[r]);
            *odd |= next != next;
        }
    for (; i < n; i += LANES) {
        const vec next =
            n - i < LANES ? load_part(x + i, n - i, all(sign * -INFINITY)) : load(x + i);
        most[0] = max(all(sign) * next, most[0]);
        *odd |= next != next;
    }
    return max(max(most[0], most[1]), max(most[2], most[3]));
}

static inline __attribute__((always_inline)) float extreme(int64_t n, const float *x, float sign)
{
    whole_vec odd = { 0 };
    const float found = max_of(largest(n, x, sign, &odd));
    int32_t any = 0;
    for (int k = 0; k < LANES; k++)
        any |= odd[k];
    return any ? NAN : sign * found;
}

float GRDI_LOOP(largest_f32)(int64_t n, const float *x)
{
    return extreme(n, x, 1);
}

float GRDI_LOOP(smallest_f32)(int64_t n, const float *x)
{
    return extreme(n, x, -1);
}
