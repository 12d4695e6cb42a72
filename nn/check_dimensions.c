/* Check 1: shapes, and that what stands in a row of the output comes from where it should. A wrong
 * layout keeps all shapes where batch and length are equal, and so does a merge of heads that does
 * not transpose; but then rows meet that have nothing to do with each other. */
#include "nn/check.h"

#include <math.h>
#include <stdio.h>

static const grdi_diagnosis wrong_layout = {
    "samples of a batch influence each other, and results depend on what else is in the batch",
    "batch and length are confused: (B, T, E) is taken for (T, B, E), which keeps the shape",
};
static const grdi_diagnosis wrong_merge = {
    "a query's result depends on other queries; the loss falls a little and stays high",
    "heads are merged or split by a reshape alone, without transposing (H, T) to (T, H)",
};
static const grdi_diagnosis wrong_pairs = {
    "the result depends on the order of keys, though no mask and no position says so",
    "keys or values are split into heads by a reshape alone, or keys meet other keys' values",
};
static const grdi_diagnosis not_finite = {
    "the output is not finite on inputs of size 1",
    "an overflow, a division by 0, or a parameter that is not finite",
};

/* The first can be read in any layout: so what is wrong is seen in the numbers. */
static const grdi_sizes sizes[] = {
    { 3, 3, 3 }, { 2, 3, 5 }, { 3, 3, 5 }, { 1, 4, 4 }, { 4, 5, 2 }, { 2, 1, 1 },
};
enum { SIZES = sizeof sizes / sizeof sizes[0] };

static const char *text_of(const grdi_sizes *s, char text[64])
{
    snprintf(text, 64, "B %d, L %d, S %d", (int)s->batch, (int)s->queries, (int)s->keys);
    return text;
}

/* x (B, T, E) with other numbers at `index` of dim. */
static const grd_tensor *altered(grdi_probe *p, const grd_tensor *x, int64_t dim, int64_t index)
{
    grd_shape mark = GRD_SHAPE(1, 1, 1);
    mark.size[dim] = grd_tensor_size(x, dim);
    const grd_tensor *here =
        grd_reshape(grd_eq_scalar(grd_arange(0, mark.size[dim], 1), (double)index), mark);
    const grd_tensor *fresh = grd_cast(grd_randn(p->rng, grd_tensor_shape(x)), p->dtype);
    return grd_where(here, fresh, x);
}

static grd_tensor *output_of(const grdi_probe *p, const grdi_inputs *inputs)
{
    grd_attention a;
    return grdi_probe_call(p, inputs, NULL, &a) ? grdi_probe_from_layout(p, grd_detach(a.output))
                                                : NULL;
}

/* a - b without what stands at `index` of dim. */
static grd_tensor *elsewhere(const grd_tensor *a, const grd_tensor *b, int64_t dim, int64_t index)
{
    const grd_tensor *difference = grd_sub(a, b);
    return grd_cat(GRD_LIST(grd_slice(difference, dim, 0, index, 1),
                            grd_slice(difference, dim, index + 1, GRD_END, 1)),
                   dim);
}

/* What moved where nothing must, in words, and how far. */
static void judge(grdi_probe *p, grd_attention_check *check, const grdi_diagnosis *diagnosis,
                  const grdi_inputs *inputs, const char *what, const grd_tensor *difference,
                  const grd_tensor *y)
{
    char text[64];
    const double change = grdi_largest(difference, NULL);
    if (change <= p->tolerance * grdi_largest(y, NULL))
        check->measured = fmax(check->measured, change);
    else if (!grdi_latched())
        grdi_flaw(check, diagnosis, change, "%s: %s by %.3g", text_of(&inputs->sizes, text), what,
                  change);
}

