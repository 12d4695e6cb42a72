/* What gradus gradcheck checks of ops. */
#include "tools/gradcheck.h"

#include <math.h>

static grd_tensor *second_chunk(const grd_tensor *x)
{
    grd_tensor *parts[3];
    grd_chunk(x, 3, 1, parts);
    return parts[1];
}

static grd_tensor *last_split(const grd_tensor *x)
{
    grd_tensor *parts[3];
    grd_split(x, (const int64_t[]){ 1, 2, 3 }, 3, 0, parts);
    return parts[2];
}

/* y = sin(a) b, which keeps what it needs. */
static grd_tensor *own_forward(grd_call *call, const grd_tensor *const *x)
{
    grd_tensor *sine = grd_sin(x[0]);
    grd_call_save(call, sine);
    return grd_mul(sine, x[1]);
}

static void own_backward(const grd_call *call, const grd_tensor *dy, grd_tensor **dx)
{
    dx[0] = grd_mul(dy, grd_mul(grd_cos(grd_call_input(call, 0)), grd_call_input(call, 1)));
    dx[1] = grd_mul(dy, grd_call_saved(call, 0));
}

static grd_tensor *own_op(const grd_tensor *a, const grd_tensor *b)
{
    static const grd_custom_op op = { "custom", own_forward, own_backward, 0 };
    return grd_custom(&op, GRD_LIST(a, b), NULL);
}

static grd_tensor *recomputed(const grd_tensor *const *x, void *user)
{
    (void)user;
    return grd_tanh(grd_matmul(x[0], grd_sin(x[1])));
}

/* The list twice: a function of each line, and the table of them. */
#define JOIN(a, b) a##b
#define FUNCTION(line) JOIN(case_, line)
#define CASE(op, what, y, ...)                                                                     \
    static grd_tensor *FUNCTION(__LINE__)(const grd_tensor *const *x, void *use)                   \
    {                                                                                              \
        (void)use;                                                                                 \
        return y;                                                                                  \
    }
#include "tools/gradcheck_ops.def"
#undef CASE

#define CASE(op, what, y, ...) { #op, what, FUNCTION(__LINE__), { __VA_ARGS__ }, NULL, NULL },
static const checked_case cases[] = {
#include "tools/gradcheck_ops.def"
};

const checked_table checked_ops = { "op", cases, sizeof cases / sizeof cases[0] };
