/* What is said of single pairs of tokens: against gradients of weights in memory, and against what
 * the loss changes. */
#include "tests/counter.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { B = 2, T = 5, E = 8, H = 2, V = 7 };

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(edges, .init = begin, .fini = end);

/* ---- Attribution ---- */

static grd_module *module(grd_layout layout)
{
    return grd_mha_create(grd_rng_create(1), &(grd_mha_options){ .embed_dim = E,
                                                                 .num_heads = H,
                                                                 .layout = layout,
                                                                 .dropout = 0.4,
                                                                 .add_zero_attn = true });
}

/* What a module is asked with, and by which kernel. */
typedef struct question {
    const grd_tensor *x;
    grd_mha_args args;
    grd_tensor *weights; /* of the last answer */
} question;

static grd_tensor *loss_of(grd_module *model, void *user)
{
    question *q = user;
    const grd_attention a = grd_mha_forward(model, q->x, q->x, q->x, &q->args);
    q->weights = a.weights;
    return grd_sum(grd_square(a.output));
}

/* A dL/dA by a walk to the weights themselves. */
static grd_tensor *by_the_walk(grd_module *model, question q)
{
    grd_tensor *gradient;
    q.args.composed = true;
    q.args.weights = GRD_PER_HEAD;
    cr_assert_eq(grd_module_eval(model), GRD_OK);
    const grd_tensor *loss = loss_of(model, &q);
    cr_assert_eq(grd_grad(GRD_LIST(loss), GRD_LIST(q.weights), NULL, &gradient), GRD_OK, "%s",
                 grd_error_message());
    return grd_mul(q.weights, gradient);
}

Test(edges, are_weights_times_their_gradients)
{
    const grd_layout layouts[] = { GRD_BATCH_FIRST, GRD_SEQUENCE_FIRST, GRD_UNBATCHED };
    const int64_t lengths[] = { 3, 5 };
    const grd_mask masks[] = {
        { .causal = true, .align = GRD_ALIGN_TOP_LEFT },
        { .key_lengths = grd_from_i64(lengths, B, GRD_SHAPE(B)) },
        { .window_left = GRD_SET(1), .align = GRD_ALIGN_TOP_LEFT },
    };
    for (int l = 0; l < 3; l++)
        for (int m = 0; m < 3; m++) {
            if (l == 2 && m == 1)
                continue; /* lengths are of a batch */
            grd_module *mha = module(layouts[l]);
            const grd_tensor *x =
                grd_randn(grd_rng_create(2), GRD_SHAPE(l == 1 ? T : B, l == 1 ? B : T, E));
            question q = { l == 2 ? grd_select(x, 0, 0) : x, { .mask = masks[m] }, NULL };
            const grd_tensor *found = grd_attribute_edges(mha, mha, loss_of, &q, 0);
            cr_assert(found, "%s", grd_error_message());
            cr_assert(grd_allclose(found, by_the_walk(mha, q), 1e-12, 1e-13), "layout %d mask %d",
                      l, m);
        }
}

Test(edges, of_hidden_keys_are_zero_be_they_nan)
{
    grd_module *mha = module(GRD_BATCH_FIRST);
    grd_tensor *x = grd_randn(grd_rng_create(2), GRD_SHAPE(1, T, E));
    const int64_t length = 3;
    question q = { x, { .mask = { .key_lengths = grd_from_i64(&length, 1, GRD_SHAPE(1)) } }, NULL };
    const grd_tensor *found = grd_attribute_edges(mha, mha, loss_of, &q, 3);
    const grd_tensor *hidden = grd_slice(found, -1, length, T, 1);
    cr_assert_eq(grd_item(grd_max(grd_abs(hidden))), 0);
    cr_assert_gt(grd_item(grd_min(grd_abs(grd_slice(found, -1, 0, length, 1)))), 0);
}

typedef struct text {
    grd_tensor *tokens, *targets;
    grd_module *off; /* whose heads are 0; NULL: none are */
} text;

static grd_tensor *silence(const grd_heads *heads, void *user)
{
    return heads->module == user ? grd_zeros_like(heads->output) : NULL;
}

static grd_tensor *loss_of_text(grd_module *model, void *user)
{
    const text *t = user;
    return grd_cross_entropy(grd_forward(model, t->tokens), t->targets, NULL);
}

