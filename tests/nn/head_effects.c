/* What the loss says of heads, held against models whose heads were changed by hand. */
#include "tests/counter.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { B = 3, T = 6, E = 8, H = 2, D = E / H, V = 7, LAYERS = 2 };

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(head_effects, .init = begin, .fini = end);

/* Asked for the token before. */
typedef struct batch {
    grd_tensor *tokens, *targets;
    int calls;
} batch;

static grd_tensor *loss_of_tokens(grd_module *model, void *user)
{
    batch *b = user;
    b->calls++;
    return grd_cross_entropy(grd_forward(model, b->tokens), b->targets, NULL);
}

static grd_module *transformer(void)
{
    grd_module *model = grd_transformer_create(
        grd_rng_create(1), &(grd_transformer_options){ .vocab_size = V,
                                                       .context = T,
                                                       .embed_dim = E,
                                                       .num_heads = H,
                                                       .num_layers = LAYERS,
                                                       .dropout = 0.5,
                                                       .direction = GRD_CAUSAL });
    double deviation = 0.7; /* so that attention does something */
    cr_assert_eq(
        grd_module_initialize(model, "*weight", grd_init_normal, grd_rng_create(2), &deviation),
        GRD_OK, "%s", grd_error_message());
    return model;
}

static batch tokens(void)
{
    grd_rng *rng = grd_rng_create(3);
    return (batch){ grd_randint(rng, 0, V, GRD_SHAPE(B, T)),
                    grd_randint(rng, 0, V, GRD_SHAPE(B, T)), 0 };
}

static double loss_in(grd_module *model, batch *b)
{
    grd_scope *no_grad = grd_scope_begin_no_grad();
    const double loss = grd_item(loss_of_tokens(model, b));
    cr_assert_eq(grd_scope_end(no_grad), GRD_OK, "%s", grd_error_message());
    return loss;
}

/* ---- Ablation ---- */

/* The loss with columns of out_proj that the head is multiplied by set to 0, and its bias moved by
 * what they made of `instead` (D): the head's output is `instead` for every query. */
static double loss_with_constant(grd_module *model, batch *b, const char *path, int64_t head,
                                 const grd_tensor *instead)
{
    grd_scope *no_grad = grd_scope_begin_no_grad();
    grd_module *mha = grd_module_get(model, path);
    grd_tensor *weight = grd_module_parameter(mha, "out_proj.weight");
    grd_tensor *bias = grd_module_parameter(mha, "out_proj.bias");
    grd_tensor *columns = grd_slice(weight, 1, head * D, (head + 1) * D, 1);
    const grd_tensor *old_columns = grd_clone(columns), *old_bias = grd_clone(bias);
    if (instead)
        grd_add_(bias, grd_matmul(columns, instead));
    grd_fill_(columns, 0);
    const double loss = grd_item(loss_of_tokens(model, b));
    grd_copy_(columns, old_columns);
    grd_copy_(bias, old_bias);
    cr_assert_eq(grd_scope_end(no_grad), GRD_OK, "%s", grd_error_message());
    return loss;
}

/* The mean of each head's output in the wanted module. */
typedef struct means {
    grd_module *module;
    double of[H][D];
} means;

static grd_tensor *note_means(const grd_heads *heads, void *user)
{
    means *m = user;
    for (int h = 0; heads->module == m->module && h < H; h++)
        for (int d = 0; d < D; d++) {
            m->of[h][d] = 0;
            for (int b = 0; b < B; b++)
                for (int t = 0; t < T; t++)
                    m->of[h][d] += grd_item_at(heads->output, GRD_DIMS(b, h, t, d)) / (B * T);
        }
    return NULL;
}

