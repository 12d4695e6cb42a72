#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

void GRDI_LOOP(cross_entropy_backward_f32)(int64_t n, float *dx, const float *x, double lse,
                                           float scale, float spread)
{
    const float shift = (float)lse, rest = (float)(lse - (double)shift);
    const vec away = all(-scale * spread);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec e = exp_negative(load(x + i) - all(shift) - all(rest));
        store(dx + i, mul_add(e, all(scale), away));
    }
    if (i < n) {
        const vec e = exp_negative(load_part(x + i, n - i, all(shift)) - all(shift) - all(rest));
        store_part(dx + i, n - i, mul_add(e, all(scale), away));
    }
}
