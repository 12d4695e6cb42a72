#include "tests/nn/attention_problem.h"

const attention_path attention_paths[4] = {
    { "flash, f32", GRD_F32, false },
    { "composed, f32", GRD_F32, true },
    { "flash, f64", GRD_F64, false },
    { "composed, f64", GRD_F64, true },
};

const attention_path *path;
grd_rng *rng;

void on_path(const attention_path *on, void (*body)(void))
{
    path = on;
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = on->dtype });
    rng = grd_rng_create(11);
    body();
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", on->name, grd_error_message());
}

problem problem_of(problem_size s)
{
    return (problem){ grd_randn(rng, GRD_SHAPE(s.batch, s.heads, s.queries, s.size)),
                      grd_randn(rng, GRD_SHAPE(s.batch, s.shared, s.keys, s.size)),
                      grd_randn(rng, GRD_SHAPE(s.batch, s.shared, s.keys, s.value_size)),
                      grd_randn(rng, GRD_SHAPE(s.batch, s.heads, s.queries, s.value_size)) };
}

grd_sdpa_options of_path(const grd_sdpa_options *options)
{
    grd_sdpa_options o = options ? *options : (grd_sdpa_options){ 0 };
    o.composed = path->composed;
    o.strict = !path->composed;
    return o;
}

solution solve(const problem *p, const grd_sdpa_options *options)
{
    grd_tensor *x[] = { grd_require_grad(grd_detach(p->q)), grd_require_grad(grd_detach(p->k)),
                        grd_require_grad(grd_detach(p->v)) };
    const grd_sdpa_options o = of_path(options);
    const grd_attention a = grd_sdpa(x[0], x[1], x[2], &o);
    grd_backward_with(a.output, &(grd_backward_options){ .gradient = p->dy });
    cr_assert(a.output, "%s", grd_error_message());
    return (solution){ a, grd_tensor_grad(x[0]), grd_tensor_grad(x[1]), grd_tensor_grad(x[2]) };
}

bool same(const solution *a, const solution *b)
{
    return grd_equal(a->a.output, b->a.output) && grd_equal(a->dq, b->dq) &&
           grd_equal(a->dk, b->dk) && grd_equal(a->dv, b->dv);
}

/* In f32 by what PyTorch allows between its own kernels. */
bool near(const grd_tensor *a, const grd_tensor *b)
{
    return path->dtype == GRD_F64 ? grd_allclose(a, b, 1e-12, 1e-13)
                                  : grd_allclose(a, b, 5.25e-6, 1.25e-5);
}

bool all_near(const solution *a, const solution *b)
{
    return near(a->a.output, b->a.output) && near(a->dq, b->dq) && near(a->dk, b->dk) &&
           near(a->dv, b->dv);
}

bool all_finite(const grd_tensor *x)
{
    const grd_tensor *every = grd_all_dims(grd_isfinite(x), (grd_dims){ 0 }, GRD_DROP_DIMS);
    return grd_item(grd_cast(every, GRD_F32)) == 1;
}

bool all_zero(const grd_tensor *x)
{
    return all_finite(x) && grd_item(grd_max(grd_abs(x))) == 0;
}

grd_tensor *with_row(const grd_tensor *x, int64_t at, double value)
{
    grd_tensor *copy = grd_clone(x);
    grd_fill_(grd_select(grd_select(copy, 0, 0), 1, at), value);
    return copy;
}
