/* Hooks, watches, ops of one's own, recomputation and the checkers, failing at every allocation. */
#include "tests/autograd/expect.h"
#include "tests/counter.h"

static grd_tensor *cube_forward(grd_call *call, const grd_tensor *const *in)
{
    grd_tensor *square = grd_square(in[0]);
    grd_call_save(call, square);
    return grd_mul(square, in[0]);
}

static void cube_backward(const grd_call *call, const grd_tensor *dy, grd_tensor **din)
{
    din[0] = grd_mul(dy, grd_mul_scalar(grd_call_saved(call, 0), 3));
}

static grd_tensor *cube(const grd_tensor *const *in, void *rng)
{
    static const grd_custom_op op = { "cube", cube_forward, cube_backward, 0 };
    grd_tensor *y = grd_custom(&op, GRD_LIST(in[0]), NULL);
    return rng ? grd_dropout(y, 0.25, rng) : y;
}

static grd_tensor *twice(const grd_tensor *gradient, void *unused)
{
    (void)unused;
    return grd_mul_scalar(gradient, 2);
}

static bool look(const grd_backward_step *step, void *unused)
{
    (void)unused;
    return step->doutput;
}

static grd_status walk_program(void)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .anomaly = true });
    grd_rng *rng = grd_rng_create(1);
    grd_tensor *x = grd_require_grad(grd_full(GRD_SHAPE(3), 0.5)), *dx;
    grd_on_backward(scope, look, NULL);
    grd_tensor *y = grd_recompute(cube, rng, GRD_LIST(x));
    grd_on_gradient(y, twice, NULL);
    grd_retain_grad(y);
    grd_grad(GRD_LIST(grd_sum(y)), GRD_LIST(x), &(grd_grad_options){ .create_graph = true }, &dx);
    grd_backward(grd_sum(grd_mul(dx, y)));
    return grd_scope_end(scope);
}

static grd_status check_program(void)
{
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    const grd_tensor *x = grd_full(GRD_SHAPE(1, 2), 0.5);
    for (int f = 0; f < 2; f++) {
        const grd_gradcheck_options options = { .fast = f };
        const bool first = grd_gradcheck(cube, NULL, GRD_LIST(x), &options).passed;
        const bool second = grd_gradgradcheck(cube, NULL, GRD_LIST(x), &options).passed;
        const grd_status status = grd_error_take();
        cr_assert_eq(first && second, status == GRD_OK);
        if (status != GRD_OK)
            return grd_scope_end(scope) == GRD_OK ? status : GRD_ERROR_STATE;
    }
    return grd_scope_end(scope);
}

Test(tape_memory, fails_cleanly_at_every_allocation)
{
    fail_at_every_allocation(walk_program, 0);
    fail_at_every_allocation(check_program, 0);
}
