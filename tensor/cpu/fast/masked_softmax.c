#include "tensor/cpu/fast/vector.h"
#include "tensor/cpu/loops.h"

#include <math.h>

/* y = scale x + additive, -inf where hidden; returns the largest. */
static float scores(int64_t n, float *y, const float *x, float scale, const float *additive,
                    const bool *keep)
{
    vec most = all(-INFINITY);
    for (int64_t i = 0; i < n; i += LANES) {
        vec z = load_first(x + i, n - i) * all(scale);
        if (additive)
            z += load_first(additive + i, n - i);
        z = choose(first_lanes_of(keep ? keep + i : NULL, n - i), z, all(-INFINITY));
        store_first(y + i, n - i, z);
        most = max(z, most);
    }
    return max_of(most);
}

/* y = exp(y - most); returns its sum. */
static float exponentials(int64_t n, float *y, float most)
{
    vec sum = all(0);
    for (int64_t i = 0; i < n; i += LANES) {
        vec z = n - i >= LANES ? load(y + i) : load_part(y + i, n - i, all(-INFINITY));
        z = exp_negative(z - all(most));
        store_first(y + i, n - i, z);
        sum += z;
    }
    return sum_of(sum);
}

/* A row that shows nothing is 0; one with a NaN is NaN wherever it shows. */
static void unusual(int64_t n, float *y, float *lse, const bool *keep)
{
    bool nan = false;
    for (int64_t i = 0; i < n; i++)
        nan |= isnan(y[i]) && (!keep || keep[i]);
    for (int64_t i = 0; i < n; i++)
        y[i] = nan && (!keep || keep[i]) ? NAN : 0;
    if (lse)
        *lse = nan ? NAN : -INFINITY;
}

void GRDI_LOOP(masked_softmax_f32)(int64_t n, float *y, float *lse, const float *x, float scale,
                                   const float *additive, const bool *keep)
{
    const float most = scores(n, y, x, scale, additive, keep);
    const float sum = most == -INFINITY ? 0 : exponentials(n, y, most);
    if (!(sum > 0)) {
        unusual(n, y, lse, keep);
        return;
    }
    for (int64_t i = 0; i < n; i++)
        y[i] *= 1 / sum;
    if (lse)
        *lse = most + logf(sum);
}

void GRDI_LOOP(masked_softmax_backward_f32)(int64_t n, float *dx, const float *y, const float *dy,
                                            float scale, const bool *keep)
{
    vec dots = all(0);
    for (int64_t i = 0; i < n; i += LANES) {
        const lanes shown = first_lanes_of(keep ? keep + i : NULL, n - i);
        dots += choose(shown, load_first(y + i, n - i) * load_first(dy + i, n - i), all(0));
    }
    const vec dot = all(sum_of(dots));
    for (int64_t i = 0; i < n; i += LANES) {
        const lanes shown = first_lanes_of(keep ? keep + i : NULL, n - i);
        const vec change = load_first(dy + i, n - i) - dot;
        store_first(dx + i, n - i,
                    choose(shown, all(scale) * load_first(y + i, n - i) * change, all(0)));
    }
}
