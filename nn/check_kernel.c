/* Check 5: the kernel that keeps no weights makes the output, or somebody says why not. What ran is
 * read from the output's own graph, so that it holds for any function. */
#include "nn/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const grdi_diagnosis silent = {
    "memory grows with L x S and long sequences are slow, though nothing asked for weights",
    "weights are computed by hand, or asked for where nobody wants them, and strict is not obeyed",
};
static const grdi_diagnosis dragged = {
    "looking at the weights makes the model slower and rounds its output otherwise",
    "asking for weights moves the output to the slow path (torch: need_weights=True)",
};

/* Whether a step of the walk was the kernel's. */
static bool look(const grd_backward_step *step, void *seen)
{
    if (strcmp(step->op, "flash_attention") == 0)
        *(bool *)seen = true;
    return true;
}

/* Whether a walk from the output to the query meets the kernel. The graph is freed. */
static bool is_from_flash(const grd_tensor *output, const grd_tensor *query)
{
    bool seen = false;
    grd_tensor *dquery;
    grd_scope scope;
    grdi_scope_open(&scope);
    const grd_grad_options how = { .gradients = GRD_LIST(grd_ones_like(output)),
                                   .allow_unused = true };
    if (grd_tensor_requires_grad(output) && grd_on_backward(&scope, look, &seen) == GRD_OK)
        grd_grad(GRD_LIST(output), GRD_LIST(query), &how, &dquery);
    grdi_scope_close(&scope);
    return seen;
}

typedef struct tally {
    int flash, calls;
    char reason[160]; /* of the first call that fell back and said so */
} tally;

/* Strict: flash, or an error that says why not. */
static void check_strict(grdi_probe *p, grd_attention_check *check, const grdi_masking *m,
                         const grdi_inputs *inputs, tally *t)
{
    grd_attention a;
    const grd_mha_args args = { .mask = m->mask, .strict = true };
    t->calls++;
    if (grdi_probe_call(p, inputs, &args, &a)) {
        if (is_from_flash(a.output, inputs->x[0]))
            t->flash++;
        else if (!grdi_latched())
            grdi_flaw(check, &silent, NAN,
                      "%s: strict was asked for, but the output came from other ops than the fast "
                      "kernel, without an error",
                      m->name);
    } else if (grd_last_error().status == GRD_ERROR_UNSUPPORTED) {
        if (!t->reason[0])
            snprintf(t->reason, sizeof t->reason, "%s", grd_last_error().message);
        grd_error_take();
    }
}

/* With the weights asked for, the output is the same to the bit and from the same kernel. */
static void check_weights(grdi_probe *p, grd_attention_check *check, const grdi_masking *m,
                          const grdi_inputs *inputs)
{
    grd_attention without, with;
    const grd_mha_args args = { .mask = m->mask, .weights = GRD_PER_HEAD };
    if (!grdi_probe_call(p, inputs, &(grd_mha_args){ .mask = m->mask }, &without) ||
        !grdi_probe_call(p, inputs, &args, &with))
        return;
    const double change =
        grdi_largest(grd_sub(grd_detach(without.output), grd_detach(with.output)), NULL);
    const bool same = grd_equal(grd_contiguous(without.output), grd_contiguous(with.output));
    const bool fast = is_from_flash(without.output, inputs->x[0]);
    const bool still = is_from_flash(with.output, inputs->x[0]);
    if (grdi_latched())
        return;
    if (fast && !still)
        grdi_flaw(check, &dragged, change,
                  "%s: asking for weights takes the output off the fast kernel and changes it by "
                  "%.3g",
                  m->name, change);
    else if (!same)
        grdi_flaw(check, &dragged, change, "%s: asking for weights changes the output by %.3g",
                  m->name, change);
}

static void check_mask(grdi_probe *p, grd_attention_check *check, const grdi_masking *m, bool self,
                       tally *t)
{
    grdi_inputs inputs = grdi_probe_inputs(p, m->sizes, self);
    const grd_tensor *leaf = grd_require_grad(grd_clone(inputs.x[0]));
    for (int i = 0; i < 3; i++)
        inputs.x[i] = self || i == 0 ? leaf : inputs.x[i];
    if (grdi_latched())
        return;
    check_strict(p, check, m, &inputs, t);
    if (check->passed && !grdi_latched())
        check_weights(p, check, m, &inputs);
}

void grdi_check_kernel(grdi_probe *p, grd_attention_check *check)
{
    tally t = { 0 };
    for (int i = 0; i < GRDI_MASKINGS && check->passed && !grdi_latched(); i++) {
        const grdi_masking m = grdi_masking_at(p, i);
        if (!grdi_latched())
            check_mask(p, check, &m, false, &t);
        if (m.self && check->passed && !grdi_latched())
            check_mask(p, check, &m, true, &t);
        if (grdi_latched())
            grdi_error_context(" (%s)", m.name);
    }
    if (!check->passed)
        return;
    const char *always = "with every mask, weights asked for or not";
    if (t.flash == t.calls)
        snprintf(check->text, sizeof check->text, "flash %s", always);
    else if (t.flash > 0)
        snprintf(check->text, sizeof check->text, "flash in %d of %d calls; in the others: %s",
                 t.flash, t.calls, t.reason);
    else
        snprintf(check->text, sizeof check->text, "a slower kernel, with a reason: %s", t.reason);
}
