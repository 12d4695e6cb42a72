/* Check 4: every projection, and every head's slice of it, gets the gradient that attention's
 * definition gives it. */
#include "nn/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const grdi_diagnosis cut = {
    "this part never learns: its numbers stay as they were drawn, and the loss stops early",
    "it is detached, computed in a no-grad scope, or its result is not used",
};
static const grdi_diagnosis wrong = {
    "training goes on in another direction: slower, or softmax saturates and learning stops",
    "the scores lack the factor 1 / sqrt(head size), or a term of attention is missing or doubled",
};
static const grdi_diagnosis refused = {
    "backward stops with an error",
    "a tensor that backward needs was changed in place, or the output was detached from the graph",
};
static const grdi_diagnosis not_finite = {
    "the loss becomes NaN after the first step",
    "an overflow, or a 0 / 0 whose result was masked only in the forward",
};
static const grdi_diagnosis shared = {
    "every token attends to itself at first, and what starts equal learns alike",
    "one tensor of initial values was used for several projections or heads",
};

/* How heads lie in a parameter: `parts` groups along dim, each cut among the heads. */
typedef struct cutting {
    const char *name;
    int dim, parts;
    const char *part[3];
} cutting;

static const cutting cuttings[] = {
    { "in_proj_weight", 0, 3, { "query", "key", "value" } },
    { "q_proj_weight", 0, 1, { "query" } },
    { "k_proj_weight", 0, 1, { "key" } },
    { "v_proj_weight", 0, 1, { "value" } },
    { "in_proj_bias", 0, 3, { "query", "key", "value" } },
    { "bias_k", 2, 1, { "appended key" } },
    { "bias_v", 2, 1, { "appended value" } },
    { "out_proj.weight", 1, 1, { "output" } },
};

typedef struct comparison {
    grdi_probe *p;
    grd_attention_check *check;
    double size;  /* of the largest gradient in the reference */
    double least; /* of the slices' largest numbers */
    int64_t slices;
} comparison;

/* A slice of a gradient and of the reference's, for messages. */
typedef struct slice {
    const char *parameter, *part; /* part NULL: all of it */
    int64_t head;
    const grd_tensor *gradient, *truth;
} slice;

static const char *text_of(const slice *s, char text[96])
{
    if (s->part)
        snprintf(text, 96, "%s, %s, head %d", s->parameter, s->part, (int)s->head);
    else
        snprintf(text, 96, "%s", s->parameter);
    return text;
}

/* A softmax does not change when a bias moves all keys alike; it does where appended ones stay. */
static bool may_be_zero(const grdi_probe *p, const slice *s)
{
    return p->appended == 0 && s->part && strcmp(s->part, "key") == 0 &&
           strcmp(s->parameter, "in_proj_bias") == 0;
}

/* So small by right that it may round to 0: softmax is saturated. */
static bool is_vanishing(const comparison *c, double truth)
{
    return truth > 0 && truth < c->p->tolerance / 100 * c->size;
}

static void compare(comparison *c, const slice *s)
{
    char text[96];
    const double most = grdi_largest(s->gradient, NULL), truth = grdi_largest(s->truth, NULL);
    const double off = grdi_largest(grd_sub(grd_cast(s->gradient, GRD_F64), s->truth), NULL);
    if (grdi_latched())
        return;
    c->slices++;
    if (!isfinite(most))
        grdi_flaw(c->check, &not_finite, most, "%s: the gradient is not finite", text_of(s, text));
    else if (most == 0 && !may_be_zero(c->p, s) && !is_vanishing(c, truth))
        grdi_flaw(c->check, &cut, 0, "%s: the gradient is 0, the reference's is up to %.3g",
                  text_of(s, text), truth);
    else if (off > fmax(0.01, 10 * c->p->tolerance) * truth + c->p->tolerance / 10 * c->size)
        grdi_flaw(c->check, &wrong, off / c->size,
                  "%s: the gradient is up to %.3g, the reference's %.3g; they differ by %.3g",
                  text_of(s, text), most, truth, off);
    c->check->measured =
        c->check->passed ? fmax(c->check->measured, off / c->size) : c->check->measured;
    if (!may_be_zero(c->p, s))
        c->least = fmin(c->least, most);
}