static grd_module *transformer(void)
{
    double deviation = 0.6; /* so that attention does something */
    grd_module *model = grd_transformer_create(
        grd_rng_create(1), &(grd_transformer_options){ .vocab_size = V,
                                                       .context = T,
                                                       .embed_dim = E,
                                                       .num_heads = H,
                                                       .num_layers = 2,
                                                       .norm_first = true,
                                                       .dropout = 0.5,
                                                       .direction = GRD_CAUSAL });
    cr_assert_eq(
        grd_module_initialize(model, "*weight", grd_init_normal, grd_rng_create(2), &deviation),
        GRD_OK, "%s", grd_error_message());
    return model;
}

static text question_of_text(void)
{
    grd_rng *rng = grd_rng_create(3);
    return (text){ grd_randint(rng, 0, V, GRD_SHAPE(B, T)), grd_randint(rng, 0, V, GRD_SHAPE(B, T)),
                   NULL };
}

/* What the loss is more than without the layer's heads. */
static double effect_of(grd_module *model, grd_module *mha, text *t)
{
    grd_module_eval(model);
    const double with = grd_item(loss_of_text(model, t));
    grd_scope *watched = grd_scope_begin();
    grd_on_heads(watched, silence, mha);
    const double without = grd_item(loss_of_text(model, t));
    cr_assert_eq(grd_scope_end(watched), GRD_OK);
    return with - without;
}

Test(edges, integrated_add_up_to_what_the_loss_changes)
{
    static const char *const layers[] = { "blocks.0.self_attn", "blocks.1.self_attn" };
    grd_module *model = transformer();
    text t = question_of_text();
    for (int i = 0; i < 2; i++) {
        grd_module *mha = grd_module_get(model, layers[i]);
        cr_assert(mha, "%s", grd_error_message());
        const double effect = effect_of(model, mha, &t);
        const double one = grd_item(grd_sum(grd_attribute_edges(model, mha, loss_of_text, &t, 1)));
        const double many =
            grd_item(grd_sum(grd_attribute_edges(model, mha, loss_of_text, &t, 200)));
        cr_assert_float_eq(many, effect, 5e-4 * fabs(effect), "%s: %.9g, not %.9g", layers[i], many,
                           effect);
        cr_assert(fabs(one - effect) > 1e-2 * fabs(effect), "the slope alone does not");
    }
}

Test(edges, leave_the_model_as_it_was)
{
    grd_module *model = transformer();
    text t = question_of_text();
    grd_module_train(model, grd_rng_create(5));
    const grd_tensor *first = grd_module_parameter_at(model, 0).tensor;
    grd_backward(loss_of_text(model, &t));
    const grd_tensor *gradient = grd_clone(grd_tensor_grad(first));
    cr_assert(grd_attribute_edges(model, grd_module_get(model, "blocks.0.self_attn"), loss_of_text,
                                  &t, 2));
    cr_assert(grd_equal(grd_tensor_grad(first), gradient));
    const grd_tensor *a = loss_of_text(model, &t), *b = loss_of_text(model, &t);
    cr_assert_neq(grd_item(a), grd_item(b), "it drops as before");
}

static grd_tensor *loss_without(grd_module *model, void *user)
{
    (void)model;
    return user;
}

static grd_tensor *loss_twice(grd_module *model, void *user)
{
    return grd_add(loss_of_text(model, user), loss_of_text(model, user));
}

static grd_tensor *all_logits(grd_module *model, void *user)
{
    return grd_forward(model, ((text *)user)->tokens);
}

Test(edges, mistakes_are_named)
{
    grd_module *model = transformer(), *mha = grd_module_get(model, "blocks.0.self_attn");
    text t = question_of_text();
    cr_assert_null(grd_attribute_edges(NULL, mha, loss_of_text, &t, 1));
    expect_error(GRD_ERROR_ARGUMENT, "attribute_edges: an argument is NULL");
    cr_assert_null(grd_attribute_edges(model, mha, NULL, &t, 1));
    expect_error(GRD_ERROR_ARGUMENT, "attribute_edges: an argument is NULL");
    cr_assert_null(grd_attribute_edges(model, mha, loss_of_text, &t, -1));
    expect_error(GRD_ERROR_ARGUMENT, "attribute_edges: steps is -1, expected 1 or more (0: 1)");
    cr_assert_null(grd_attribute_edges(model, model, loss_of_text, &t, 1));
    expect_error(GRD_ERROR_ARGUMENT, "attribute_edges: ");
    cr_assert_null(grd_attribute_edges(model, mha, loss_without, grd_ones(GRD_SCALAR), 1));
    expect_error(GRD_ERROR_STATE, "attribute_edges: the loss was computed without ");
    cr_assert_null(grd_attribute_edges(model, mha, loss_twice, &t, 1));
    expect_error(GRD_ERROR_STATE, "runs several times for one loss");
    cr_assert_null(grd_attribute_edges(model, mha, all_logits, &t, 1));
    expect_error(GRD_ERROR_SHAPE, "attribute_edges: the loss function gave [2, 5, 7], expected one "
                                  "number");
}

