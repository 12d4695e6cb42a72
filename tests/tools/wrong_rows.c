/* For tests of gradus gradcheck's report: derivatives that are wrong, between ones that are right.
 */
#include "tools/gradcheck.h"

/* y = a b */
static grd_tensor *forward(grd_call *call, const grd_tensor *const *x)
{
    (void)call;
    return grd_mul(x[0], x[1]);
}

static void one_percent_off(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    dx[0] = grd_mul(dy, grd_call_input(call, 1));
    dx[1] = grd_mul_scalar(grd_mul(dy, grd_call_input(call, 0)), 1.01);
}

static void severed(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    dx[0] = grd_mul(dy, grd_detach(grd_call_input(call, 1)));
    dx[1] = grd_mul(dy, grd_detach(grd_call_input(call, 0)));
}

static void otherwise_recorded(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    const grd_tensor *a = grd_call_input(call, 0), *product = grd_mul(dy, a);
    dx[0] = grd_mul(dy, grd_call_input(call, 1));
    dx[1] = grd_mul_scalar(product, grd_tensor_requires_grad(product) ? 0.5 : 1);
}

static grd_tensor *run(const grd_tensor *const *x, void *use)
{
    return grd_custom(((checked_use *)use)->c->settings, GRD_LIST(x[0], x[1]), NULL);
}

static grd_tensor *right(const grd_tensor *const *x, void *use)
{
    (void)use;
    return grd_mul(x[0], x[1]);
}

static grd_tensor *fails(const grd_tensor *const *x, void *use)
{
    (void)use;
    return grd_matmul(x[0], x[1]);
}

static const grd_custom_op off = { "off", forward, one_percent_off, 0 };
static const grd_custom_op cut = { "cut", forward, severed, 0 };
static const grd_custom_op other = { "other", forward, otherwise_recorded, 0 };

#define PAIR                                                                                       \
    {                                                                                              \
        NORMAL(2, 3), NORMAL(2, 3)                                                                 \
    }

static const checked_case cases[] = {
    { "right", "", right, PAIR, NULL, NULL },    { "off", "right", right, PAIR, NULL, NULL },
    { "off", "1%", run, PAIR, &off, NULL },      { "severed", "", run, PAIR, &cut, NULL },
    { "recorded", "", run, PAIR, &other, NULL }, { "fails", "", fails, PAIR, NULL, NULL },
    { "last", "", right, PAIR, NULL, NULL },
};

static const checked_table table = { "op", cases, sizeof cases / sizeof cases[0] };
const checked_table *const checked_tables[] = { &table };
const int num_checked_tables = 1;
