/* Which calls of attention are taken to cuDNN, that plans are kept, and that whatever fails becomes
 * an error and leaves nothing behind. */
#include "tensor/object.h"
#include "tests/cuda/cudnn_calls.h"
#include "tests/cuda/emulated.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <stdlib.h>
#include <string.h>

static const int64_t lengths[] = { 13, 20 };

/* ---- What is not taken ---- */

static const struct refused {
    call call;
    const char *why;
} refused[] = {
    { { .appended = 1 }, "cuDNN knows no appended keys" },
    { { .softcap = 30 }, "cuDNN is not asked for softcap" },
    { { .dropout = 0.1 }, "dropout: cuDNN draws other numbers than Gradus" },
    { { .queries = 1 }, "cuDNN is not asked for one query" },
    { { .size = 12 }, "cuDNN wants head sizes that are multiples of 8" },
    { { .value_size = 4 }, "cuDNN wants head sizes that are multiples of 8" },
    { { .size = 264 }, "cuDNN takes head sizes up to 256" },
    { { .window = 3 }, "cuDNN's band is causal, from the first key or to the last, or a window" },
    { { .causal = true, .offset = 1 }, "cuDNN's band is causal" },
    { { .causal = true, .offset = 5, .queries = 15, .lengths = lengths },
      "cuDNN's band is causal" },
    { { .causal = true, .window = 3, .queries = 25 }, "cuDNN wants as many keys as queries" },
    { { .causal = true, .offset = -5, .queries = 25 }, "cuDNN wants as many keys as queries" },
    { { .causal = true, .window = 3, .additive = PER_PAIR }, "cuDNN's window does not go" },
    { { .causal = true, .window = 3, .keep = PER_PAIR }, "cuDNN's window does not go" },
};

static const char *why_not(side *s, bool backward)
{
    return grdi_cuda_cudnn.refusal(s->device, &s->how, &s->x[QUERY], &s->x[KEY], &s->x[VALUE],
                                   backward ? GRDI_BACKWARD : GRDI_FORWARD);
}

static void expect_refusal(side *s, const char *why)
{
    const char *found = why_not(s, false);
    cr_assert(found && strncmp(found, why, strlen(why)) == 0, "%s and not %s",
              found ? found : "taken", why);
    cr_assert_eq(go(s, grdi_cuda_cudnn_attention), GRD_ERROR_UNSUPPORTED, "%s", why);
    cr_assert(!grdi_latched(), "%s", grd_error_message());
}

static const call usual = { .name = "usual", .causal = true };

Test(cuda_cudnn, what_is_not_taken)
{
    const fake f = need_fake();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        grd_scope *scope = grd_scope_begin();
        side sides[2] = { 0 };
        begin_sides(sides, &refused[i].call);
        expect_refusal(&sides[1], refused[i].why);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
    cr_assert_eq(f.graphs(), 0, "rules make no graphs");
}