static grd_tensor *head_of(const grd_tensor *x, const cutting *cut_, int part, int64_t head,
                           int64_t heads)
{
    const int64_t size = grd_tensor_size(x, cut_->dim) / cut_->parts / heads;
    const int64_t first = (part * heads + head) * size;
    return grd_slice(x, cut_->dim, first, first + size, 1);
}

static void compare_heads(comparison *c, const cutting *cut_, const grd_tensor *gradient,
                          const grd_tensor *truth)
{
    const int64_t heads = c->p->claims.num_heads;
    for (int part = 0; part < cut_->parts; part++)
        for (int64_t h = 0; h < heads && c->check->passed; h++) {
            grd_scope scope;
            grdi_scope_open(&scope);
            compare(c, &(slice){ cut_->name, cut_->part[part], h,
                                 head_of(gradient, cut_, part, h, heads),
                                 head_of(truth, cut_, part, h, heads) });
            grdi_scope_close(&scope);
        }
}

static void compare_parameter(comparison *c, const char *name, const grd_tensor *gradient,
                              const grd_tensor *truth)
{
    if (!gradient) {
        grdi_flaw(c->check, &cut, 0, "%s: no gradient reaches it", name);
        return;
    }
    for (size_t i = 0; i < sizeof cuttings / sizeof cuttings[0]; i++)
        if (strcmp(cuttings[i].name, name) == 0) {
            compare_heads(c, &cuttings[i], gradient, truth);
            return;
        }
    compare(c, &(slice){ .parameter = name, .gradient = gradient, .truth = truth });
}

/* ---- Initial values ---- */

/* Query, key and value projections, wherever they stand. */
static const grd_tensor *weight_of(const grdi_reference *r, const grdi_probe *p, int part)
{
    const int64_t width = p->claims.embed_dim;
    const grd_tensor *in = r->parameters[0].leaf;
    return in ? grd_contiguous(grd_slice(in, 0, part * width, (part + 1) * width, 1))
              : r->parameters[1 + part].leaf;
}

static const char *const parts[] = { "query", "key", "value" };

static void check_heads(grdi_probe *p, grd_attention_check *check, const grd_tensor *weight,
                        const char *part)
{
    const cutting rows = { .dim = 0, .parts = 1 };
    const int64_t heads = p->claims.num_heads;
    for (int64_t a = 0; a < heads && check->passed; a++)
        for (int64_t b = a + 1; b < heads; b++) {
            grd_scope scope;
            grdi_scope_open(&scope);
            if (grd_equal(head_of(weight, &rows, 0, a, heads), head_of(weight, &rows, 0, b, heads)))
                grdi_flaw(check, &shared, 0,
                          "heads %d and %d of the %s projection hold the same numbers", (int)a,
                          (int)b, part);
            grdi_scope_close(&scope);
        }
}

static void check_shared(grdi_probe *p, grd_attention_check *check, const grdi_reference *r)
{
    for (int a = 0; a < 3; a++)
        for (int b = a + 1; b < 3; b++)
            if (grd_equal(weight_of(r, p, a), weight_of(r, p, b)))
                grdi_flaw(check, &shared, 0, "the projections of %s and %s hold the same numbers",
                          parts[a], parts[b]);
    for (int a = 0; a < 3 && check->passed; a++)
        check_heads(p, check, weight_of(r, p, a), parts[a]);
}

/* ---- The check ---- */

typedef struct walk {
    int64_t count;
    const char *names[GRDI_PARAMETERS];
    const grd_tensor *parameters[GRDI_PARAMETERS], *leaves[GRDI_PARAMETERS];
    grd_tensor *gradients[GRDI_PARAMETERS], *truths[GRDI_PARAMETERS];
} walk;

