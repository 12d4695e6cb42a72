#include "tensor/cpu/loops.h"

#include <math.h>

void GRDI_LOOP(sgd_f32)(int64_t n, float *x, float *b, const float *dx, const grdi_sgd *numbers)
{
    const float lr = (float)numbers->lr, momentum = (float)numbers->momentum;
    const float decay = (float)numbers->weight_decay;
    for (int64_t i = 0; i < n; i++) {
        float d = dx[i] + decay * x[i];
        if (b) {
            b[i] = momentum * b[i] + d;
            d = numbers->nesterov ? d + momentum * b[i] : b[i];
        }
        x[i] -= lr * d;
    }
}

void GRDI_LOOP(adam_f32)(int64_t n, float *x, float *m, float *v, const float *dx,
                         const grdi_adam *numbers)
{
    const float beta1 = (float)numbers->beta1, rest1 = (float)(1 - numbers->beta1);
    const float beta2 = (float)numbers->beta2, rest2 = (float)(1 - numbers->beta2);
    const float shrink = (float)numbers->shrink, step = (float)numbers->step;
    const float root = (float)numbers->root, eps = (float)numbers->eps;
    for (int64_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + rest1 * dx[i];
        v[i] = beta2 * v[i] + rest2 * dx[i] * dx[i];
        x[i] = shrink * x[i] - step * m[i] / (root * sqrtf(v[i]) + eps);
    }
}
