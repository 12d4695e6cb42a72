/* Every row of the table of op cases, in every way that a test can hold for all ops. */
#include "tests/counter.h"
#include "tests/cuda/emulated.h"
#include "tests/fake_device.h"
#include "tests/op_cases.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A value of this kind; `random` is in -1..1. */
static double value_of(const op_case *c, int input, double random, long element)
{
    switch (c->kind[input]) {
    case POSITIVE:
        return 0.2 + fabs(random);
    case APART:
        return (double)(element * 7 % 61 - 30) / 20 + 0.02 + 0.01 * random / 2;
    case INDEX:
        return floor((random + 1) / 2 * (double)c->limit);
    case BOOL:
        return random > 0;
    default:
        return random;
    }
}

static void make_plain(plain *x, const op_case *c, int input, unsigned seed)
{
    const grd_shape *shape = &c->shape[input];
    long count = 1;
    x->rank = (int)shape->rank;
    for (int d = 0; d < shape->rank; d++)
        count *= x->size[d] = (long)shape->size[d];
    for (long i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x->value[i] = value_of(c, input, (double)(seed >> 8) / (1 << 23) - 1, i);
    }
}

static int64_t elements(const grd_shape *shape)
{
    int64_t count = 1;
    for (int d = 0; d < shape->rank; d++)
        count *= shape->size[d];
    return count;
}

/* x in memory whose last two dimensions lie swapped: what a transposed view of it restores. */
static grd_tensor *from_plain(const plain *x, const grd_shape *shape, grd_dtype dtype, bool swapped)
{
    double f64[MAX_ELEMENTS];
    const int64_t count = elements(shape);
    const int64_t columns = swapped ? shape->size[shape->rank - 1] : 1;
    const int64_t rows = swapped ? shape->size[shape->rank - 2] : 1;
    grd_shape stored = *shape;
    if (swapped) {
        stored.size[shape->rank - 1] = rows;
        stored.size[shape->rank - 2] = columns;
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t in = i % (rows * columns);
        const int64_t to = i - in + in % columns * rows + in / columns;
        f64[swapped ? to : i] = x->value[i];
    }
    return grd_cast(grd_from_f64(f64, count, stored), dtype);
}

static bool can_swap(const grd_shape *shape)
{
    return shape->rank >= 2 && elements(shape) > 0;
}

static void make_inputs(const op_case *c, plain plains[], const grd_tensor *x[], grd_dtype dtype,
                        bool swapped)
{
    for (int i = 0; i < c->inputs; i++) {
        const bool swap = swapped && can_swap(&c->shape[i]);
        const grd_dtype own = c->kind[i] == INDEX ? GRD_I64 : c->kind[i] == BOOL ? GRD_BOOL : dtype;
        make_plain(&plains[i], c, i, (unsigned)i + 7);
        x[i] = from_plain(&plains[i], &c->shape[i], own, swap);
    }
}

typedef struct setting {
    const op_case *c;
    bool swapped;
    const grd_tensor *const *fixed; /* all inputs, of which a check varies the real ones */
} setting;

static bool is_real(const op_case *c, int input)
{
    return c->kind[input] != INDEX && c->kind[input] != BOOL;
}

/* `inputs` are those that are real. */
static grd_tensor *run_case(const grd_tensor *const *inputs, void *user)
{
    const setting *s = user;
    const grd_tensor *x[MAX_INPUTS];
    for (int i = 0, next = 0; i < s->c->inputs; i++) {
        x[i] = is_real(s->c, i) ? inputs[next++] : s->fixed[i];
        if (s->swapped && can_swap(&s->c->shape[i]))
            x[i] = grd_transpose(x[i], -1, -2);
    }
    return s->c->run(x);
}

static grd_list real_inputs(const op_case *c, const grd_tensor *const x[], const grd_tensor *real[])
{
    grd_list list = { 0, real };
    for (int i = 0; i < c->inputs; i++)
        if (is_real(c, i))
            real[list.count++] = x[i];
    return list;
}