/* What the emulated GPU is not: of another generation than Hopper's. */
Test(cuda_cudnn, sizes_of_heads_by_gpu)
{
    static const call c = { .name = "d136", .size = 136 };
    static const char why[] = "cuDNN's backward takes head sizes up to 128 on this GPU";
    need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &c);
    cr_assert_null(why_not(&sides[1], true));
    ((grdi_cuda *)grd_cuda(0)->state)->major = 8;
    cr_assert_str_eq(why_not(&sides[1], true), why);
    cr_assert_null(why_not(&sides[1], false));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_cudnn, arrays_that_are_not_taken)
{
    need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    side s = sides[1];
    s.x[KEY].data = (char *)s.x[KEY].data + 8;
    expect_refusal(&s, "cuDNN wants rows that begin at multiples of 16 bytes");
    s = sides[1];
    s.x[VALUE].dim[1].stride = 0;
    expect_refusal(&s, "cuDNN wants rows that begin at multiples of 16 bytes");
    s = sides[1];
    s.x[QUERY].dim[2].stride = 12;
    expect_refusal(&s, "cuDNN wants rows that begin at multiples of 16 bytes");
    s = sides[1];
    s.x[QUERY].dtype = GRD_F32;
    expect_refusal(&s, "cuDNN takes f16 and bf16 alone");
    s = sides[1];
    s.x[QUERY].dim[2].size = 0;
    expect_refusal(&s, "cuDNN takes no empty tensors");
    s = sides[1];
    s.x[QUERY].dim[2].size = INT32_MAX;
    expect_refusal(&s, "cuDNN counts rows in 31 bits");
    cr_assert_null(why_not(&sides[1], false));
    cr_assert_null(why_not(&sides[1], true));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

static void expect_reason_without(const char *library, const char *why)
{
    need_emulated();
    setenv("GRADUS_CUDNN", library, 1);
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    expect_refusal(&sides[1], why);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_cudnn, none_there)
{
    expect_reason_without("/nowhere/libcudnn.so.9", "there is no cuDNN 9 (/nowhere/libcudnn.so.9:");
}

Test(cuda_cudnn, another_library)
{
    expect_reason_without("libm.so.6", "this cuDNN has no cudnnGetVersion");
}

Test(cuda_cudnn, switched_off)
{
    expect_reason_without("0", "GRADUS_CUDNN=0 switches cuDNN off");
}

Test(cuda_cudnn, an_old_one)
{
    need_fake();
    setenv("FAKE_CUDNN_VERSION", "90500", 1);
    expect_reason_without(getenv("GRADUS_CUDNN"),
                          "cuDNN is 9.5, and 9.19 is the oldest that will do");
}

Test(cuda_cudnn, it_does_not_start)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    f.fail(2, 1001);
    expect_refusal(&sides[1], "cuDNN does not start on this GPU: FAKE_STATUS");
    f.fail(0, 0);
    cr_assert_eq(f.held(), 0, "the handle is given back");
    expect_refusal(&sides[1], "cuDNN does not start on this GPU: FAKE_STATUS");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Plans ---- */

/* cuDNN's backward is known to give NaN without lengths in these places. */
Test(cuda_cudnn, backward_is_padded_where_it_must_be)
{
    static const struct {
        int64_t queries, keys;
        bool padded;
    } sizes[] = { { 8, 128, false }, { 8, 64, true }, { 8, 192, true } };
    need_fake();
    for (int i = 0; i < 3; i++) {
        grd_scope *scope = grd_scope_begin();
        const call c = { .queries = sizes[i].queries, .keys = sizes[i].keys };
        grdi_cudnn_attention a;
        side sides[2] = { 0 };
        begin_sides(sides, &c);
        const side *s = &sides[1];
        grdi_cudnn_call asked = { .how = &s->how,
                                  .query = &s->x[QUERY],
                                  .key = &s->x[KEY],
                                  .value = &s->x[VALUE],
                                  .capability = 90 };
        cr_assert_null(grdi_cudnn_describe(&asked, &a));
        cr_assert(!a.padded);
        asked.gradient = &(
            grdi_flash_gradient){ .dquery = asked.query, .dkey = asked.key, .dvalue = asked.value };
        cr_assert_null(grdi_cudnn_describe(&asked, &a));
        cr_assert_eq(a.padded, sizes[i].padded, "%d", i);
        cr_assert_eq(grd_scope_end(scope), GRD_OK);
    }
}

Test(cuda_cudnn, plans_are_kept)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    side *s = &sides[1];
    expect_ok(go(s, grdi_cuda_cudnn_attention), &usual, "first");
    cr_assert_eq(f.graphs(), 1);
    const long held = f.held();
    s->how.scale = 2;
    s->how.left = FAR + 7;
    for (int i = 0; i < 100; i++)
        expect_ok(go(s, grdi_cuda_cudnn_attention), &usual, "again");
    cr_assert_eq(f.graphs(), 1);
    cr_assert_eq(f.held(), held);
    expect_ok(go_back(s, grdi_cuda_cudnn_attention_backward, false), &usual, "backward");
    cr_assert_eq(f.graphs(), 2);
    for (int64_t n = 1; n <= 100; n++) { /* the table grows */
        s->x[QUERY].dim[2].size = s->x[OUTPUT].dim[2].size = n % 19 + 2;
        s->x[LOGSUMEXP].dim[2].size = n % 19 + 2;
        expect_ok(go(s, grdi_cuda_cudnn_attention), &usual, "another length");
        s->x[KEY].dim[2].size = s->x[VALUE].dim[2].size = 21 - (n + 19) / 20;
    }
    const long graphs = f.graphs();
    cr_assert_gt(graphs, 80, "%ld", graphs);
    s->x[KEY].dim[2].size = s->x[VALUE].dim[2].size = 20;
    s->x[QUERY].dim[2].size = s->x[OUTPUT].dim[2].size = s->x[LOGSUMEXP].dim[2].size = 20;
    expect_ok(go(s, grdi_cuda_cudnn_attention), &usual, "the first length");
    cr_assert_eq(f.graphs(), graphs);
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_cudnn, plans_are_not_made_without_end)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    side *s = &sides[1];
    for (int i = 0; i < 512; i++) {
        s->x[QUERY].dim[0].stride += 8;
        cr_assert_null(why_not(s, false));
    }
    s->x[QUERY].dim[0].stride += 8;
    expect_refusal(s, "sizes change too often: cuDNN has made 512 plans, and makes no more");
    cr_assert_eq(f.graphs(), 512);
    s->x[QUERY].dim[0].stride -= 8;
    cr_assert_null(why_not(s, false), "one that was made stays");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_cudnn, refusals_are_kept)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    f.engines(0, 0, 0);
    expect_refusal(&sides[1], "cuDNN has no engine for it on this GPU");
    const long calls = f.calls();
    expect_refusal(&sides[1], "cuDNN has no engine for it on this GPU");
    cr_assert_eq(f.calls(), calls);
    cr_assert_eq(f.held(), 1, "but the handle nothing is");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_cudnn, too_large_a_workspace)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    f.engines(2, 1, INT64_C(1) << 50);
    expect_refusal(&sides[1], "cuDNN wants 1073741824 MiB to work in, and ");
    cr_assert(!strstr(why_not(&sides[1], false), "GRADUS_CUDNN_FAST"));
    cr_assert(strstr(why_not(&sides[1], true), "with GRADUS_CUDNN_FAST=1, which gives other bits"));
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