Test(head_effects, are_what_a_changed_projection_costs)
{
    static const char *const paths[] = { "blocks.0.self_attn", "blocks.1.self_attn" };
    grd_module *model = transformer();
    batch b = tokens();
    const grd_head_effects all = grd_ablate_heads(model, loss_of_tokens, &b);
    cr_assert_eq(all.num_heads, LAYERS * H, "%s", grd_error_message());
    cr_assert_eq(b.calls, 2 + 3 * LAYERS * H);
    grd_module_eval(model);
    cr_assert_eq(all.loss, loss_in(model, &b));
    for (int i = 0; i < LAYERS * H; i++) {
        const grd_head_effect *e = &all.heads[i];
        means m = { grd_module_get(model, paths[i / H]), { { 0 } } };
        cr_assert_str_eq(e->module, paths[i / H]);
        cr_assert_eq(e->head, i % H);
        grd_on_heads(scope, note_means, &m);
        loss_in(model, &b);
        grd_on_heads(scope, NULL, NULL);
        const double zero = loss_with_constant(model, &b, e->module, e->head, NULL) - all.loss;
        const double mean = loss_with_constant(model, &b, e->module, e->head,
                                               grd_from_f64(m.of[e->head], D, GRD_SHAPE(D))) -
                            all.loss;
        cr_assert_float_eq(e->zero, zero, 1e-12, "%s %d: %g, not %g", e->module, i, e->zero, zero);
        cr_assert_float_eq(e->mean, mean, 1e-12, "%s %d: %g, not %g", e->module, i, e->mean, mean);
        cr_assert(fabs(zero) > 1e-3 && fabs(zero - mean) > 1e-3, "%g %g", zero, mean);
    }
}

/* With one head, weights are uniform where the queries' projection is 0. */
Test(head_effects, uniform_weights_are_those_of_queries_that_ask_nothing)
{
    grd_module *model = grd_transformer_create(
        grd_rng_create(1), &(grd_transformer_options){ .vocab_size = V,
                                                       .context = T,
                                                       .embed_dim = E,
                                                       .num_heads = 1,
                                                       .num_layers = 1,
                                                       .direction = GRD_CAUSAL });
    double deviation = 0.7;
    grd_module_initialize(model, "*weight", grd_init_normal, grd_rng_create(2), &deviation);
    batch b = tokens();
    const grd_head_effects all = grd_ablate_heads(model, loss_of_tokens, &b);
    cr_assert_eq(all.num_heads, 1);
    grd_scope *no_grad = grd_scope_begin_no_grad();
    grd_tensor *in = grd_module_parameter(model, "blocks.0.self_attn.in_proj_weight");
    grd_fill_(grd_slice(in, 0, 0, E, 1), 0);
    grd_scope_end(no_grad);
    const double expected = loss_in(model, &b) - all.loss;
    cr_assert_float_eq(all.heads[0].uniform, expected, 1e-12, "%g, not %g", all.heads[0].uniform,
                       expected);
    cr_assert_gt(fabs(expected), 1e-3);
}

/* ---- Importance ---- */

/* A loss that is linear in the heads' outputs: then |z . dL/dz| is what zero changes, sample by
 * sample. */
typedef struct linear {
    const grd_tensor *x, *direction;
    bool recomputed, unrecorded;
} linear;

static grd_tensor *attended(const grd_tensor *const *inputs, void *model)
{
    return grd_mha_forward(model, inputs[0], inputs[0], inputs[0], NULL).output;
}

static grd_tensor *linear_loss(grd_module *model, void *user)
{
    const linear *l = user;
    grd_scope *inner = grd_scope_begin_with(&(grd_scope_options){ .no_grad = l->unrecorded });
    grd_tensor *y =
        l->recomputed ? grd_recompute(attended, model, GRD_LIST(l->x)) : attended(&l->x, model);
    return grd_scope_return(inner, grd_sum(grd_mul(y, l->direction)));
}

static grd_module *one_module(grd_layout layout)
{
    return grd_mha_create(
        grd_rng_create(6),
        &(grd_mha_options){ .embed_dim = E, .num_heads = H, .layout = layout, .no_bias = true });
}