/* ---- Rollout ---- */

static grd_tensor *rows_of_one(grd_rng *rng, grd_shape shape)
{
    return grd_softmax(grd_randn(rng, shape), -1);
}

/* R = (A + I) / 2 R' in plain loops, of sample 0. */
static void by_loops(const grd_tensor *weights, int64_t heads, double *rollout)
{
    double next[T * T];
    for (int64_t i = 0; i < T; i++)
        for (int64_t j = 0; j < T; j++) {
            next[i * T + j] = 0;
            for (int64_t l = 0; l < T; l++) {
                double mixed = i == l;
                for (int64_t h = 0; h < heads; h++)
                    mixed += grd_item_at(weights, GRD_DIMS(0, h, i, l)) / (double)heads;
                next[i * T + j] += mixed / 2 * rollout[l * T + j];
            }
        }
    memcpy(rollout, next, sizeof next);
}

Test(edges, rollout_is_the_product_of_layers)
{
    grd_rng *rng = grd_rng_create(1);
    double expected[T * T] = { 0 };
    const int64_t heads[] = { 2, 3, 1 };
    const grd_tensor *layers[3];
    for (int64_t i = 0; i < T; i++)
        expected[i * T + i] = 1;
    for (int i = 0; i < 3; i++) {
        layers[i] = rows_of_one(rng, GRD_SHAPE(B, heads[i], T, T));
        by_loops(layers[i], heads[i], expected);
    }
    const grd_tensor *found = grd_attention_rollout((grd_list){ 3, layers });
    cr_assert(found, "%s", grd_error_message());
    cr_assert(grd_allclose(grd_select(found, 0, 0), grd_from_f64(expected, T * T, GRD_SHAPE(T, T)),
                           1e-14, 1e-15));
    cr_assert(grd_allclose(grd_sum_dims(found, GRD_DIMS(-1), GRD_DROP_DIMS),
                           grd_ones(GRD_SHAPE(B, T)), 1e-14, 0));
    for (int i = 0; i < 3; i++)
        layers[i] = grd_select(layers[i], 0, 0);
    cr_assert(grd_allclose(grd_attention_rollout((grd_list){ 3, layers }), grd_select(found, 0, 0),
                           1e-15, 0));
}

Test(edges, rollout_names_mistakes)
{
    grd_rng *rng = grd_rng_create(1);
    const grd_tensor *x = rows_of_one(rng, GRD_SHAPE(B, H, T, T));
    const struct {
        const grd_tensor *second;
        grd_status status;
        const char *message;
    } rows[] = {
        { rows_of_one(rng, GRD_SHAPE(B, H, T, T + 1)), GRD_ERROR_SHAPE,
          "weights of layer 1 are [2, 2, 5, 6], expected (B, H, T, T) or (H, T, T)" },
        { rows_of_one(rng, GRD_SHAPE(B, H, 3, 3)), GRD_ERROR_SHAPE,
          "weights of layer 1 are [2, 2, 3, 3] and those of the first [2, 2, 5, 5]" },
        { rows_of_one(rng, GRD_SHAPE(1, H, T, T)), GRD_ERROR_SHAPE, "only their heads may differ" },
        { grd_cast(x, GRD_F32), GRD_ERROR_DTYPE, "attention_rollout: " },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_null(grd_attention_rollout(GRD_LIST(x, rows[i].second)));
        expect_error(rows[i].status, rows[i].message);
    }
    cr_assert_null(grd_attention_rollout((grd_list){ 0, NULL }));
    expect_error(GRD_ERROR_ARGUMENT, "attention_rollout: there are no layers");
}

/* ---- Memory ---- */

static grd_status all_of_it(void)
{
    grd_scope *run = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_module *mha = module(GRD_BATCH_FIRST);
    question q = { grd_randn(grd_rng_create(2), GRD_SHAPE(B, T, E)),
                   { .weights = GRD_PER_HEAD },
                   NULL };
    const grd_tensor *edges = grd_attribute_edges(mha, mha, loss_of, &q, 2);
    const grd_tensor *x = grd_ones(GRD_SHAPE(B, H, T, T));
    const grd_tensor *rollout = grd_attention_rollout(GRD_LIST(x, x));
    (void)edges, (void)rollout;
    return grd_scope_end(run);
}

Test(edges_memory, every_failed_allocation_is_an_error)
{
    fail_at_every_allocation(all_of_it, 50);
}
