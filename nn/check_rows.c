/* Check 2: weights before dropout are shares: none is negative, and a row of them is 1. */
#include "nn/check.h"

#include <math.h>
#include <stdio.h>

static const grdi_diagnosis wrong_axis = {
    "the output's size depends on how many queries there are; training is slow or unstable",
    "the softmax runs over queries or heads instead of keys",
};
static const grdi_diagnosis after_softmax = {
    "rows with hidden keys are too small: masked tokens fade the output instead of being left out",
    "the mask is applied after the softmax: weights are zeroed, but their sum saw the hidden keys",
};
static const grdi_diagnosis without_keys = {
    "one row without a visible key makes the loss NaN, or attends to padding",
    "a softmax over -inf alone is 0 / 0; over -1e9 alone it is uniform",
};
static const grdi_diagnosis not_the_mean = {
    "plots of weights show something else than what the heads do",
    "averaged weights are not the mean over heads",
};

/* What each row (B, H or 1, L) must sum to. */
static const grd_tensor *promised_sums(const grdi_probe *p, const grdi_masking *m)
{
    const grd_tensor *any = grd_any_dims(m->visible, GRD_DIMS(3), GRD_DROP_DIMS);
    const grd_tensor *sums = grd_cast(any, GRD_F64);
    return p->appended > 0 ? grd_ones_like(sums) : sums;
}

static const grdi_diagnosis *diagnosis_of(const grdi_masking *m, double promised)
{
    if (promised == 0)
        return &without_keys;
    const bool all_seen = grd_item(grd_all_dims(m->visible, (grd_dims){ 0 }, GRD_DROP_DIMS)) != 0;
    return all_seen ? &wrong_axis : &after_softmax;
}

static void check_sums(grdi_probe *p, grd_attention_check *check, const grdi_masking *m,
                       const grd_tensor *weights)
{
    grd_dims at;
    const grd_tensor *sums = grd_sum_dims(weights, GRD_DIMS(3), GRD_DROP_DIMS);
    const grd_tensor *promised = grd_expand(promised_sums(p, m), grd_tensor_shape(sums));
    const double worst = grdi_largest(grd_sub(sums, promised), &at);
    if (grdi_latched())
        return;
    if (worst <= p->tolerance) {
        check->measured = fmax(check->measured, worst);
        return;
    }
    const double one = grd_item_at(promised, at);
    grdi_flaw(check, diagnosis_of(m, one), worst,
              "%s: the weights of sample %d, head %d, query %d sum to %.6g, not %g", m->name,
              (int)at.dim[0], (int)at.dim[1], (int)at.dim[2], grd_item_at(sums, at), one);
}

static void check_signs(grd_attention_check *check, const grdi_masking *m,
                        const grd_tensor *weights)
{
    const double least = grd_item(grd_min(weights));
    if (least < 0)
        grdi_flaw(check, &after_softmax, least, "%s: a weight is %.3g", m->name, least);
}

static void check_mean(grdi_probe *p, grd_attention_check *check, const grdi_masking *m,
                       const grd_tensor *weights, const grd_tensor *averaged)
{
    const double worst =
        grdi_largest(grd_sub(averaged, grd_mean_dims(weights, GRD_DIMS(1), GRD_DROP_DIMS)), NULL);
    if (!(worst <= p->tolerance) && !grdi_latched())
        grdi_flaw(check, &not_the_mean, worst, "%s: averaged weights are %.3g off the heads' mean",
                  m->name, worst);
}

static const grd_tensor *weights_of(const grdi_probe *p, const grdi_masking *m,
                                    const grdi_inputs *inputs, grd_weights which)
{
    grd_attention a;
    const grd_mha_args args = { .mask = m->mask, .weights = which };
    return grdi_probe_call(p, inputs, &args, &a)
               ? grd_cast(grd_detach(grdi_probe_batched(p, a.weights)), GRD_F64)
               : NULL;
}

static void check_mask(grdi_probe *p, grd_attention_check *check, const grdi_masking *m)
{
    const grdi_inputs inputs = grdi_probe_inputs(p, m->sizes, m->self);
    if (grdi_latched())
        return;
    const grd_tensor *weights = weights_of(p, m, &inputs, GRD_PER_HEAD);
    const grd_tensor *averaged = weights ? weights_of(p, m, &inputs, GRD_AVERAGED) : NULL;
    if (!averaged)
        return;
    check_sums(p, check, m, weights);
    check_signs(check, m, weights);
    check_mean(p, check, m, weights, averaged);
}

void grdi_check_rows(grdi_probe *p, grd_attention_check *check)
{
    for (int i = 0; i < GRDI_MASKINGS && check->passed; i++) {
        const grdi_masking m = grdi_masking_at(p, i);
        check_mask(p, check, &m);
        if (grdi_latched()) {
            grdi_error_context(" (%s)", m.name);
            return;
        }
    }
    if (check->passed)
        snprintf(check->text, sizeof check->text,
                 "without a mask and with %d kinds: rows are shares, and 0 where no key is seen",
                 GRDI_MASKINGS - 1);
}
