/* The five checks: right modules pass, whatever their options; each kind of failure is told by its
 * check; and nothing is left behind. Known mistakes: tests/tools/plants.c. */
#include "tests/counter.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

enum { E = 8, H = 2 };
enum { DIMENSIONS, ROWS, MASKS, GRADIENTS, KERNEL };

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(check_attention, .init = begin, .fini = end);

static const grd_mha_options plain = { .embed_dim = E, .num_heads = H, .layout = GRD_BATCH_FIRST };

static grd_module *module_of(const grd_mha_options *options)
{
    return grd_mha_create(grd_rng_create(6), options);
}

static void expect_sound(grd_attention_report r)
{
    for (int i = 0; i < 5; i++)
        cr_assert(r.checks[i].passed && !r.checks[i].symptom && !r.checks[i].cause, "%s: %s",
                  r.checks[i].name, r.checks[i].text);
    cr_assert(r.passed);
}

/* ---- Right modules ---- */

static grd_mha_options options_at(int i)
{
    return (grd_mha_options){ .embed_dim = E,
                              .num_heads = i % 2 ? 4 : 1,
                              .layout = GRD_BATCH_FIRST + (grd_layout)(i / 2 % 3),
                              .no_bias = i / 6 % 2,
                              .add_bias_kv = i / 12 % 2,
                              .add_zero_attn = i / 24 % 2,
                              .kdim = i / 48 % 2 ? 5 : 0,
                              .vdim = i / 48 % 2 ? 3 : 0 };
}

Test(check_attention, every_combination_of_options_is_sound)
{
    for (int i = 0; i < 96; i++) {
        grd_scope *inner =
            grd_scope_begin_with(&(grd_scope_options){ .dtype = i % 3 ? GRD_F32 : GRD_F64 });
        const grd_mha_options o = options_at(i);
        expect_sound(grd_check_mha(module_of(&o)));
        grd_scope_end(inner);
    }
}

Test(check_attention, separate_weights_and_narrow_types_are_sound)
{
    grd_module *m = module_of(&plain);
    cr_assert_eq(grd_mha_unpack(m), GRD_OK);
    expect_sound(grd_check_mha(m));
    cr_assert_eq(grd_mha_pack(m), GRD_OK);
    expect_sound(grd_check_mha(m));
    for (grd_dtype dtype = GRD_F16; dtype <= GRD_BF16; dtype++) {
        cr_assert_eq(grd_module_to(m, NULL, dtype), GRD_OK);
        expect_sound(grd_check_mha(m));
    }
}

Test(check_attention, size_of_parameters_does_not_matter)
{
    for (double factor = 0.01; factor < 200; factor *= 10)
        for (int i = 0; i < 96; i += 13) {
            const grd_mha_options o = options_at(i);
            grd_module *m = module_of(&o);
            grd_scope *inner = grd_scope_begin_no_grad();
            for (int64_t j = 0; j < grd_module_num_parameters(m); j++)
                grd_mul_scalar_(grd_module_parameter_at(m, j).tensor, factor);
            grd_scope_end(inner);
            expect_sound(grd_check_mha(m));
        }
}

Test(check_attention, the_fast_kernel_is_seen_where_it_runs)
{
    const grd_attention_report r = grd_check_mha(module_of(&plain));
    cr_assert_eq(strncmp(r.checks[KERNEL].text, "flash", 5), 0, "%s", r.checks[KERNEL].text);
}

/* ---- Nothing is left behind ---- */

static void count_calls(grd_module *self, const grd_tensor *y, void *user)
{
    (void)self;
    (void)y;
    ++*(int *)user;
}