Test(cuda_cudnn, the_second_list_and_the_second_engine)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &usual);
    cr_assert_null(why_not(&sides[1], false));
    const long before = f.calls();
    cr_assert_null(why_not(&sides[1], true));
    const long to_make = f.calls() - before; /* the last three: set, check and read the plan */
    f.engines(0, 1, 64);
    sides[1].how.right = FAR;
    cr_assert_null(why_not(&sides[1], false), "from the second list");
    f.engines(2, 0, 64);
    f.fail(to_make + 4, 3000); /* a second engine is four calls more to list, the first fails */
    cr_assert_null(why_not(&sides[1], true), "with the second engine");
    cr_assert_eq(grd_scope_end(scope), GRD_OK);
}

/* ---- Failures ---- */

/* Each call of cuDNN fails in turn, while it makes a plan and runs it. A plan that was made is
 * kept; of one that was not nothing is. */
static void fail_at_every_call(int status, grd_status expected)
{
    const fake f = need_fake();
    grd_scope *scope = grd_scope_begin();
    const call c = { .name = "failing", .causal = true, .additive = PER_PAIR, .queries = 400 };
    side sides[2] = { 0 };
    begin_sides(sides, &c);
    side *s = &sides[1];
    s->x[QUERY].dim[2].size = s->x[OUTPUT].dim[2].size = s->x[LOGSUMEXP].dim[2].size = 2;
    s->x[ADDITIVE].dim[2].size = 2;
    expect_ok(go(s, grdi_cuda_cudnn_attention), &c, "unharmed");
    const long of_plan = f.held() - 1;
    long failures = 0, refusals = 0;
    bool failed = true;
    for (long n = 1; failed; n++) {
        const long calls = f.calls(), held = f.held();
        s->x[QUERY].dim[2].size = s->x[OUTPUT].dim[2].size = n + 2; /* each time a new plan */
        s->x[LOGSUMEXP].dim[2].size = s->x[ADDITIVE].dim[2].size = n + 2;
        s->x[OUTPUT].dim[0].stride = 4 * (n + 2) * 8; /* as the front end lays it out */
        f.fail(n, status);
        const grd_status found = go(s, grdi_cuda_cudnn_attention);
        failed = f.calls() - calls >= n;
        f.fail(0, 0);
        const long kept = f.held() - held;
        cr_assert(found == GRD_ERROR_UNSUPPORTED ? kept == 0 : kept == 0 || kept >= of_plan - 1,
                  "call %ld: %ld kept", n, kept);
        failures += found == expected;
        refusals += found == GRD_ERROR_UNSUPPORTED;
        cr_assert(found == GRD_OK || found == expected || found == GRD_ERROR_UNSUPPORTED,
                  "call %ld: %d", n, found);
        if (found == GRD_ERROR_UNSUPPORTED)
            cr_assert(strstr(why_not(s, false), "gives FAKE_STATUS: said the fake"), "%s",
                      why_not(s, false));
        grd_error_take();
        cr_assert_lt(n, 390);
    }
    cr_assert_gt(failures + refusals, 100, "%ld and %ld", failures, refusals);
    cr_assert_eq(expected == GRD_ERROR_MEMORY, refusals == 0, "%ld", refusals);
    for (int i = 0; i < 2; i++)
        end_side(&sides[i], &c);
    grd_scope_end(scope);
    grd_memory_trim();
    cr_assert_eq(need_emulated().held(), 0);
}

Test(cuda_cudnn, every_call_fails)
{
    fail_at_every_call(3000, GRD_ERROR_DEVICE);
}

Test(cuda_cudnn, every_call_lacks_memory)
{
    fail_at_every_call(4003, GRD_ERROR_MEMORY);
}

/* Each call of the driver fails in turn. */
Test(cuda_cudnn, every_call_of_the_driver_fails)
{
    static const call c = { .name = "failing", .keep = PER_PAIR };
    const emulated e = need_emulated();
    need_fake();
    grd_scope *scope = grd_scope_begin();
    side sides[2] = { 0 };
    begin_sides(sides, &c);
    side *s = &sides[1];
    long failures = 0;
    bool failed = true;
    for (long n = 1; failed; n++) {
        const long calls = e.calls();
        e.fail(n, 999);
        grd_status status = go(s, grdi_cuda_cudnn_attention);
        if (status == GRD_OK)
            status = go_back(s, grdi_cuda_cudnn_attention_backward, false);
        failed = e.calls() - calls >= n;
        e.fail(0, 0);
        failures += status == GRD_ERROR_DEVICE || status == GRD_ERROR_MEMORY;
        cr_assert_eq(status != GRD_OK, failed, "call %ld: %d", n, status);
        grd_error_take();
    }
    cr_assert_gt(failures, 10, "%ld", failures);
    for (int i = 0; i < 2; i++)
        end_side(&sides[i], &c);
    grd_scope_end(scope);
    grd_memory_trim();
    cr_assert_eq(e.held(), 0);
}
