/* Masks: every part alone and all together, as on the CPU. */
#include "tensor/front.h"
#include "tests/cuda/twins.h"

#include <criterion/criterion.h>
#include <math.h>

enum { B = 3, H = 2, L = 37, S = 301 };
enum { ATTEND = 1, IGNORE = 2, KEY_IGNORE = 4, ADDITIVE = 8, LENGTHS = 16, ALL = 32 };

typedef struct masking {
    int parts;
    grdi_mask mask;
    grd_dtype dtype; /* of what is additive */
} masking;

static grd_tensor *masked(const masking *m, grd_device *device)
{
    grd_rng *rng = grd_rng_create(4);
    const grd_tensor *some = grd_gt_scalar(grd_rand(rng, GRD_SHAPE(B, 1, L, S)), 0.3);
    const grd_tensor *few = grd_gt_scalar(grd_rand(rng, GRD_SHAPE(H, L, 1)), 0.9);
    const grd_tensor *keys = grd_gt_scalar(grd_rand(rng, GRD_SHAPE(B, 1, 1, S)), 0.8);
    const grd_tensor *noise = grd_randn(rng, GRD_SHAPE(L, S));
    const grd_tensor *hidden = grd_masked_fill(noise, grd_gt_scalar(noise, 1), -INFINITY);
    const grd_tensor *lengths = grd_from_i64((int64_t[]){ 0, 170, S }, B, GRD_SHAPE(B, 1, 1, 1));
    const grdi_mask_parts parts = {
        .attend = m->parts & ATTEND ? grd_to_device(some, device) : NULL,
        .ignore = m->parts & IGNORE ? grd_to_device(few, device) : NULL,
        .key_ignore = m->parts & KEY_IGNORE ? grd_to_device(keys, device) : NULL,
        .additive = m->parts & ADDITIVE ? grd_to_device(grd_cast(hidden, m->dtype), device) : NULL,
        .lengths = m->parts & LENGTHS ? grd_to_device(lengths, device) : NULL,
    };
    return grdi_attention_mask(&parts, &m->mask, &(grd_shape){ 4, { B, H, L, S } }, device);
}

static void expect_masked(const masking *m)
{
    static const twins t = { "attention_mask", NULL, NULL, 0 };
    grd_scope *scope = grd_scope_begin();
    expect_twin(&t, masked(m, grd_cpu()), masked(m, grd_cuda(0)));
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

Test(cuda_attention_mask, masks_are_the_same_on_both)
{
    static const grd_dtype dtypes[] = { GRD_F32, GRD_F64, GRD_F16, GRD_BF16 };
    static const grdi_mask bands[] = {
        { .left = INT64_MAX, .right = INT64_MAX },
        { .left = INT64_MAX, .right = 0, .offset = S - L },
        { .left = 5, .right = 3, .offset = -10, .appended = 7 },
        { .left = 0, .right = INT64_MAX, .offset = INT64_MIN, .appended = 1 },
        { .left = 20, .right = 0, .by_length = true },
    };
    need_gpu();
    for (int parts = 0; parts < ALL; parts++)
        for (int b = 0; b < 5; b++)
            expect_masked(&(masking){ parts, bands[b], dtypes[(parts + b) % 4] });
}