Test(check_attention, a_module_is_left_as_it_was)
{
    const grd_mha_options o = {
        .embed_dim = E, .num_heads = H, .layout = GRD_BATCH_FIRST, .dropout = 0.5
    };
    grd_module *m[] = { module_of(&o), module_of(&o) };
    const grd_tensor *x = grd_randn(grd_rng_create(1), GRD_SHAPE(2, 3, E));
    grd_tensor *y[2];
    int calls = 0;
    for (int i = 0; i < 2; i++) {
        grd_module_train(m[i], grd_rng_create(9));
        grd_backward(grd_sum(grd_mha_forward(m[i], x, x, x, NULL).output));
    }
    grd_on_forward(m[0], count_calls, &calls);
    expect_sound(grd_check_mha(m[0]));
    const int during = calls;
    for (int i = 0; i < 2; i++)
        y[i] = grd_mha_forward(m[i], x, x, x, NULL).output;
    cr_assert(grd_equal(y[0], y[1]), "mode and generator");
    cr_assert_eq(calls, during + 1, "hooks");
    for (int64_t i = 0; i < grd_module_num_parameters(m[0]); i++) {
        const grd_tensor *a = grd_module_parameter_at(m[0], i).tensor,
                         *b = grd_module_parameter_at(m[1], i).tensor;
        cr_assert(grd_equal(a, b) && grd_equal(grd_tensor_grad(a), grd_tensor_grad(b)), "%s",
                  grd_module_parameter_at(m[0], i).name);
    }
}

Test(check_attention, rows_that_the_checks_mask_are_not_counted)
{
    expect_sound(grd_check_mha(module_of(&plain)));
    cr_assert_eq(grd_masked_rows(scope), 0);
}

Test(check_attention, modes_of_the_scope_around_do_not_matter)
{
    grd_module *m = module_of(&(grd_mha_options){
        .embed_dim = E, .num_heads = H, .layout = GRD_UNBATCHED, .dropout = 0.2 });
    grd_scope *inner = grd_scope_begin_with(
        &(grd_scope_options){ .dtype = GRD_F64, .no_grad = true, .strict_kernels = true });
    expect_sound(grd_check_mha(m));
    grd_scope_end(inner);
}

/* ---- Functions with a flaw ---- */

typedef struct flawed {
    grd_module *module;
} flawed;

typedef grd_attention flaw(const grd_tensor *query, const grd_tensor *key, const grd_tensor *value,
                           const grd_mha_args *args, void *user);

#define FLAW(name)                                                                                 \
    static grd_attention name(const grd_tensor *query, const grd_tensor *key,                      \
                              const grd_tensor *value, const grd_mha_args *args, void *user)
#define RIGHT grd_mha_forward(((flawed *)user)->module, query, key, value, args)

FLAW(fine)
{
    return RIGHT;
}

FLAW(fails)
{
    (void)query, (void)key, (void)value, (void)args, (void)user;
    grd_fail(GRD_ERROR_STATE, "mine", "the model is asleep");
    return (grd_attention){ 0 };
}

FLAW(gives_nothing)
{
    (void)query, (void)key, (void)value, (void)args, (void)user;
    return (grd_attention){ 0 };
}

FLAW(loses_a_row)
{
    grd_attention a = RIGHT;
    a.output = grd_slice(a.output, 1, 0, -1, 1);
    return a;
}

FLAW(always_averages)
{
    grd_attention a = RIGHT;
    if (args && args->weights == GRD_PER_HEAD)
        a.weights = grd_mean_dims(a.weights, GRD_DIMS(1), GRD_DROP_DIMS);
    return a;
}

FLAW(overflows)
{
    grd_attention a = RIGHT;
    a.output = grd_mul_scalar(grd_mul_scalar(a.output, 1e30), 1e30);
    return a;
}

FLAW(mixes_samples)
{
    grd_attention a = RIGHT;
    a.output = grd_sub(a.output, grd_mean_dims(a.output, GRD_DIMS(0), GRD_KEEP_DIMS));
    return a;
}

FLAW(normalises_over_queries)
{
    grd_attention a = RIGHT;
    a.output = grd_sub(a.output, grd_mean_dims(a.output, GRD_DIMS(1), GRD_KEEP_DIMS));
    return a;
}

FLAW(shifts_values)
{
    value = grd_roll(value, 1, -1);
    key = grd_add(key, grd_cumsum(grd_ones_like(key), 1));
    return RIGHT;
}

FLAW(takes_the_first_head)
{
    grd_attention a = RIGHT;
    if (args && args->weights == GRD_AVERAGED) {
        const grd_mha_args each = { .mask = args->mask, .weights = GRD_PER_HEAD };
        args = &each;
        a.weights = grd_select(RIGHT.weights, 1, 0);
    }
    return a;
}

FLAW(has_negative_weights)
{
    grd_attention a = RIGHT;
    if (a.weights && args->weights == GRD_PER_HEAD)
        a.weights = grd_sub(grd_mul_scalar(a.weights, 2), grd_roll(a.weights, 1, -1));
    return a;
}

