/* f16 and bf16 compute in f32 and are rounded once, in ops that are more than element by element.
 */
#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <math.h>

enum { N = 24, COUNT = N * N };

static float values_a[COUNT], values_b[COUNT];

static void fill(void)
{
    for (int i = 0; i < COUNT; i++) {
        values_a[i] = (float)(i * 37 % 101) / 64 - 0.75f;
        values_b[i] = (float)(i * 53 % 89) / 64 - 0.625f;
    }
}

typedef grd_tensor *function(const grd_tensor *a, const grd_tensor *b);

static grd_tensor *run_matmul(const grd_tensor *a, const grd_tensor *b)
{
    return grd_matmul(a, grd_transpose(b, 0, 1));
}

static grd_tensor *run_linear(const grd_tensor *a, const grd_tensor *b)
{
    return grd_linear(a, b, grd_select(b, 0, 3));
}

static grd_tensor *run_norm(const grd_tensor *a, const grd_tensor *b)
{
    return grd_layer_norm(a, grd_select(b, 0, 1), grd_select(b, 0, 2), 1e-5);
}

static grd_tensor *run_norm_backward(const grd_tensor *a, const grd_tensor *b)
{
    grd_tensor *x = grd_require_grad(grd_detach(a)), *dx = NULL;
    const grd_tensor *y = grd_sum(grd_mul(grd_rms_norm(x, NULL, 1e-5), b));
    return grd_grad(GRD_LIST(y), GRD_LIST(x), NULL, &dx) == GRD_OK ? dx : NULL;
}

static grd_tensor *run_log_softmax(const grd_tensor *a, const grd_tensor *b)
{
    (void)b;
    return grd_log_softmax(a, -1);
}

static grd_tensor *run_sum_rows(const grd_tensor *a, const grd_tensor *b)
{
    (void)b;
    return grd_sum_dims(a, GRD_DIMS(0), GRD_DROP_DIMS);
}

static grd_tensor *run_var(const grd_tensor *a, const grd_tensor *b)
{
    (void)b;
    return grd_var_dims(a, GRD_DIMS(1), 1, GRD_DROP_DIMS);
}

static grd_tensor *run_cumsum(const grd_tensor *a, const grd_tensor *b)
{
    (void)b;
    return grd_cumsum(a, 0);
}

static grd_tensor *run_topk(const grd_tensor *a, const grd_tensor *b)
{
    (void)b;
    return grd_topk(a, 4, 1).values;
}

static grd_tensor *run_cross_entropy(const grd_tensor *a, const grd_tensor *b)
{
    const grd_tensor *targets = grd_argmax(b, 1);
    return grd_cross_entropy(a, targets, &(grd_cross_entropy_options){ .reduction = GRD_NONE });
}

static const struct {
    const char *name;
    function *run;
} ops[] = {
    { "matmul", run_matmul },
    { "linear", run_linear },
    { "layer_norm", run_norm },
    { "rms_norm, backward", run_norm_backward },
    { "log_softmax", run_log_softmax },
    { "sum", run_sum_rows },
    { "var", run_var },
    { "cumsum", run_cumsum },
    { "topk", run_topk },
    { "cross_entropy", run_cross_entropy },
};

/* In half precision, and in f32 on the same (rounded) inputs: only the last rounding differs, but
 * for a backward whose dy is rounded on the way. */
static void compare(const char *name, function *run, grd_dtype dtype, double unit)
{
    static float expected[COUNT], found[COUNT];
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *a = grd_cast(grd_from_f32(values_a, COUNT, GRD_SHAPE(N, N)), dtype);
    const grd_tensor *b = grd_cast(grd_from_f32(values_b, COUNT, GRD_SHAPE(N, N)), dtype);
    const grd_tensor *half = run(a, b), *wide = run(grd_cast(a, GRD_F32), grd_cast(b, GRD_F32));
    const int64_t count = grd_tensor_count(wide);
    cr_assert_eq(grd_tensor_dtype(half), dtype, "%s: %s", name, grd_error_message());
    cr_assert_eq(grd_read_f32(grd_cast(half, GRD_F32), found, count), GRD_OK);
    cr_assert_eq(grd_read_f32(wide, expected, count), GRD_OK);
    for (int64_t i = 0; i < count; i++)
        cr_assert(fabs((double)found[i] - (double)expected[i]) <=
                      unit * (0.01 + fabs((double)expected[i])),
                  "%s, %d: %.9g, not %.9g", name, (int)i, (double)found[i], (double)expected[i]);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(half, rounds_once)
{
    fill();
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        compare(ops[i].name, ops[i].run, GRD_F16, 1. / 2048);
        compare(ops[i].name, ops[i].run, GRD_BF16, 1. / 256);
    }
}
