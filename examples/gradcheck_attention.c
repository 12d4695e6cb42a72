/* An attention of one's own, checked with its mask and its parameters: each token sees itself and two before it, and
 * learns what distance means. Its masked softmax is an op with a derivative by hand; then two mistakes in that. */
#include <gradus/gradus.h>
#include <math.h>

enum { T = 4, E = 6, WINDOW = 3 };

/* ---- The op: y = softmax of the scores that are kept, 0 elsewhere ---- */

static grd_tensor *masked_softmax(grd_call *call, const grd_tensor *const *in)
{
    const grd_tensor *scores = in[0], *keep = in[1];
    grd_tensor *hidden = grd_full(GRD_SCALAR, -INFINITY);
    grd_tensor *y = grd_softmax(grd_where(keep, scores, hidden), -1);
    grd_call_save(call, y);
    return y;
}

/* d scores = y (dy - sum(y dy)). The mask needs nothing of its own: y is 0 where it hides. */
static void right(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    const grd_tensor *y = grd_call_saved(call, 0);
    grd_tensor *sum = grd_sum_dims(grd_mul(y, dy), GRD_DIMS(-1), GRD_KEEP_DIMS);
    din[0] = grd_mul(y, grd_sub(dy, sum));
}

/* As if each weight depended on its own score alone. */
static void forgets_the_sum(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    din[0] = grd_mul(grd_call_saved(call, 0), dy);
}

/* The right numbers, but cut off from what they were made of: training does not notice, a gradient penalty does. */
static void detaches(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    const grd_tensor *y = grd_detach(grd_call_saved(call, 0));
    grd_tensor *sum = grd_sum_dims(grd_mul(y, dy), GRD_DIMS(-1), GRD_KEEP_DIMS);
    din[0] = grd_mul(y, grd_sub(dy, sum));
}

static const grd_custom_op variants[] = {
    { "masked_softmax", masked_softmax, right, 0 },
    { "forgets_the_sum", masked_softmax, forgets_the_sum, 0 },
    { "detaches", masked_softmax, detaches, 0 },
};

/* ---- The module ---- */

typedef struct attention {
    grd_module *in, *out;
    grd_tensor *distance; /* (WINDOW): added to the scores of keys 0, 1, 2 tokens back */
    const grd_custom_op *softmax;
} attention;

static grd_tensor *attention_forward(grd_module *self, const grd_tensor *x)
{
    const attention *m = grd_module_data(self);
    int64_t back[T * T];
    bool keep[T * T];
    for (int i = 0; i < T * T; i++) {
        const int d = i / T - i % T;
        keep[i] = d >= 0 && d < WINDOW;
        back[i] = keep[i] ? d : 0;
    }
    grd_tensor *part[3]; /* query, key, value: (T, E) each */
    grd_chunk(grd_forward(m->in, x), 3, -1, part);
    grd_tensor *scores = grd_mul_scalar(grd_matmul(part[0], grd_transpose(part[1], 0, 1)), 1 / sqrt(E));
    grd_tensor *learned = grd_index_select(m->distance, 0, grd_from_i64(back, T * T, GRD_SHAPE(T * T)));
    scores = grd_add(scores, grd_reshape(learned, GRD_SHAPE(T, T)));
    grd_tensor *mask = grd_from_bool(keep, T * T, GRD_SHAPE(T, T));
    return grd_forward(m->out, grd_matmul(grd_custom(m->softmax, GRD_LIST(scores, mask), NULL), part[2]));
}

static grd_module *attention_create(grd_rng *rng, const grd_custom_op *softmax)
{
    grd_module *self = grd_module_create("WindowAttention", sizeof(attention), attention_forward);
    attention *m = grd_module_data(self);
    if (!m)
        return NULL;
    m->in = grd_module_add(self, "in", grd_linear_create(rng, E, 3 * E, NULL));
    m->out = grd_module_add(self, "out", grd_linear_create(rng, E, E, NULL));
    m->distance = grd_module_add_parameter(self, "distance", grd_randn(rng, GRD_SHAPE(WINDOW)));
    m->softmax = softmax;
    return self;
}

/* ---- The check ---- */

static grd_tensor *run_module(const grd_tensor *const *in, void *module)
{
    return grd_forward(module, in[0]);
}

static void show(const char *name, const char *what, const grd_gradcheck_report *report)
{
    printf("%-15s  %-24s  %-5s  %5d compared; worst: %s\n", name, what, report->passed ? "right" : "WRONG",
           (int)report->compared, report->text);
}

int main(void)
{
    const bool expected[3][2] = { { true, true }, { false, false }, { true, false } };
    bool as_expected = true;
    grd_scope *run = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_rng *rng = grd_rng_create(1);
    grd_tensor *x = grd_randn(rng, GRD_SHAPE(T, E));

    for (int i = 0; i < 3; i++) {
        grd_module *module = attention_create(rng, &variants[i]);
        grd_gradcheck_options too = { .module = module }; /* its parameters as well as x */
        grd_gradcheck_report first = grd_gradcheck(run_module, module, GRD_LIST(x), &too);
        grd_gradcheck_report second = grd_gradgradcheck(run_module, module, GRD_LIST(x), &too);
        show(variants[i].name, "gradient", &first);
        show(variants[i].name, "gradient of the gradient", &second);
        as_expected &= first.passed == expected[i][0] && second.passed == expected[i][1];
    }

    if (grd_scope_end(run) != GRD_OK)
        fprintf(stderr, "%s\n", grd_error_message());
    return !as_expected;
}