FLAW(forgets_masks)
{
    grd_mha_args without = args ? *args : (grd_mha_args){ 0 };
    without.mask = (grd_mask){ 0 };
    args = &without;
    return RIGHT;
}

/* Weights are right, but the mean of all values is added. */
FLAW(leaks_values)
{
    grd_attention a = RIGHT;
    const grd_tensor *mean = grd_mean_dims(value, GRD_DIMS(1), GRD_KEEP_DIMS);
    a.output = grd_add(a.output, grd_mul_scalar(mean, 1e-3));
    return a;
}

/* 0 x NaN. */
FLAW(leaks_nan)
{
    grd_attention a = RIGHT;
    const grd_tensor *nothing =
        grd_mul_scalar(grd_sum_dims(value, GRD_DIMS(1, 2), GRD_KEEP_DIMS), 0);
    a.output = grd_add(a.output, nothing);
    return a;
}

FLAW(is_cut_off)
{
    grd_attention a = RIGHT;
    a.output = grd_detach(a.output);
    return a;
}

FLAW(doubles_the_query)
{
    query = grd_mul_scalar(query, 2);
    return RIGHT;
}

FLAW(ignores_strict)
{
    grd_mha_args slow = args ? *args : (grd_mha_args){ 0 };
    slow.strict = false;
    slow.composed = true;
    args = &slow;
    return RIGHT;
}

FLAW(is_dragged)
{
    grd_mha_args slow = args ? *args : (grd_mha_args){ 0 };
    slow.composed = slow.weights != GRD_NO_WEIGHTS;
    args = &slow;
    return RIGHT;
}

FLAW(changes_with_weights)
{
    grd_attention a = RIGHT;
    if (a.weights)
        a.output = grd_mul_scalar(a.output, 1.0001);
    return a;
}

FLAW(fails_later)
{
    if (args && args->mask.additive)
        grd_fail(GRD_ERROR_UNSUPPORTED, "mine", "no additive masks");
    return RIGHT;
}

FLAW(says_why)
{
    grd_mha_args slow = args ? *args : (grd_mha_args){ 0 };
    if (slow.strict)
        grd_fail(GRD_ERROR_UNSUPPORTED, "mine", "mine is for plots");
    slow.strict = false;
    slow.composed = true;
    args = &slow;
    return RIGHT;
}

static const struct {
    flaw *f;
    int check;
    const char *words;
} flaws[] = {
    { fails, DIMENSIONS, "mine: the model is asleep" },
    { fails, GRADIENTS, "mine: the model is asleep" },
    { gives_nothing, DIMENSIONS, "the function returned no output, expected [3, 3, 8]" },
    { loses_a_row, DIMENSIONS, "output is [3, 2, 8], expected [3, 3, 8]" },
    { always_averages, DIMENSIONS, "weights is [3, 3, 3], expected [3, 2, 3, 3]" },
    { overflows, DIMENSIONS, "the output is not finite" },
    { mixes_samples, DIMENSIONS, "B 3, L 3, S 3: sample 0 changed results that are apart" },
    { normalises_over_queries, DIMENSIONS, "query 0 changed results that are apart" },
    { shifts_values, DIMENSIONS, "keys in another order, with their values, change results by" },
    { takes_the_first_head, ROWS, "off the heads' mean" },
    { has_negative_weights, ROWS, "a weight is -" },
    { forgets_masks, MASKS, "gives the hidden key" },
    { leaks_values, MASKS, "times 10, changes the output of sample 0, query 0" },
    { leaks_nan, MASKS, "causal: the hidden key 1, set to NaN" },
    { is_cut_off, GRADIENTS, "the output depends on no parameter that learns" },
    { doubles_the_query, GRADIENTS, "query, head 0: the gradient is up to" },
    { ignores_strict, KERNEL, "no mask: strict was asked for, but" },
    { is_dragged, KERNEL, "takes the output off the fast kernel" },
    { changes_with_weights, KERNEL, "asking for weights changes the output by" },
    { fails_later, ROWS, "mine: no additive masks" },
};