static void judge_apart(grdi_probe *p, grd_attention_check *check, const grdi_diagnosis *diagnosis,
                        const grdi_inputs *inputs, const grd_tensor *z, const grd_tensor *y,
                        int64_t dim, int64_t index)
{
    char what[96];
    snprintf(what, sizeof what, "%s %d changed results that are apart from it",
             dim == 0 ? "sample" : "query", (int)index);
    judge(p, check, diagnosis, inputs, what, elsewhere(z, y, dim, index), y);
}

/* Another sample in the place of one leaves all other samples' results as they are. */
static void check_samples(grdi_probe *p, grd_attention_check *check, const grdi_inputs *inputs,
                          const grd_tensor *y)
{
    for (int64_t b = 0; b < inputs->sizes.batch && inputs->sizes.batch > 1; b++) {
        grdi_inputs other = { .sizes = inputs->sizes };
        for (int i = 0; i < 3; i++)
            other.x[i] =
                i > 0 && inputs->x[i] == inputs->x[0] ? other.x[0] : altered(p, inputs->x[i], 0, b);
        const grd_tensor *z = output_of(p, &other);
        if (!z)
            return;
        judge_apart(p, check, &wrong_layout, inputs, z, y, 0, b);
    }
}

/* Another query leaves the results of all others. */
static void check_queries(grdi_probe *p, grd_attention_check *check, const grdi_inputs *inputs,
                          const grd_tensor *y)
{
    for (int64_t l = 0; l < inputs->sizes.queries && inputs->sizes.queries > 1; l++) {
        const grdi_inputs other = {
            inputs->sizes, { altered(p, inputs->x[0], 1, l), inputs->x[1], inputs->x[2] }
        };
        const grd_tensor *z = output_of(p, &other);
        if (!z)
            return;
        judge_apart(p, check, &wrong_merge, inputs, z, y, 1, l);
    }
}

/* Keys in another order, with their values, give the same. */
static void check_keys(grdi_probe *p, grd_attention_check *check, const grdi_inputs *inputs,
                       const grd_tensor *y)
{
    const grdi_inputs other = {
        inputs->sizes, { inputs->x[0], grd_roll(inputs->x[1], 1, 1), grd_roll(inputs->x[2], 1, 1) }
    };
    const grd_tensor *z = output_of(p, &other);
    if (z)
        judge(p, check, &wrong_pairs, inputs,
              "keys in another order, with their values, change results", grd_sub(z, y), y);
}

static void check_weights(grdi_probe *p, const grdi_inputs *inputs)
{
    grd_attention a;
    if (grdi_probe_call(p, inputs, &(grd_mha_args){ .weights = GRD_AVERAGED }, &a))
        grdi_probe_call(p, inputs, &(grd_mha_args){ .weights = GRD_PER_HEAD }, &a);
}

static void check_one(grdi_probe *p, grd_attention_check *check, const grdi_inputs *inputs)
{
    char text[64];
    const grd_tensor *y = output_of(p, inputs);
    if (!y)
        return;
    if (!isfinite(grdi_largest(y, NULL)))
        grdi_flaw(check, &not_finite, NAN, "%s: the output is not finite",
                  text_of(&inputs->sizes, text));
    check_weights(p, inputs);
    check_samples(p, check, inputs, y);
    if (inputs->x[0] == inputs->x[1])
        return; /* its queries are its keys */
    check_queries(p, check, inputs, y);
    check_keys(p, check, inputs, y);
}

void grdi_check_dimensions(grdi_probe *p, grd_attention_check *check)
{
    for (int i = 0; i < SIZES; i++)
        for (int self = 0; self < 2; self++) {
            if (grdi_latched() ||
                (self && (sizes[i].queries != sizes[i].keys || !grdi_probe_allows_self(p))))
                continue;
            const grdi_inputs inputs = grdi_probe_inputs(p, sizes[i], self);
            check_one(p, check, &inputs);
        }
    if (check->passed)
        snprintf(check->text, sizeof check->text,
                 "%d sizes, among them B = L, L != S and B = 1: samples and queries stay apart",
                 SIZES);
}
