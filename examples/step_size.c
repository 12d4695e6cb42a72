/* How far central differences can be trusted: the error of (f(x + eps) - f(x - eps)) / 2 eps over the size of the step,
 * in f64 and in f32. A long step is wrong by the curve between its ends, eps^2; a short one by rounding, 1 / eps. */
#include <gradus/gradus.h>
#include <math.h>

enum { N = 64 };

/* One number from all elements, with curves of every order. */
static grd_tensor *f(const grd_tensor *x)
{
    return grd_sum(grd_mul(grd_softmax(x, -1), grd_sin(x)));
}

static double worst_error(const double *values, const double *analytic, double eps, grd_dtype dtype)
{
    double worst = 0;
    for (int i = 0; i < N; i++) {
        grd_scope *step = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64, .no_grad = true });
        double y[2], moved[N];
        for (int side = 0; side < 2; side++) {
            for (int j = 0; j < N; j++)
                moved[j] = values[j] + (i == j ? side ? -eps : eps : 0);
            y[side] = grd_item(f(grd_cast(grd_from_f64(moved, N, GRD_SHAPE(8, 8)), dtype)));
        }
        worst = fmax(worst, fabs((y[0] - y[1]) / (2 * eps) - analytic[i]));
        grd_scope_end(step);
    }
    return worst;
}

int main(void)
{
    double values[N], analytic[N];
    grd_scope *run = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    grd_tensor *x = grd_require_grad(grd_randn(grd_rng_create(3), GRD_SHAPE(8, 8)));
    grd_backward(f(x));
    if (grd_read_f64(x, values, N) != GRD_OK || grd_read_f64(grd_tensor_grad(x), analytic, N) != GRD_OK)
        return fprintf(stderr, "%s\n", grd_error_message()), 1;

    printf("eps     error in f64  error in f32\n");
    for (int power = 1; power <= 12; power++)
        printf("1e-%02d   %9.1e     %9.1e\n", power, worst_error(values, analytic, pow(10, -power), GRD_F64),
               worst_error(values, analytic, pow(10, -power), GRD_F32));

    if (grd_scope_end(run) != GRD_OK)
        return fprintf(stderr, "%s\n", grd_error_message()), 1;
    return 0;
}