static void expect_values(const op_case *c, const grd_tensor *y, const plain *expected,
                          double allowed)
{
    double values[MAX_ELEMENTS];
    const grd_shape shape = grd_tensor_shape(y);
    const int64_t count = grd_tensor_count(y);
    cr_assert(y, "%s: %s", c->name, grd_error_message());
    cr_assert_eq(shape.rank, expected->rank, "%s: rank %d", c->name, (int)shape.rank);
    for (int64_t d = 0; d < shape.rank; d++)
        cr_assert_eq(shape.size[d], expected->size[d], "%s: size %d", c->name, (int)d);
    y = grd_cast(y, GRD_F64); /* results of other types too */
    cr_assert_eq(grd_read_f64(y, values, count), GRD_OK, "%s", grd_error_message());
    for (int64_t i = 0; i < count; i++)
        cr_assert(fabs(values[i] - expected->value[i]) <= allowed, "%s[%d]: %.17g, not %.17g",
                  c->name, (int)i, values[i], expected->value[i]);
}

typedef struct way {
    grd_dtype dtype;
    grd_device *device;
    bool swapped;
} way;

static void compare_one(const op_case *c, const way *how)
{
    static plain plains[MAX_INPUTS], expected;
    grd_scope *scope =
        grd_scope_begin_with(&(grd_scope_options){ .dtype = how->dtype, .device = how->device });
    const grd_tensor *x[MAX_INPUTS], *real[MAX_INPUTS];
    setting s = { c, how->swapped, x };
    make_inputs(c, plains, x, how->dtype, how->swapped);
    c->reference(plains, &expected);
    const double in_f32 = c->f32_error > 0 ? c->f32_error : 2e-6;
    expect_values(c, run_case(real_inputs(c, x, real).at, &s), &expected,
                  how->dtype == GRD_F64 ? 1e-13 : in_f32);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", c->name, grd_error_message());
}

/* TEST_OPS names kernels between spaces: only their rows are tested. */
static bool is_wanted(const op_case *c)
{
    const char *wanted = getenv("TEST_OPS");
    char name[64];
    snprintf(name, sizeof name, " %s ", c->kernel);
    return !wanted || strstr(wanted, name);
}

static void compare_all(grd_dtype dtype, grd_device *device, bool swapped)
{
    const way how = { dtype, device, swapped };
    for (int f = 0; f < op_family_count; f++)
        for (int i = 0; i < op_families[f]->count; i++)
            if (is_wanted(&op_families[f]->cases[i]))
                compare_one(&op_families[f]->cases[i], &how);
}

Test(ops, agree_with_the_reference)
{
    compare_all(GRD_F64, NULL, false);
    compare_all(GRD_F32, NULL, false);
}

Test(ops, agree_on_views)
{
    compare_all(GRD_F64, NULL, true);
}

Test(ops, agree_on_another_device)
{
    compare_all(GRD_F64, fake_device(), false);
    compare_all(GRD_F64, fake_device(), true);
}

/* On a GPU, or what stands in for one. */
Test(cuda_ops, agree_with_the_reference)
{
    need_gpu();
    compare_all(GRD_F64, grd_cuda(0), false);
    compare_all(GRD_F64, grd_cuda(0), true);
    compare_all(GRD_F32, grd_cuda(0), false);
}

typedef grd_gradcheck_report checker(grd_function, void *, grd_list, const grd_gradcheck_options *);

static void check_one(checker *check, const op_case *c, const way *how)
{
    static plain plains[MAX_INPUTS];
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = how->device });
    const grd_tensor *x[MAX_INPUTS], *real[MAX_INPUTS];
    setting s = { c, how->swapped, x };
    make_inputs(c, plains, x, GRD_F64, how->swapped);
    const grd_gradcheck_report report = check(run_case, &s, real_inputs(c, x, real), NULL);
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s: %s", c->name, grd_error_message());
    cr_assert(report.passed || !report.compared, "%s: %s", c->name, report.text);
}

/* TEST_SHARE, as in 1/4, takes the rows whose number leaves 1 when divided by 4: gradients that take
 * minutes on an emulated GPU are shared by the runs in several orders. */
static bool is_shared_out(int number)
{
    const char *share = getenv("TEST_SHARE");
    int which, of;
    return share && sscanf(share, "%d/%d", &which, &of) == 2 && of > 0 && number % of != which;
}