Test(check_attention, every_flaw_is_told_by_its_check)
{
    for (size_t i = 0; i < sizeof flaws / sizeof flaws[0]; i++) {
        flawed user = { .module = module_of(&plain) };
        const grd_attention_report r = grd_check_attention(user.module, &plain, flaws[i].f, &user);
        const grd_attention_check *c = &r.checks[flaws[i].check];
        cr_assert(!r.passed && !c->passed, "flaw %zu", i);
        cr_assert(strstr(c->text, flaws[i].words), "flaw %zu: %s", i, c->text);
        cr_assert(c->symptom && c->cause, "flaw %zu", i);
        cr_assert_eq(grd_error_take(), GRD_OK, "nothing stays latched");
        expect_sound(grd_check_attention(user.module, &plain, fine, &user));
    }
}

Test(check_attention, a_named_reason_passes_for_a_kernel)
{
    flawed user = { .module = module_of(&plain) };
    const grd_attention_report r = grd_check_attention(user.module, &plain, says_why, &user);
    expect_sound(r);
    cr_assert_str_eq(r.checks[KERNEL].text, "a slower kernel, with a reason: mine is for plots");
}

/* ---- Modules that are not what is claimed ---- */

static grd_attention_report report_of(grd_module *m, const grd_mha_options *claims)
{
    flawed user = { .module = m };
    return grd_check_attention(m, claims, fine, &user);
}

static void expect_unsound(grd_attention_report r, int check, const char *words)
{
    cr_assert(!r.passed && !r.checks[check].passed);
    cr_assert(strstr(r.checks[check].text, words), "%s", r.checks[check].text);
}

Test(check_attention, claims_are_held_against_the_module)
{
    grd_mha_options claims = plain;
    claims.add_bias_kv = true;
    expect_unsound(report_of(module_of(&plain), &claims), DIMENSIONS,
                   "weights is [3, 3, 3], expected [3, 3, 4]");
    expect_unsound(report_of(module_of(&plain), &claims), GRADIENTS,
                   "the module has no parameter bias_k [1, 1, 8]");
    claims = plain;
    claims.no_bias = true;
    expect_unsound(report_of(module_of(&plain), &claims), GRADIENTS,
                   "the module has in_proj_bias, which its claims know nothing of");
    claims = plain;
    claims.num_heads = 4;
    expect_unsound(report_of(module_of(&plain), &claims), DIMENSIONS,
                   "weights is [3, 2, 3, 3], expected [3, 4, 3, 3]");
    claims = plain;
    claims.layout = GRD_SEQUENCE_FIRST;
    expect_unsound(report_of(module_of(&plain), &claims), DIMENSIONS,
                   "sample 0 changed results that are apart");
}

Test(check_attention, a_module_without_parameters_or_frozen_is_told)
{
    flawed user = { .module = module_of(&plain) };
    grd_module *empty = grd_module_create("Empty", 0, NULL);
    const grd_attention_report r = grd_check_attention(empty, &plain, fine, &user);
    expect_unsound(r, GRADIENTS, "the module has no parameter");
    cr_assert(r.checks[ROWS].passed && r.checks[MASKS].passed && r.checks[KERNEL].passed);
    grd_module_freeze(user.module);
    expect_unsound(grd_check_mha(user.module), GRADIENTS, "in_proj_weight requires no gradient");
}

static void fill_part(grd_module *m, const char *name, int64_t dim, int64_t first, int64_t last)
{
    grd_scope *inner = grd_scope_begin_no_grad();
    grd_fill_(grd_slice(grd_module_parameter(m, name), dim, first, last, 1), 0);
    grd_scope_end(inner);
}

Test(check_attention, a_dead_head_is_named)
{
    grd_module *m = module_of(&plain);
    fill_part(m, "out_proj.weight", 1, E / H, E);
    expect_unsound(grd_check_mha(m), GRADIENTS, "in_proj_weight, query, head 1: the gradient is 0");
}

Test(check_attention, equal_heads_are_named)
{
    grd_module *m = module_of(&plain);
    grd_scope *inner = grd_scope_begin_no_grad();
    const grd_tensor *all = grd_module_parameter(m, "in_proj_weight");
    grd_copy_(grd_slice(all, 0, E + E / H, 2 * E, 1), grd_slice(all, 0, E, E + E / H, 1));
    grd_scope_end(inner);
    expect_unsound(grd_check_mha(m), GRADIENTS,
                   "heads 0 and 1 of the key projection hold the same numbers");
}

