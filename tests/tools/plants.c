/* Every mistake is caught by the check that it belongs to, whatever the module, and by what that
 * check is about; without one, and where it is none, all five pass. */
#include "tools/plants.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const grd_mha_options configurations[] = {
    { .embed_dim = 16, .num_heads = 4, .layout = GRD_BATCH_FIRST },
    { .embed_dim = 16, .num_heads = 4, .layout = GRD_SEQUENCE_FIRST, .dropout = 0.3 },
    { .embed_dim = 16, .num_heads = 2, .layout = GRD_UNBATCHED },
    { .embed_dim = 8, .num_heads = 1, .layout = GRD_BATCH_FIRST, .no_bias = true },
    { .embed_dim = 6, .num_heads = 6, .layout = GRD_SEQUENCE_FIRST },
    { .embed_dim = 4, .num_heads = 2, .layout = GRD_BATCH_FIRST, .add_zero_attn = true },
    { .embed_dim = 12, .num_heads = 3, .layout = GRD_UNBATCHED, .add_bias_kv = true },
    { .embed_dim = 12, .num_heads = 3, .layout = GRD_SEQUENCE_FIRST, .kdim = 5, .vdim = 7 },
    { .embed_dim = 10,
      .num_heads = 5,
      .layout = GRD_BATCH_FIRST,
      .kdim = 3,
      .vdim = 3,
      .add_bias_kv = true,
      .add_zero_attn = true },
    { .embed_dim = 20,
      .num_heads = 1,
      .layout = GRD_SEQUENCE_FIRST,
      .vdim = 9,
      .no_bias = true,
      .add_bias_kv = true },
    { .embed_dim = 96, .num_heads = 8, .layout = GRD_BATCH_FIRST, .dropout = 0.1 },
    { .embed_dim = 72, .num_heads = 2, .layout = GRD_UNBATCHED, .kdim = 72, .vdim = 8 },
};
enum { CONFIGURATIONS = sizeof configurations / sizeof configurations[0] };

/* What the check that catches it must say, and whether no other may fail. */
static const struct {
    const char *plant, *words;
    bool alone;
} catches[] = {
    { "wrong-layout", "changed results that are apart from it", false },
    { "softmax-axis", "no mask: the weights of sample", false },
    { "mask-polarity", "causal: sample", false },
    { "mask-after-softmax", "causal: the weights of sample", false },
    { "padding-left-in", "key_ignore: sample", true },
    { "missing-scale", "query, head 0: the gradient is up to", true },
    { "merge-without-transpose", "changed results that are apart from it", false },
    { "detached-value", "v", true },
    { "dropped-head", ": the gradient is 0", true },
    { "in-place-weights", "was changed in place", false },
    { "weights-on-fast-path", "strict was asked for, but", true },
    { "shared-initial-values", "hold the same numbers", true },
};

/* Parameters times `factor`: 0.1 makes them as small as a new transformer's, 10 larger than a
 * trained one's. */
static grd_module *module_of(const grd_mha_options *options, double factor)
{
    grd_module *module = grd_mha_create(grd_rng_create(5), options);
    grd_scope *scope = grd_scope_begin_no_grad();
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++)
        grd_mul_scalar_(grd_module_parameter_at(module, i).tensor, factor);
    grd_scope_end(scope);
    return module;
}

static grd_attention_report report_of(const grd_mha_options *options, double factor,
                                      const plant *planted)
{
    student s = { module_of(options, factor), options, planted };
    student_prepare(&s);
    return grd_check_attention(s.module, options, student_forward, &s);
}

static void expect_sound(const grd_attention_report *r, int i, const char *what)
{
    for (int c = 0; c < 5; c++)
        cr_assert(r->checks[c].passed, "configuration %d, %s: %s: %s", i, what, r->checks[c].name,
                  r->checks[c].text);
    cr_assert(r->passed);
}

static void expect_caught(const grd_attention_report *r, int i, int p)
{
    const int owner = plants[p].check;
    cr_assert_not(r->passed);
    cr_assert_not(r->checks[owner].passed, "configuration %d: %s is not caught", i, plants[p].name);
    cr_assert(strstr(r->checks[owner].text, catches[p].words), "configuration %d: %s: %s", i,
              plants[p].name, r->checks[owner].text);
    cr_assert(r->checks[owner].symptom && r->checks[owner].cause);
    for (int c = 0; c < 5 && catches[p].alone; c++)
        cr_assert(c == owner || r->checks[c].passed, "configuration %d: %s: %s: %s", i,
                  plants[p].name, r->checks[c].name, r->checks[c].text);
}

static void run_all(grd_dtype dtype, double factor)
{
    for (int i = 0; i < CONFIGURATIONS; i++)
        for (int p = -1; p < num_plants; p++) {
            const grd_mha_options *o = &configurations[i];
            grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = dtype });
            const grd_attention_report r = report_of(o, factor, p < 0 ? NULL : &plants[p]);
            if (p < 0)
                expect_sound(&r, i, "no mistake");
            else if (plants[p].harmless && plants[p].harmless(o))
                expect_sound(&r, i, plants[p].name);
            else
                expect_caught(&r, i, p);
            cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
        }
}

Test(plants, are_caught_by_the_check_they_belong_to)
{
    run_all(GRD_F32, 1);
}

Test(plants, are_caught_in_f64)
{
    run_all(GRD_F64, 1);
}

Test(plants, are_caught_among_small_numbers)
{
    run_all(GRD_F32, 0.1);
}

Test(plants, are_caught_where_softmax_saturates)
{
    run_all(GRD_F32, 10);
}

Test(plants, cut_off_just_what_they_say)
{
    grd_scope *scope = grd_scope_begin();
    const grd_mha_options o = { .embed_dim = 12, .num_heads = 3, .layout = GRD_BATCH_FIRST };
    const grd_attention_report value = report_of(&o, 1, plant_named("detached-value"));
    cr_assert(strstr(value.checks[3].text, "in_proj_weight, value, head 0: the gradient is 0"));
    const grd_attention_report head = report_of(&o, 1, plant_named("dropped-head"));
    cr_assert(strstr(head.checks[3].text, "in_proj_weight, query, head 2: the gradient is 0"));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(plants, have_names_and_lessons_of_their_own)
{
    cr_assert_eq((size_t)num_plants, sizeof catches / sizeof catches[0]);
    for (int p = 0; p < num_plants; p++) {
        cr_assert_str_eq(plants[p].name, catches[p].plant);
        cr_assert_eq(plant_named(plants[p].name), &plants[p]);
        cr_assert(strlen(plants[p].lesson) > 200 && plants[p].check >= 0 && plants[p].check < 5);
    }
    cr_assert_null(plant_named("missing"));
}