static void check_all(checker *check, grd_device *device, bool swapped)
{
    const way how = { GRD_F64, device, swapped };
    int number = 0;
    for (int f = 0; f < op_family_count; f++)
        for (int i = 0; i < op_families[f]->count; i++) {
            const op_case *c = &op_families[f]->cases[i];
            if (!c->no_derivative && is_wanted(c) && !is_shared_out(number++))
                check_one(check, c, &how);
        }
}

Test(ops, gradcheck)
{
    check_all(grd_gradcheck, NULL, false);
    check_all(grd_gradcheck, NULL, true);
    check_all(grd_gradcheck, fake_device(), true);
}

Test(cuda_ops, gradcheck)
{
    need_gpu();
    check_all(grd_gradcheck, grd_cuda(0), false);
}

Test(ops, gradgradcheck)
{
    check_all(grd_gradgradcheck, NULL, false);
    check_all(grd_gradgradcheck, NULL, true);
}

/* The op and, where it has gradients, a walk and a second one through the first. */
static void use_twice(const op_case *c, const setting *s, grd_list varied)
{
    const grd_grad_options how = { .create_graph = true, .allow_unused = true };
    grd_tensor *dx[MAX_INPUTS] = { NULL }, *sum = NULL;
    const grd_tensor *y = run_case(varied.at, (void *)s);
    if (c->no_derivative || !grd_tensor_requires_grad(y))
        return;
    grd_grad(GRD_LIST(grd_sum(y)), varied, &how, dx);
    for (int64_t i = 0; i < varied.count; i++)
        if (grd_tensor_requires_grad(dx[i]))
            sum = sum ? grd_add(sum, grd_sum(dx[i])) : grd_sum(dx[i]);
    if (sum)
        grd_backward(sum);
}

/* The same with memory running out at the nth allocation after the inputs' (0: never). Gives how
 * many there were. */
static grd_status use_failing(const op_case *c, counter *memory, long n)
{
    static plain plains[MAX_INPUTS];
    const grd_tensor *x[MAX_INPUTS], *real[MAX_INPUTS];
    const setting s = { c, false, x };
    *memory = (counter){ 0 };
    count_with(memory, true);
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .dtype = GRD_F64 });
    make_inputs(c, plains, x, GRD_F64, false);
    const grd_list varied = real_inputs(c, x, real);
    for (int64_t i = 0; i < varied.count && !c->no_derivative; i++)
        real[i] = grd_require_grad((grd_tensor *)real[i]);
    const long before = memory->asked;
    memory->fail_at = n ? before + n : 0;
    use_twice(c, &s, varied);
    const grd_status status = grd_scope_end(scope);
    memory->asked -= before;
    grd_error_take();
    return status;
}

static void fail_everywhere(const op_case *c)
{
    counter memory;
    cr_assert_eq(use_failing(c, &memory, 0), GRD_OK, "%s: %s", c->name, grd_error_message());
    cr_assert_eq(memory.live, 0, "%s: %ld blocks leaked", c->name, memory.live);
    const long needed = memory.asked;
    for (long n = 1; n <= needed; n++) {
        cr_assert_eq(use_failing(c, &memory, n), GRD_ERROR_MEMORY, "%s: allocation %ld: %s",
                     c->name, n, grd_error_message());
        cr_assert_eq(memory.live, 0, "%s: allocation %ld: %ld blocks leaked", c->name, n,
                     memory.live);
    }
}

Test(ops, fail_cleanly_at_every_allocation)
{
    for (int f = 0; f < op_family_count; f++)
        for (int i = 0; i < op_families[f]->count; i++)
            fail_everywhere(&op_families[f]->cases[i]);
}

/* The same on a GPU whose driver fails at its nth call (0: never) after the inputs'. Gives whether
 * there was such a call. */
