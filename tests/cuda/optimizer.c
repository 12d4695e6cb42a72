/* Steps of optimizers, and the sum of squares. */
#include "tensor/front.h"
#include "tests/cuda/twins.h"

#include <criterion/criterion.h>
#include <math.h>

static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16 };

/* The last has more elements than all threads of the emulated GPU take at once. */
static const int64_t lengths[] = { 0, 1, 3, 1024, 70003 };
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static const grdi_sgd plain = { .lr = 0.1, .weight_decay = 0.01 };
static const grdi_sgd nesterov = {
    .lr = 0.1, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true
};
static const grdi_sgd heavy = { .lr = 0.1, .momentum = 0.8 };
static const grdi_adam numbers = {
    .shrink = 0.999, .beta1 = 0.9, .beta2 = 0.99, .step = 0.01, .root = 1.2, .eps = 1e-8
};

/* What changed, one below the other. */
static grd_tensor *stepped_sgd(const grd_tensor *const x[], const void *user)
{
    const grdi_sgd *how = user;
    grd_tensor *value = grd_clone(x[0]), *b = grd_clone(x[1]);
    cr_assert(grdi_sgd_step(value, how->momentum > 0 ? b : NULL, x[2], how), "%s",
              grd_error_message());
    return grd_cat(GRD_LIST(value, b), 0);
}

/* From the second element on: not in whole pieces of 16 bytes. */
static grd_tensor *stepped_unaligned(const grd_tensor *const x[], const void *user)
{
    const int64_t n = grd_tensor_count(x[0]);
    grd_tensor *value = grd_clone(x[0]), *b = grd_clone(x[1]);
    cr_assert(grdi_sgd_step(grd_slice(value, 0, 1, n, 1), grd_slice(b, 0, 1, n, 1),
                            grd_slice(x[2], 0, 1, n, 1), user),
              "%s", grd_error_message());
    return grd_cat(GRD_LIST(value, b), 0);
}

static grd_tensor *stepped_adam(const grd_tensor *const x[], const void *user)
{
    grd_tensor *value = grd_clone(x[0]), *m = grd_clone(x[1]), *v = grd_abs(x[3]);
    cr_assert(grdi_adam_step(value, m, v, x[2], user), "%s", grd_error_message());
    return grd_cat(GRD_LIST(value, m, v), 0);
}

Test(cuda_optimizer, steps_are_the_same_on_both)
{
    const twins steps[] = {
        { "sgd", stepped_sgd, &plain, 4 },
        { "sgd with momentum", stepped_sgd, &heavy, 4 },
        { "sgd of Nesterov", stepped_sgd, &nesterov, 4 },
        { "adam", stepped_adam, &numbers, 8 },
    };
    const twins unaligned = { "sgd, unaligned", stepped_unaligned, &nesterov, 4 };
    need_gpu();
    for (int d = 0; d < 2; d++)
        for (int l = 0; l < LENGTHS; l++) {
            grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = dtypes[d] });
            grd_rng *rng = grd_rng_create(8);
            const grd_shape shape = GRD_SHAPE(lengths[l]);
            const grd_list x = GRD_LIST(grd_randn(rng, shape), grd_randn(rng, shape),
                                        grd_randn(rng, shape), grd_randn(rng, shape));
            for (int i = 0; i < 4; i++)
                expect_twins(&steps[i], x);
            if (lengths[l] > 1)
                expect_twins(&unaligned, x);
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
        }
}

static grd_tensor *squares(const grd_tensor *const x[], const void *user)
{
    grd_device *device = ((const struct grd_tensor *)x[0])->storage->device;
    grd_tensor *sums = grdi_full("test", &(grd_shape){ 2, { 3, 2 } }, 7, GRD_F64, device);
    (void)user;
    cr_assert(grdi_square_sum(sums, 1, x[0], NULL), "%s", grd_error_message());
    return sums;
}

/* In f64 whatever is summed, and the other rows are left as they were. */
Test(cuda_optimizer, squares_are_summed_as_on_the_cpu)
{
    static const twins t = { "square_sum", squares, NULL, 4000 };
    need_gpu();
    for (int d = 0; d < 4; d++)
        for (int l = 0; l < LENGTHS; l++) {
            grd_scope *scope = grd_scope_begin();
            const grd_tensor *x = grd_randn(grd_rng_create(8), GRD_SHAPE(lengths[l]));
            x = grd_cast(x, dtypes[d]);
            expect_twins_seen(&t, GRD_LIST(x));
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
        }
}

Test(cuda_optimizer, what_is_not_finite_is_counted)
{
    need_gpu();
    for (int d = 0; d < 4; d++) {
        double found[6];
        grd_scope *scope = grd_scope_begin();
        grd_tensor *x = grd_cast(grd_randn(grd_rng_create(8), GRD_SHAPE(70003)), dtypes[d]);
        grd_fill_(grd_slice(x, 0, 40000, 40003, 1), NAN);
        grd_fill_(grd_slice(x, 0, 70002, GRD_END, 1), -INFINITY);
        const grd_tensor *far = grd_to_device(x, grd_cuda(0));
        cr_assert_eq(grd_read_f64(squares(&far, NULL), found, 6), GRD_OK);
        cr_assert_eq(found[3], 4, "%g", found[3]);
        cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
    }
}
