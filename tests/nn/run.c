#include "tests/nn/run.h"

#include "nn/optimizer.h"
#include "tensor/front.h"
#include "tensor/rng.h"
#include <string.h>

enum { FEATURES = 6 };

static const grd_schedule schedule = {
    .shape = GRD_COSINE, .lr = 0.05, .warmup_steps = 2, .total_steps = 100
};

/* y = dropout(softmax(x W + b)) V: random numbers are drawn in every step. */
static grd_tensor *forward(grd_module *self, const grd_tensor *x)
{
    const grd_tensor *w = grd_module_parameter(self, "hidden.weight");
    const grd_tensor *b = grd_module_parameter(self, "hidden.bias");
    const grd_tensor *v = grd_module_parameter(self, "out");
    const grd_tensor *h = grd_softmax(grd_add(grd_matmul(x, w), b), -1);
    return grd_matmul(grd_forward(grd_module_get(self, "dropout"), h), v);
}

run run_create(uint64_t seed)
{
    run r = { .rng = grd_rng_create(seed) };
    grd_module *hidden = grd_module_create("Hidden", 0, NULL);
    r.model = grd_module_create("Net", 0, forward);
    grd_module_add(r.model, "hidden", hidden);
    grd_module_add_parameter(hidden, "weight", grd_randn(r.rng, GRD_SHAPE(FEATURES, 5)));
    grd_module_add_parameter(hidden, "bias", grd_randn(r.rng, GRD_SHAPE(5)));
    grd_module_add_parameter(r.model, "out", grd_randn(r.rng, GRD_SHAPE(5, 2)));
    grd_module_add(r.model, "dropout", grd_dropout_create(0.3));
    grd_module_train(r.model, r.rng);
    r.optimizer = grd_adamw_create(r.model, &(grd_adam_options){ .weight_decay = 0.1 });
    r.data = grd_data_task("copy", &(grd_task_options){ .batch_size = 4, .length = 3 });
    return r;
}

grd_checkpoint run_checkpoint(run *r)
{
    return (grd_checkpoint){
        .model = r->model,
        .optimizer = r->optimizer,
        .rng = r->rng,
        .step = &r->step,
        .data = r->data,
        .schedule = &schedule,
        .tokenizer = grd_data_tokenizer(r->data),
        .config = "{\"name\": \"run\"}",
    };
}

static void train_step(run *r)
{
    const grd_batch batch = grd_batch_at(r->data, r->step);
    const grd_tensor *x = grd_cast(batch.inputs, GRD_F32);
    const grd_tensor *y = grd_forward(r->model, x);
    grd_backward(grd_sum(grd_mul(y, y)));
    grd_optimizer_step(r->optimizer, grd_schedule_at(&schedule, r->step));
}

grd_status run_steps(run *r, int count)
{
    grd_status status = GRD_OK;
    for (int i = 0; i < count && status == GRD_OK; i++) {
        grd_scope *scope = grd_scope_begin();
        train_step(r);
        status = grd_scope_end(scope);
        r->step += status == GRD_OK;
    }
    return status;
}

bool same_bits(const grd_tensor *a, const grd_tensor *b)
{
    static unsigned char bits[2][4096];
    const grd_shape shape = grd_tensor_shape(a);
    if (grd_tensor_dtype(a) != grd_tensor_dtype(b) || !grdi_has_shape(&b->array, &shape))
        return false;
    const size_t size = (size_t)grd_tensor_count(a) * grdi_dtype_size(grd_tensor_dtype(a));
    return size <= sizeof bits[0] && grdi_download("test", a, bits[0]) &&
           grdi_download("test", b, bits[1]) && memcmp(bits[0], bits[1], size) == 0;
}

bool run_equal(const run *a, const run *b)
{
    bool same =
        a->step == b->step && memcmp(&a->rng->state, &b->rng->state, sizeof a->rng->state) == 0;
    for (int64_t i = 0; same && i < grdi_module_num_states(a->model); i++)
        same =
            same_bits(grdi_module_state(a->model, i).tensor, grdi_module_state(b->model, i).tensor);
    for (int64_t i = 0; same && i < grdi_optimizer_num_moments(a->optimizer); i++) {
        const grdi_moment x = grdi_optimizer_moment(a->optimizer, i);
        const grdi_moment y = grdi_optimizer_moment(b->optimizer, i);
        same = *x.steps == *y.steps && same_bits(x.tensor, y.tensor);
    }
    return same;
}
