/* What the loss, or the weights of all layers together, say of single pairs of tokens. */
#include "nn/attention.h"
#include <gradus/heads.h>

/* ---- Attribution ---- */

static const char op[] = "attribute_edges";

/* One pass of the loss, with the heads' outputs z scaled and then a leaf, so that the walk ends
 * there: what scales A scales z = A V alike, and dL/dA = dL/dz V^T. */
typedef struct pass {
    const grd_module *module;
    double scale;
    int64_t runs;
    grd_tensor *leaf, *value, *weights; /* one reference each; hidden pairs have weight 0 */
    grd_tensor *hidden;                 /* bool, likewise */
} pass;

static grd_tensor *take(grd_tensor *x)
{
    return x ? grdi_retain(x) : NULL;
}

static grd_tensor *cut(const grd_heads *heads, void *user)
{
    pass *p = user;
    if (heads->module != p->module)
        return NULL;
    if (p->runs++)
        return grdi_fail(GRD_ERROR_STATE, op,
                         "%s runs several times for one loss (or is computed again by "
                         "grd_recompute): its pairs are those of one run",
                         grdi_module_text(p->module).chars);
    p->value = take(grd_detach(heads->value));
    p->weights = take(grd_detach(grd_heads_weights(heads)));
    p->hidden = take(grd_logical_not(grd_heads_visible(heads)));
    p->leaf = take(grd_require_grad(grd_detach(grd_mul_scalar(heads->output, p->scale))));
    return p->leaf;
}

static void release(const pass *p)
{
    grd_tensor *const held[] = { p->leaf, p->value, p->weights, p->hidden };
    for (int i = 0; i < 4; i++)
        grdi_release(held[i]);
}

/* A dL/dA of a pass that has run. */
static grd_tensor *products(const pass *p, const grd_tensor *loss)
{
    grd_tensor *dz = NULL;
    const grd_grad_options options = { .allow_unused = true };
    if (grdi_latched())
        return NULL;
    if (!p->runs)
        return grdi_fail(GRD_ERROR_STATE, op, "the loss was computed without %s",
                         grdi_module_text(p->module).chars);
    if (!loss || grd_tensor_count(loss) != 1)
        return grdi_fail(GRD_ERROR_SHAPE, op, "the loss function gave %s, expected one number",
                         loss ? grdi_size_text(loss).chars : "NULL");
    if (!grd_tensor_requires_grad(loss))
        return grd_zeros_like(p->weights);
    if (grd_grad(GRD_LIST(loss), GRD_LIST(p->leaf), &options, &dz) != GRD_OK)
        return NULL;
    if (!dz)
        return grd_zeros_like(p->weights);
    const grd_tensor *dweights = grd_matmul(dz, grd_transpose(p->value, -1, -2));
    return grd_masked_fill(grd_mul(p->weights, dweights), p->hidden, 0);
}

static grd_tensor *run(grd_module *model, const grd_module *mha, grd_loss_function loss, void *user,
                       double scale)
{
    pass p = { .module = mha, .scale = scale };
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = false;
    grd_on_heads(&scope, cut, &p);
    grd_tensor *result = products(&p, loss(model, user));
    result = grd_scope_return(&scope, result ? grd_detach(result) : NULL);
    release(&p);
    return result;
}

static grd_tensor *mean_of_runs(grd_module *model, const grd_module *mha, grd_loss_function loss,
                                void *user, int64_t steps)
{
    grd_tensor *sum = NULL;
    for (int64_t i = 0; i < steps && !grdi_latched(); i++) {
        const double scale = steps == 1 ? 1 : ((double)i + 0.5) / (double)steps;
        grd_tensor *one = run(model, mha, loss, user, scale);
        sum = sum ? grd_add(sum, one) : one;
    }
    return steps == 1 ? sum : grd_mul_scalar(sum, 1 / (double)steps);
}

grd_tensor *grd_attribute_edges(grd_module *model, grd_module *mha, grd_loss_function loss,
                                void *user, int64_t steps)
{
    if (!model || !mha || !loss)
        return grdi_fail_null(op);
    if (steps < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "steps is %lld, expected 1 or more (0: 1)",
                         (long long)steps);
    if (!grdi_may_make(op) || !grdi_mha_options(op, mha))
        return NULL;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    const int64_t masked_rows = grdi_self.masked_rows;
    const grdi_noted_modes *before = grdi_modes_note(op, model);
    if (before)
        grd_module_eval(model);
    grd_tensor *result = before ? mean_of_runs(model, mha, loss, user, steps ? steps : 1) : NULL;
    grdi_modes_put_back(before);
    grdi_self.masked_rows = masked_rows; /* they are no rows of the caller's */
    return grd_scope_return(&scope, result);
}

/* ---- Rollout ---- */

static bool check_rollout(grd_list weights)
{
    for (int64_t i = 0; i < weights.count; i++) {
        const grd_tensor *x = weights.at[i], *first = weights.at[0];
        if (!x)
            return grdi_fail_null("attention_rollout");
        const int64_t rank = grd_tensor_rank(x);
        if ((rank != 3 && rank != 4) || grd_tensor_size(x, -1) != grd_tensor_size(x, -2))
            return grdi_fail(GRD_ERROR_SHAPE, "attention_rollout",
                             "weights of layer %lld are %s, expected (B, H, T, T) or (H, T, T), of "
                             "self-attention",
                             (long long)i, grdi_size_text(x).chars);
        if (!grdi_same_kind("attention_rollout", first, x))
            return false;
        if (rank != grd_tensor_rank(first) ||
            grd_tensor_size(x, -1) != grd_tensor_size(first, -1) ||
            (rank == 4 && grd_tensor_size(x, 0) != grd_tensor_size(first, 0)))
            return grdi_fail(GRD_ERROR_SHAPE, "attention_rollout",
                             "weights of layer %lld are %s and those of the first %s: only their "
                             "heads may differ",
                             (long long)i, grdi_size_text(x).chars, grdi_size_text(first).chars);
    }
    return weights.count > 0 ||
           grdi_fail(GRD_ERROR_ARGUMENT, "attention_rollout", "there are no layers");
}

grd_tensor *grd_attention_rollout(grd_list weights)
{
    if (!grdi_may_make("attention_rollout") || !check_rollout(weights))
        return NULL;
    grd_scope scope;
    grdi_scope_open(&scope);
    grd_tensor *rollout = NULL;
    for (int64_t i = 0; i < weights.count && !grdi_latched(); i++) {
        const grd_tensor *mean = grd_mean_dims(weights.at[i], GRD_DIMS(-3), GRD_DROP_DIMS);
        const int64_t tokens = grd_tensor_size(mean, -1);
        const grd_tensor *positions = grd_arange(0, tokens, 1);
        const grd_tensor *self = grd_eq(positions, grd_reshape(positions, GRD_SHAPE(tokens, 1)));
        const grd_tensor *one =
            grd_to_device(grd_cast(self, grd_tensor_dtype(mean)), grd_tensor_device(mean));
        grd_tensor *layer = grd_mul_scalar(grd_add(mean, one), 0.5);
        rollout = rollout ? grd_matmul(layer, rollout) : layer;
    }
    return grd_scope_return(&scope, rollout);
}