Test(check_attention, a_parameter_that_is_not_finite_is_told)
{
    grd_module *m = module_of(&plain);
    grd_scope *inner = grd_scope_begin_no_grad();
    grd_fill_(grd_module_parameter(m, "out_proj.bias"), NAN);
    grd_scope_end(inner);
    expect_unsound(grd_check_mha(m), DIMENSIONS, "the output is not finite");
}

/* ---- Misuse ---- */

Test(check_attention, misuse_is_an_error)
{
    flawed user = { .module = module_of(&plain) };
    grd_mha_options claims = plain;
    cr_assert_not(grd_check_attention(NULL, &plain, fine, &user).passed);
    expect_error(GRD_ERROR_ARGUMENT, "check_attention");
    cr_assert_not(grd_check_attention(user.module, NULL, fine, &user).passed);
    expect_error(GRD_ERROR_ARGUMENT, "check_attention");
    cr_assert_not(grd_check_attention(user.module, &plain, NULL, &user).passed);
    expect_error(GRD_ERROR_ARGUMENT, "check_attention");
    claims.layout = GRD_LAYOUT_UNSTATED;
    cr_assert_not(grd_check_attention(user.module, &claims, fine, &user).passed);
    expect_error(GRD_ERROR_ARGUMENT, "the claims state no layout");
    claims = plain;
    claims.num_heads = 3;
    cr_assert_not(grd_check_attention(user.module, &claims, fine, &user).passed);
    expect_error(GRD_ERROR_ARGUMENT, "embed_dim 8 is not divisible by num_heads 3");
    claims = plain;
    claims.kdim = -1;
    cr_assert_not(grd_check_attention(user.module, &claims, fine, &user).passed);
    expect_error(GRD_ERROR_ARGUMENT, "kdim is -1");
    cr_assert_not(grd_check_mha(grd_layer_norm_create(4, NULL)).passed);
    expect_error(GRD_ERROR_ARGUMENT, "MultiheadAttention");
    cr_assert_not(grd_check_mha(NULL).passed);
    expect_error(GRD_ERROR_ARGUMENT, "check_mha");
}

Test(check_attention, an_error_from_before_stays)
{
    grd_module *m = module_of(&plain);
    grd_fail(GRD_ERROR_STATE, "before", "something else");
    const grd_attention_report r = grd_check_mha(m);
    cr_assert(!r.passed && strstr(r.checks[0].text, "not run: before: something else"), "%s",
              r.checks[0].text);
    expect_error(GRD_ERROR_STATE, "something else");
    expect_sound(grd_check_mha(m));
}

/* ---- Memory ---- */

/* With memory running out at the nth allocation (0: never). Gives how many there were. */
static long check_failing(const grd_mha_options *options, long n)
{
    counter memory = { 0 };
    count_with(&memory, true);
    grd_scope *inner = grd_scope_begin();
    grd_module *m = module_of(options);
    const long others = memory.asked;
    memory.fail_at = n ? others + n : 0;
    const grd_attention_report r = grd_check_mha(m);
    cr_assert_eq(r.passed, n == 0, "%ld", n);
    const long needed = memory.asked - others;
    /* The first is asked for before any check begins. */
    cr_assert_eq(grd_error_take(), n == 1 ? GRD_ERROR_MEMORY : GRD_OK, "%ld", n);
    for (int i = 0; i < 5; i++)
        cr_assert(r.checks[i].passed || strlen(r.checks[i].text) > 8, "%ld", n);
    cr_assert_eq(grd_scope_end(inner), GRD_OK);
    cr_assert_eq(memory.live, 0, "allocation %ld: %ld blocks leaked", n, memory.live);
    return needed;
}

Test(check_attention_memory, runs_out_cleanly)
{
    const grd_mha_options all[] = {
        { .embed_dim = 4, .num_heads = 2, .layout = GRD_UNBATCHED },
        { .embed_dim = 4,
          .num_heads = 2,
          .layout = GRD_SEQUENCE_FIRST,
          .kdim = 3,
          .add_bias_kv = true,
          .add_zero_attn = true },
    };
    for (int i = 0; i < 2; i++) {
        const long needed = check_failing(&all[i], 0);
        for (long n = 1; n <= needed; n += 1 + n / 50)
            check_failing(&all[i], n);
    }
}