static bool use_failing_on_gpu(const op_case *c, const emulated *gpu, long n, int result)
{
    static plain plains[MAX_INPUTS];
    const grd_tensor *x[MAX_INPUTS], *real[MAX_INPUTS];
    const setting s = { c, false, x };
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = grd_cuda(0) });
    make_inputs(c, plains, x, GRD_F32, false);
    const grd_list varied = real_inputs(c, x, real);
    for (int64_t i = 0; i < varied.count && !c->no_derivative; i++)
        real[i] = grd_require_grad((grd_tensor *)real[i]);
    const long before = gpu->calls();
    gpu->fail(n, result);
    use_twice(c, &s, varied);
    const bool failed = n && gpu->calls() - before >= n;
    const grd_status status = grd_scope_end(scope), taken = grd_error_take();
    gpu->fail(0, 0);
    cr_assert(status == GRD_OK || (failed && taken == status &&
                                   (status == GRD_ERROR_DEVICE || status == GRD_ERROR_MEMORY)),
              "%s: call %ld: %s", c->name, n, grd_last_error().message);
    grd_memory_trim();
    cr_assert_eq(gpu->held(), 0, "%s: call %ld leaves %zu bytes", c->name, n, gpu->held());
    return failed;
}

Test(cuda_ops, fail_cleanly_at_every_call)
{
    const emulated gpu = need_emulated();
    int number = 0;
    for (int f = 0; f < op_family_count; f++)
        for (int i = 0; i < op_families[f]->count; i++) {
            const op_case *c = &op_families[f]->cases[i];
            if (!is_wanted(c) || is_shared_out(number++))
                continue;
            use_failing_on_gpu(c, &gpu, 0, 0);
            for (long n = 1; use_failing_on_gpu(c, &gpu, n, n % 2 ? 999 : 2);)
                n += n < 20 ? 1 : 5; /* Later calls are mostly those of ops that came before. */
        }
}

static void expect_refused(const bad_case *bad)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *x[] = { grd_ones(bad->shape[0]), grd_ones(bad->shape[1]) };
    cr_assert_null(bad->run(x), "%s", bad->message);
    const char *message = grd_error_message(), *site = strstr(message, " at ");
    cr_assert(site && strstr(site, ".c:"), "no call site: %s", message);
    cr_assert_eq(strncmp(message, bad->message, (size_t)(site - message)), 0, "%s", message);
    cr_assert_eq(strlen(bad->message), (size_t)(site - message), "%s", message);
    cr_assert_eq(grd_scope_end(scope), grd_error_take());
}

Test(ops, bad_input_is_named)
{
    for (int f = 0; f < op_family_count; f++)
        for (int i = 0; i < op_families[f]->bad_count; i++)
            expect_refused(&op_families[f]->bad[i]);
}

static bool has_case(const char *kernel)
{
    for (int f = 0; f < op_family_count; f++)
        for (int i = 0; i < op_families[f]->count; i++)
            if (strcmp(op_families[f]->cases[i].kernel, kernel) == 0)
                return true;
    return false;
}

Test(ops, every_kernel_has_a_case)
{
    static const char *const kernels[] = {
#define KERNEL(name, parameters, arguments) #name,
#include "tensor/kernels.def"
#undef KERNEL
    };
    for (size_t k = 0; k < sizeof kernels / sizeof kernels[0]; k++)
        cr_assert(has_case(kernels[k]), "no case in tests/ops/ for the kernel %s", kernels[k]);
}

Test(ops, a_missing_kernel_is_an_error)
{
    grd_device *device = fake_device_without_softmax();
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .device = device });
    cr_assert(!grd_device_supports(device, "softmax") && grd_device_supports(device, "matmul"));
    cr_assert_null(grd_softmax(grd_ones(GRD_SHAPE(2, 2)), 0));
    cr_assert_eq(grd_scope_end(scope), GRD_ERROR_UNSUPPORTED);
    cr_assert(strstr(grd_error_message(), "softmax: f32 is not supported on fake"));
}

Test(ops, bf16_is_stored_and_computed_in_f32)
{
    grd_scope *scope = grd_scope_begin();
    const grd_tensor *sum =
        grd_add(grd_cast(grd_scalar(1), GRD_BF16), grd_cast(grd_scalar(1. / 128), GRD_BF16));
    cr_assert_eq(grd_item(sum), 1 + 1. / 128);
    const double tie = grd_item(grd_add(sum, grd_cast(grd_scalar(1. / 256), GRD_BF16)));
    cr_assert_eq(tie, 1 + 2. / 128, "ties go to even: %.9g", tie);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}
