#include "teach/lesson.h"

#include <math.h>

/* The root of the mean square of all elements. */
static double size_of(const grd_tensor *x)
{
    return grd_item(grd_sqrt(grd_mean(grd_square(x))));
}

static double largest_weight(const grd_tensor *p)
{
    return grd_item(grd_mean(grd_max_dims(p, GRD_DIMS(-1), GRD_DROP_DIMS)));
}

/* The gradient of softmax(factor z)'s argument, when that of the weights is `dp`. */
static grd_tensor *gradient_at(const grd_tensor *z, double factor, const grd_tensor *dp,
                               const grd_tensor **p)
{
    grd_tensor *s = grd_require_grad(grd_detach(grd_mul_scalar(z, factor))), *ds = NULL;
    *p = grd_softmax(s, -1);
    grd_grad(GRD_LIST(*p), GRD_LIST(s), &(grd_grad_options){ .gradients = GRD_LIST(dp) }, &ds);
    return ds;
}

static void tell_scales(document *d)
{
    enum { SCALES = 9 };
    double scales[SCALES], tops[SCALES], sizes[SCALES];
    const grd_tensor *z = grd_from_f64((double[]){ 2, 1, 0, -1 }, 4, GRD_SHAPE(4));
    const grd_tensor *dp = grd_from_f64((double[]){ 1, 0, 0, 0 }, 4, GRD_SHAPE(4)), *p;
    for (int i = 0; i < SCALES; i++) {
        scales[i] = ldexp(1, i - 2);
        sizes[i] = size_of(gradient_at(z, scales[i], dp, &p));
        tops[i] = largest_weight(p);
    }
    name_tensor(d, "z", z);
    name_numbers(d, "scale", scales, SCALES);
    name_numbers(d, "top", tops, SCALES);
    name_numbers(d, "size", sizes, SCALES);
    put_columns(d,
                "The scores {z[0]}, {z[1]}, {z[2]}, {z[3]}, times a scale; the largest weight; and "
                "the size of the scores' gradient when the first weight's is one:",
                "scale | largest weight | gradient", "scale | top | size");
    put_plot(d, &(plot){
                    .caption = "The gradient against the scale of the scores:",
                    .x_label = "scale",
                    .y_label = "gradient",
                    .curves = { { "size of the scores' gradient", "scale", "size" } },
                });
}

enum { QUERIES = 64, KEYS = 16, DEPTHS = 5 };

typedef struct measured {
    double depth[DEPTHS], spread[DEPTHS], top[2][DEPTHS], size[2][DEPTHS];
} measured;

/* Queries and keys of D normal numbers each, with and without the division. */
static void measure(measured *m, int i, const grd_rng *rng)
{
    grd_scope *scope = grd_scope_begin();
    const int64_t depth = (int64_t)4 << (2 * i);
    const grd_tensor *q = grd_randn(grd_rng_split(rng, "q"), GRD_SHAPE(QUERIES, depth)), *p;
    const grd_tensor *k = grd_randn(grd_rng_split(rng, "k"), GRD_SHAPE(KEYS, depth));
    const grd_tensor *dp = grd_randn(grd_rng_split(rng, "dp"), GRD_SHAPE(QUERIES, KEYS));
    const grd_tensor *z = grd_matmul(q, grd_transpose(k, 0, 1));
    m->depth[i] = (double)depth;
    m->spread[i] = size_of(z);
    for (int divided = 0; divided < 2; divided++) {
        const double factor = divided ? 1 / sqrt((double)depth) : 1;
        m->size[divided][i] = size_of(gradient_at(z, factor, dp, &p));
        m->top[divided][i] = largest_weight(p);
    }
    grd_scope_end(scope);
}

static void tell_depths(document *d)
{
    measured m;
    const grd_rng *rng = grd_rng_create(1);
    for (int i = 0; i < DEPTHS; i++)
        measure(&m, i, rng);
    name_numbers(d, "D", m.depth, DEPTHS);
    name_numbers(d, "spread", m.spread, DEPTHS);
    name_numbers(d, "top plain", m.top[0], DEPTHS);
    name_numbers(d, "size plain", m.size[0], DEPTHS);
    name_numbers(d, "top divided", m.top[1], DEPTHS);
    name_numbers(d, "size divided", m.size[1], DEPTHS);
    put_section(d, "Why scores are divided by the root of D");
    put_text(d, "A score is a sum of D products. If queries and keys are of size one and know "
                "nothing of each other, the sum's size is the root of D: longer heads have larger "
                "scores, for no reason but their length. Measured with random queries over random "
                "keys, once as they are and once divided by √D: the size of the scores, the "
                "largest weight, the size of the gradient.");
    put_columns(d, NULL, "D | scores | weight | gradient | weight, divided | gradient, divided",
                "D | spread | top plain | size plain | top divided | size divided");
    put_text(d, "Undivided, a head of {D[4]} numbers puts {top plain[4]:2} of its weight on one "
                "key before it has learned anything, and its gradient is {size plain[4]:2}. "
                "Divided by √D, weight ({top divided[4]:2}) and gradient ({size divided[4]:2}) do "
                "not depend on the length.");
}

void tell_vanishing(document *d)
{
    put_text(d, "A head that is sure learns nothing. When one weight is nearly one, its softmax is "
                "saturated: a small change of the scores changes the weights no more, and so no "
                "gradient comes back through it.");
    put_formula(d, "dx_i = p_i (dp_i - ∑_j dp_j p_j)");
    put_text(d, "Where `p_i` is zero, so is `dx_i`. Where `p_i` is one, the sum in the bracket is "
                "`dp_i`, "
                "and the bracket is zero.");
    tell_scales(d);
    put_text(d, "The gradient grows while the scale is small, and past its peak falls faster than "
                "any power: with e to the minus the distance between the two largest scores.");
    tell_depths(d);
    put_remark(d, "`grd_sdpa` divides by √D unless told otherwise, and `gradus check` fails a "
                  "module that does not (`gradus check --plant missing-scale` shows it). If heads "
                  "of a trained model are saturated all the same, look at the size of its queries "
                  "and keys.");
    put_question(d,
                 "Cross-entropy also ends in a softmax, and saturates as well. Why do its "
                 "gradients not vanish where the model is wrong?",
                 "Its loss is the logarithm of the right class's probability. The gradient of the "
                 "logarithm, one over p, grows as p vanishes and cancels the factor p: what is "
                 "left is p minus the right answer, which is large as long as it is wrong. "
                 "Attention has no such logarithm.");
}
