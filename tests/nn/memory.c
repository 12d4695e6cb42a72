/* Training an MLP: no system allocation in the steady state, and failing at every allocation. */
#include "tests/counter.h"

#include <criterion/criterion.h>

/* x -> out(dropout(relu(norm(hidden(x))))) */
typedef struct mlp {
    grd_module *hidden, *norm, *dropout, *out;
} mlp;

static grd_tensor *mlp_forward(grd_module *self, const grd_tensor *x)
{
    const mlp *m = grd_module_data(self);
    const grd_tensor *h = grd_relu(grd_forward(m->norm, grd_forward(m->hidden, x)));
    return grd_forward(m->out, grd_forward(m->dropout, h));
}

static grd_module *mlp_create(grd_rng *rng)
{
    grd_module *self = grd_module_create("MLP", sizeof(mlp), mlp_forward);
    mlp *m = grd_module_data(self);
    if (!m)
        return NULL;
    m->hidden = grd_module_add(self, "hidden", grd_linear_create(rng, 4, 8, NULL));
    m->norm = grd_module_add(self, "norm", grd_layer_norm_create(8, NULL));
    m->dropout = grd_module_add(self, "dropout", grd_dropout_create(0.25));
    m->out = grd_module_add(self, "out", grd_linear_create(rng, 8, 2, NULL));
    grd_module_train(self, rng);
    return self;
}

typedef struct training {
    grd_module *model;
    grd_optimizer *optimizer;
    const grd_tensor *x;
} training;

static training prepare(void)
{
    grd_rng *rng = grd_rng_create(1);
    training t = { .model = mlp_create(rng), .x = grd_full(GRD_SHAPE(3, 4), 0.5) };
    const grd_adam_options options = { .weight_decay = 0.01, .groups = { { "*.bias", 2, true } } };
    t.optimizer = grd_adamw_create(t.model, &options);
    return t;
}

static grd_status train_step(const training *t, int64_t step)
{
    static const grd_schedule schedule = { GRD_COSINE, 0.1, 0.01, 2, 8 };
    grd_scope *scope = grd_scope_begin();
    grd_backward(grd_sum(grd_square(grd_forward(t->model, t->x))));
    grd_scale_grad(t->model, 0.5);
    grd_clip_grad_norm(t->model, 1e-3);
    grd_optimizer_step(t->optimizer, grd_schedule_at(&schedule, step));
    return grd_scope_end(scope);
}

static grd_status whole_program(void)
{
    grd_scope *scope = grd_scope_begin();
    const training t = prepare();
    double deviation = 0.1;
    train_step(&t, 0);
    grd_module_initialize(t.model, "out.*", grd_init_normal, grd_rng_create(2), &deviation);
    grd_module_initialize(t.model, "*n.weight", grd_init_xavier_uniform, grd_rng_create(2), NULL);
    grd_module_to(t.model, NULL, GRD_F64);
    return grd_scope_end(scope);
}

Test(nn_memory, training_fails_cleanly_at_every_allocation)
{
    fail_at_every_allocation(whole_program, 150);
}

Test(nn_memory, a_failed_step_leaves_what_can_go_on)
{
    counter c = { 0 };
    count_with(&c, true);
    grd_scope *scope = grd_scope_begin();
    const training t = prepare();
    const long made = c.asked;
    cr_assert_eq(train_step(&t, 0), GRD_OK, "%s", grd_error_message());
    const long needed = c.asked - made;
    for (long n = 1; n <= needed; n++) {
        c.asked = 0;
        c.fail_at = n;
        cr_assert_eq(train_step(&t, 1), GRD_ERROR_MEMORY, "allocation %ld", n);
        cr_assert_eq(grd_error_take(), GRD_ERROR_MEMORY);
        grd_module_zero_grad(t.model);
        c.fail_at = 0;
        cr_assert_eq(train_step(&t, 2), GRD_OK, "%s", grd_error_message());
    }
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
    cr_assert_eq(c.live, 0);
}

Test(nn_memory, steady_state_asks_for_nothing)
{
    counter c = { 0 };
    count_with(&c, false);
    grd_scope *scope = grd_scope_begin();
    const training t = prepare();
    long before = 0;
    for (int step = 0; step < 12; step++) {
        before = step == 2 ? c.asked : before;
        cr_assert_eq(train_step(&t, step), GRD_OK, "%s", grd_error_message());
    }
    cr_assert_eq(c.asked, before, "%ld", c.asked - before);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(grd_set_allocator(NULL), GRD_OK, "%s", grd_error_message());
    cr_assert_eq(c.live, 0);
}