static linear problem(int64_t samples)
{
    grd_rng *rng = grd_rng_create(7);
    return (linear){ grd_randn(rng, GRD_SHAPE(samples, T, E)),
                     grd_randn(rng, GRD_SHAPE(samples, T, E)), false, false };
}

static void expect_importance(grd_module *m, const linear *l)
{
    double expected[H] = { 0 };
    bool cancels = false;
    for (int b = 0; b < grd_tensor_size(l->x, 0); b++) {
        linear one = { grd_slice(l->x, 0, b, b + 1, 1), grd_slice(l->direction, 0, b, b + 1, 1),
                       false, false };
        const grd_head_effects e = grd_ablate_heads(m, linear_loss, &one);
        for (int h = 0; h < H; h++)
            expected[h] += fabs(e.heads[h].zero);
    }
    const grd_head_effects all = grd_ablate_heads(m, linear_loss, (void *)l);
    cr_assert_eq(all.num_heads, H, "%s", grd_error_message());
    for (int h = 0; h < H; h++) {
        cr_assert_float_eq(all.heads[h].importance, expected[h], 1e-10, "%g, not %g",
                           all.heads[h].importance, expected[h]);
        cancels |= all.heads[h].importance > fabs(all.heads[h].zero) + 1e-3;
    }
    cr_assert(cancels, "over samples zero may cancel out, and importance does not");
}

Test(head_effects, importance_is_what_zero_costs_where_the_loss_is_linear)
{
    grd_module *m = one_module(GRD_BATCH_FIRST);
    linear l = problem(4);
    expect_importance(m, &l);
    l.recomputed = true;
    expect_importance(m, &l);
    grd_module_freeze(m);
    l.recomputed = false;
    expect_importance(m, &l);
}

Test(head_effects, importance_without_a_batch)
{
    linear l = { grd_randn(grd_rng_create(7), GRD_SHAPE(T, E)),
                 grd_randn(grd_rng_create(8), GRD_SHAPE(T, E)), false, false };
    const grd_head_effects e = grd_ablate_heads(one_module(GRD_UNBATCHED), linear_loss, &l);
    for (int h = 0; h < H; h++)
        cr_assert_float_eq(e.heads[h].importance, fabs(e.heads[h].zero), 1e-10);
}

Test(head_effects, importance_of_what_is_not_recorded_is_unknown)
{
    linear l = problem(2);
    l.unrecorded = true;
    const grd_head_effects e = grd_ablate_heads(one_module(GRD_BATCH_FIRST), linear_loss, &l);
    cr_assert(isnan(e.heads[0].importance) && isfinite(e.heads[0].zero), "%s", grd_error_message());
}

/* ---- A known head ---- */

/* A head whose columns in the output projection are 0 says nothing, whatever it looks at. */
Test(head_effects, a_dead_head_costs_nothing)
{
    grd_module *model = transformer();
    batch b = tokens();
    grd_scope *no_grad = grd_scope_begin_no_grad();
    grd_fill_(
        grd_slice(grd_module_parameter(model, "blocks.1.self_attn.out_proj.weight"), 1, D, E, 1),
        0);
    grd_scope_end(no_grad);
    const grd_head_effect *dead = &grd_ablate_heads(model, loss_of_tokens, &b).heads[3];
    cr_assert(dead->zero == 0 && dead->mean == 0 && dead->uniform == 0 && dead->importance == 0,
              "%g %g %g %g", dead->zero, dead->mean, dead->uniform, dead->importance);
}

/* ---- What is left as it was ---- */

