#include "autograd/attention.h"

/* y = q k^T where kept: dq = dy k, dk = dy^T q, and dy is 0 where hidden. */
static void scores_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const grd_tensor *keep = grdi_saved_extra(node, 0);
    if (grdi_wants(node, 0))
        dx[0] = grdi_mix(dy, grdi_saved(node, 1), keep);
    if (grdi_wants(node, 1))
        dx[1] =
            grdi_mix(grd_transpose(dy, -1, -2), grdi_saved(node, 0), grd_transpose(keep, -1, -2));
}

static const grdi_derivative scores = {
    .op = "attention_scores",
    .rule = "y = q k^T where kept: dq = dy k, dk = dy^T q",
    .needs = { GRDI_INPUT(1), GRDI_INPUT(0) },
    .backward = scores_backward,
};

grd_tensor *grdi_scores(const grd_tensor *q, const grd_tensor *k, const grd_tensor *keep)
{
    if (!keep)
        return k ? grd_matmul(q, grd_transpose(k, -1, -2)) : grdi_fail_null("attention_scores");
    return grdi_record_saving(&scores, grdi_kept_products(q, k, keep),
                              (const grd_tensor *[]){ q, k }, 2, NULL, &keep, 1);
}

/* y = w v over what is kept: dw = dy v^T where kept, dv = w^T dy. What dw has elsewhere meets
 * grdi_weights, which does not look at it. */
static void mix_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const grd_tensor *keep = grdi_saved_extra(node, 0);
    if (grdi_wants(node, 0))
        dx[0] = grdi_scores(dy, grdi_saved(node, 1), keep);
    if (grdi_wants(node, 1))
        dx[1] =
            grdi_mix(grd_transpose(grdi_saved(node, 0), -1, -2), dy, grd_transpose(keep, -1, -2));
}

static const grdi_derivative mix = {
    .op = "attention_mix",
    .rule = "y = w v over what is kept: dw = dy v^T where kept, dv = w^T dy",
    .needs = { GRDI_INPUT(1), GRDI_INPUT(0) },
    .backward = mix_backward,
};

grd_tensor *grdi_mix(const grd_tensor *w, const grd_tensor *v, const grd_tensor *keep)
{
    if (!keep)
        return grd_matmul(w, v);
    return grdi_record_saving(&mix, grdi_kept_sums(w, v, keep), (const grd_tensor *[]){ w, v }, 2,
                              NULL, &keep, 1);
}
