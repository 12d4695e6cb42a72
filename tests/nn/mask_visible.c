/* What each mask leaves, pair by pair, against its words. */
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

enum { B = 2, H = 3, L = 4, S = 7 };

static grd_scope *scope;
static grd_rng *rng;

static void begin(void)
{
    scope = grd_scope_begin();
    rng = grd_rng_create(5);
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(mask_visible, .init = begin, .fini = end);

/* A mask drawn of one line a query: '#' sees, '.' does not. */
static void expect_picture(const grd_mask *mask, const char *const rows[L])
{
    const grd_tensor *visible = grd_mask_visible(mask, GRD_SHAPE(1, L, S));
    for (int64_t i = 0; i < L; i++)
        for (int64_t j = 0; j < S; j++)
            cr_assert_eq(grd_item_at(visible, GRD_DIMS(0, i, j)), rows[i][j] == '#',
                         "query %d, key %d: %s", (int)i, (int)j, grd_error_message());
}

Test(mask_visible, bands_lie_where_their_alignment_says)
{
    const grd_tensor *length = grd_from_i64((int64_t[]){ 5 }, 1, GRD_SHAPE(1));
    const struct {
        grd_mask mask;
        const char *rows[L];
    } cases[] = {
        { { .causal = true, .align = GRD_ALIGN_TOP_LEFT },
          { "#......", "##.....", "###....", "####..." } },
        { { .causal = true, .align = GRD_ALIGN_BOTTOM_RIGHT },
          { "####...", "#####..", "######.", "#######" } },
        { { .causal = true, .align = GRD_ALIGN_KEY_LENGTHS, .key_lengths = length },
          { "##.....", "###....", "####...", "#####.." } },
        { { .causal = true, .align = GRD_ALIGN_OFFSET, .offset = -2 },
          { ".......", ".......", "#......", "##....." } },
        { { .window_left = GRD_SET(1), .window_right = GRD_SET(2), .align = GRD_ALIGN_TOP_LEFT },
          { "###....", "####...", ".####..", "..####." } },
        { { .window_left = GRD_SET(0), .align = GRD_ALIGN_BOTTOM_RIGHT },
          { "...####", "....###", ".....##", "......#" } },
        { { .causal = true, .window_left = GRD_SET(1), .align = GRD_ALIGN_OFFSET, .offset = 2 },
          { ".##....", "..##...", "...##..", "....##." } },
        { { .key_lengths = length }, { "#####..", "#####..", "#####..", "#####.." } },
        { { .causal = false }, { "#######", "#######", "#######", "#######" } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_picture(&cases[i].mask, cases[i].rows);
}

static bool at(const grd_tensor *x, int64_t b, int64_t h, int64_t i, int64_t j)
{
    return grd_item_at(x, GRD_DIMS(b, h, i, j)) != 0;
}

Test(mask_visible, all_that_is_given_applies_together)
{
    const grd_tensor *attend = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(B, 1, L, S)), 0.8);
    const grd_tensor *ignore = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(1, H, 1, S)), 0.2);
    const grd_tensor *padding = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(B, S)), 0.2);
    const grd_tensor *hidden = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(1, H, L, 1)), 0.2);
    const grd_tensor *bias = grd_masked_fill(grd_zeros(GRD_SHAPE(1, H, L, 1)), hidden, -INFINITY);
    const grd_mask mask = { .causal = true,
                            .align = GRD_ALIGN_BOTTOM_RIGHT,
                            .attend = attend,
                            .ignore = ignore,
                            .key_ignore = padding,
                            .additive = bias };
    const grd_tensor *visible = grd_mask_visible(&mask, GRD_SHAPE(B, H, L, S));
    for (int64_t n = 0; n < B * H * L * S; n++) {
        const int64_t b = n / (H * L * S), h = n / (L * S) % H, i = n / S % L, j = n % S;
        const bool wanted = j <= i + S - L && at(attend, b, 0, i, j) && !at(ignore, 0, h, 0, j) &&
                            grd_item_at(padding, GRD_DIMS(b, j)) == 0 && !at(hidden, 0, h, i, 0);
        cr_assert_eq(at(visible, b, h, i, j), wanted, "%d", (int)n);
    }
}

Test(mask_visible, is_what_attention_sees)
{
    const grd_mask mask = { .causal = true,
                            .align = GRD_ALIGN_TOP_LEFT,
                            .key_ignore = grd_lt_scalar(grd_rand(rng, GRD_SHAPE(B, S)), 0.3) };
    const grd_tensor *q = grd_randn(rng, GRD_SHAPE(B, H, L, 4)),
                     *k = grd_randn(rng, GRD_SHAPE(B, H, S, 4));
    const grd_sdpa_options options = { .mask = mask, .weights = GRD_PER_HEAD };
    const grd_tensor *weights = grd_sdpa(q, k, k, &options).weights;
    cr_assert(grd_equal(grd_gt_scalar(weights, 0), grd_mask_visible(&mask, GRD_SHAPE(B, H, L, S))));
}

Test(mask_visible, bad_input_is_named)
{
    const grd_mask causal = { .causal = true };
    cr_assert_null(grd_mask_visible(&causal, GRD_SHAPE(L, S)));
    expect_error(GRD_ERROR_SHAPE, "mask_visible: scores [4, 7], expected (..., H, L, S)");
    cr_assert_null(grd_mask_visible(&causal, GRD_SHAPE(1, L, S)));
    expect_error(GRD_ERROR_ARGUMENT, "mask.align is not stated, and 4 queries over 7 keys");
    cr_assert_null(grd_mask_visible(&causal, GRD_SHAPE(1, -1, S)));
    expect_error(GRD_ERROR_SHAPE, "expected (..., H, L, S)");
    const grd_mask counted = { .additive = grd_cast(grd_zeros(GRD_SHAPE(L, S)), GRD_I64) };
    cr_assert_null(grd_mask_visible(&counted, GRD_SHAPE(1, L, S)));
    expect_error(GRD_ERROR_DTYPE, "mask.additive is i64, expected a floating type");
    cr_assert(grd_mask_visible(NULL, GRD_SHAPE(1, L, S)), "no mask is all");
}
