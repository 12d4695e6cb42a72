#include "tools/evaluate.h"
#include "tools/signals.h"

#include <math.h>

grd_tensor *sequences_right(const grd_tensor *guess, const grd_tensor *targets)
{
    const grd_tensor *fine = grd_logical_or(grd_eq(guess, targets), grd_eq_scalar(targets, -100));
    return grd_all_dims(fine, GRD_DIMS(-1), GRD_DROP_DIMS);
}

grd_tensor *summed_loss(const grd_tensor *logits, grd_batch batch)
{
    const grd_dtype dtype = grd_tensor_dtype(logits);
    if (dtype == GRD_F16 || dtype == GRD_BF16)
        logits = grd_cast(logits, GRD_F32);
    return grd_cross_entropy(logits, batch.targets,
                             &(grd_cross_entropy_options){ .reduction = GRD_SUM });
}

typedef struct totals {
    double loss, tokens, right, sequences;
} totals;

static void add_batch(totals *t, grd_module *model, grd_batch batch)
{
    const grd_tensor *logits = grd_forward(model, batch.inputs);
    const grd_tensor *loss = summed_loss(logits, batch);
    const grd_tensor *right = sequences_right(grd_argmax(logits, -1), batch.targets);
    t->loss += grd_item(loss);
    t->tokens += (double)batch.tokens;
    t->right += grd_item(grd_sum(grd_cast(right, GRD_F32)));
    t->sequences += (double)grd_tensor_size(batch.inputs, 0);
}

evaluation evaluate(grd_module *model, const grd_data *data, int64_t batches)
{
    totals t = { 0 };
    const int64_t all = grd_data_batches(data),
                  count = batches > 0 && batches < all ? batches : all;
    grd_scope *scope = grd_scope_begin_no_grad();
    grd_module_eval(model);
    for (int64_t i = 0; i < count && !caught_signal(); i++) {
        grd_scope *pass = grd_scope_begin();
        add_batch(&t, model, grd_batch_at(data, i));
        grd_scope_end(pass);
    }
    if (grd_scope_end(scope) != GRD_OK || caught_signal())
        return (evaluation){ NAN, NAN };
    return (evaluation){ t.loss / t.tokens, t.right / t.sequences };
}