Test(head_effects, leave_the_model_as_it_was)
{
    grd_module *model = transformer();
    batch b = tokens();
    grd_rng *rng = grd_rng_create(12);
    grd_module_train(model, rng);
    grd_scope *copies = grd_scope_begin();
    const int64_t count = grd_module_num_parameters(model);
    const grd_tensor *values[64], *gradients[64];
    cr_assert_eq(grd_backward(loss_of_tokens(model, &b)), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < count; i++) {
        const grd_tensor *parameter = grd_module_parameter_at(model, i).tensor;
        values[i] = grd_clone(grd_detach(parameter));
        gradients[i] = grd_clone(grd_tensor_grad(parameter));
    }
    const int64_t masked = grd_masked_rows(scope);
    const double next = grd_item(grd_rand(grd_rng_split(rng, "next"), GRD_SCALAR));
    cr_assert_eq(grd_ablate_heads(model, loss_of_tokens, &b).num_heads, LAYERS * H);
    for (int64_t i = 0; i < count; i++) {
        const grd_tensor *parameter = grd_module_parameter_at(model, i).tensor;
        cr_assert(grd_equal(parameter, values[i]) &&
                  grd_equal(grd_tensor_grad(parameter), gradients[i]));
    }
    cr_assert_eq(grd_masked_rows(scope), masked);
    cr_assert_eq(next, grd_item(grd_rand(grd_rng_split(rng, "next"), GRD_SCALAR)));
    const double dropped = grd_item(loss_of_tokens(model, &b));
    cr_assert_neq(dropped, grd_item(loss_of_tokens(model, &b)), "it still drops");
    grd_scope_end(copies);
}

Test(head_effects, of_a_module_itself_and_of_none)
{
    linear l = problem(1);
    const grd_head_effects e = grd_ablate_heads(one_module(GRD_BATCH_FIRST), linear_loss, &l);
    cr_assert(e.num_heads == H && strcmp(e.heads[1].module, "") == 0 && e.heads[1].head == 1);
    grd_module *shared = grd_module_create("Twice", 0, NULL), *m = one_module(GRD_BATCH_FIRST);
    grd_module_add(shared, "a", m);
    grd_module_add(grd_module_add(shared, "deep", grd_module_create("In", 0, NULL)), "b",
                   one_module(GRD_BATCH_FIRST));
    grd_module_add(shared, "c", m);
    const grd_head_effects several = grd_ablate_heads(shared, NULL, NULL);
    cr_assert_eq(several.num_heads, 0);
    expect_error(GRD_ERROR_ARGUMENT, "ablate_heads: an argument is NULL");
}

/* ---- Mistakes ---- */

static grd_tensor *no_loss(grd_module *model, void *user)
{
    (void)model, (void)user;
    return NULL;
}

static grd_tensor *many_losses(grd_module *model, void *user)
{
    (void)model, (void)user;
    return grd_zeros(GRD_SHAPE(2, 3));
}

static grd_tensor *failing(grd_module *model, void *user)
{
    return ++*(int *)user < 4
               ? grd_scalar(1)
               : grd_fail(GRD_ERROR_STATE, "my_loss", "not a fourth time of %p", (void *)model);
}

Test(head_effects, mistakes_are_named)
{
    int calls = 0;
    grd_module *m = one_module(GRD_BATCH_FIRST);
    cr_assert_eq(grd_ablate_heads(NULL, no_loss, NULL).num_heads, 0);
    expect_error(GRD_ERROR_ARGUMENT, "ablate_heads: an argument is NULL");
    cr_assert_null(grd_ablate_heads(m, no_loss, NULL).heads);
    expect_error(GRD_ERROR_STATE, "ablate_heads: the loss function returned NULL without an error");
    cr_assert_null(grd_ablate_heads(m, many_losses, NULL).heads);
    expect_error(GRD_ERROR_SHAPE,
                 "ablate_heads: the loss is [2, 3], expected one number (a mean over samples)");
    cr_assert_null(grd_ablate_heads(m, failing, &calls).heads);
    expect_error(GRD_ERROR_STATE, "my_loss: not a fourth time");
}

static grd_status program(void)
{
    grd_scope *all = grd_scope_begin();
    linear l = problem(1);
    grd_module *m = one_module(GRD_BATCH_FIRST);
    const grd_head_effects e = grd_ablate_heads(m, linear_loss, &l);
    (void)e;
    return grd_scope_end(all);
}

Test(head_effects_memory, every_failed_allocation_is_an_error)
{
    fail_at_every_allocation(program, 100);
}