static walk walk_of(const grdi_reference *r)
{
    walk w = { 0 };
    for (int i = 0; i < GRDI_PARAMETERS; i++)
        if (r->parameters[i].leaf) {
            w.names[w.count] = r->parameters[i].name;
            w.parameters[w.count] = r->parameters[i].tensor;
            w.leaves[w.count++] = r->parameters[i].leaf;
        }
    return w;
}

/* The gradients of sum(dy output) by f's graph, and by the reference's. */
static bool differentiate(grdi_probe *p, grd_attention_check *check, const grdi_reference *r,
                          const grdi_inputs *inputs, walk *w)
{
    grd_attention a;
    if (!grdi_probe_call(p, inputs, NULL, &a))
        return false;
    const grd_tensor *y = grdi_probe_from_layout(p, a.output);
    double score;
    const grd_tensor *truth = grdi_reference_output(r, p, inputs, &score);
    const grd_tensor *dy = grd_cast(grd_randn(p->rng, grd_tensor_shape(truth)), p->dtype);
    const grd_grad_options how = { .gradients = GRD_LIST(dy), .allow_unused = true };
    const grd_grad_options exact = { .gradients = GRD_LIST(grd_cast(dy, GRD_F64)) };
    if (grdi_latched() ||
        grd_grad(GRD_LIST(truth), (grd_list){ w->count, w->leaves }, &exact, w->truths) != GRD_OK)
        return false;
    if (!grd_tensor_requires_grad(y))
        return grdi_flaw(check, &refused, 0, "the output depends on no parameter that learns");
    if (grd_grad(GRD_LIST(y), (grd_list){ w->count, w->parameters }, &how, w->gradients) == GRD_OK)
        return true;
    if (grd_last_error().status != GRD_ERROR_GRAPH)
        return false;
    grdi_flaw(check, &refused, NAN, "%s", grd_error_message());
    grd_error_take();
    return false;
}

/* Inputs so small that softmax is not saturated: else gradients are rounding alone. */
static grdi_inputs softened(grdi_probe *p, const grdi_reference *r, bool self)
{
    enum { MOST = 4 };
    double score = 0;
    grdi_inputs inputs = grdi_probe_inputs(p, (grdi_sizes){ 2, self ? 5 : 4, 5 }, self);
    if (!grdi_latched())
        grdi_reference_output(r, p, &inputs, &score);
    if (!(score > MOST) || isinf(score))
        return inputs;
    for (int i = 0; i < 3; i++)
        inputs.x[i] = i > 0 && self ? inputs.x[0] : grd_mul_scalar(inputs.x[i], sqrt(MOST / score));
    return inputs;
}

static void check_inputs(grdi_probe *p, grd_attention_check *check, const grdi_reference *r,
                         bool self, comparison *c)
{
    const grdi_inputs inputs = softened(p, r, self);
    walk w = walk_of(r);
    if (grdi_latched() || !differentiate(p, check, r, &inputs, &w))
        return;
    c->size = 0;
    for (int64_t i = 0; i < w.count; i++)
        c->size = fmax(c->size, grdi_largest(w.truths[i], NULL));
    for (int64_t i = 0; i < w.count && check->passed; i++)
        compare_parameter(c, w.names[i], w.gradients[i], w.truths[i]);
}

void grdi_check_gradients(grdi_probe *p, grd_attention_check *check)
{
    grdi_reference r;
    if (!grdi_reference_open(&r, p, check))
        return;
    comparison c = { .p = p, .check = check, .least = INFINITY };
    check_inputs(p, check, &r, false, &c);
    if (check->passed && !grdi_latched() && grdi_probe_allows_self(p))
        check_inputs(p, check, &r, true, &c);
    if (check->passed && !grdi_latched())
        check_shared(p, check, &r);
    if (check->passed)
        snprintf(check->text, sizeof check->text,
                 "%d parts of parameters and heads: the weakest gradient is %.2g, all as the "
                 "reference's",
                 (int)c.slices, c.least);
}
