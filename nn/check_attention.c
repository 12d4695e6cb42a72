/* The five checks: what they share with each other, and the report. */
#include "nn/check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* In the order of the report. */
static const struct {
    grdi_checker *run;
    const char *name, *expected;
} checks[] = {
    { grdi_check_dimensions, "dimensions",
      "the promised shapes; change in rows that are apart: 0" },
    { grdi_check_rows, "rows sum to 1",
      "distance of a row's sum from 1, or from 0 without keys: 0" },
    { grdi_check_masks, "masked is zero",
      "weight of hidden keys, and change of what ignores them: 0" },
    { grdi_check_gradients, "gradients flow", "distance from the f64 reference's gradients: 0" },
    { grdi_check_kernel, "fast kernel",
      "flash or a named reason; change when weights are asked: 0" },
};
enum { CHECKS = sizeof checks / sizeof checks[0] };

static const grdi_diagnosis of_failure = {
    "the call fails",
    "the function does not take inputs, masks or options that its claims allow",
};

bool grdi_flaw(grd_attention_check *check, const grdi_diagnosis *diagnosis, double measured,
               const char *format, ...)
{
    if (!check->passed)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(check->text, sizeof check->text, format, arguments);
    va_end(arguments);
    check->passed = false;
    check->measured = measured;
    check->symptom = diagnosis->symptom;
    check->cause = diagnosis->cause;
    return false;
}

/* ---- The report ---- */

static grd_attention_report empty_report(const char *text)
{
    grd_attention_report report = { 0 };
    for (int i = 0; i < CHECKS; i++) {
        report.checks[i] = (grd_attention_check){ .name = checks[i].name,
                                                  .expected = checks[i].expected,
                                                  .measured = NAN };
        snprintf(report.checks[i].text, sizeof report.checks[i].text, "not run: %s", text);
    }
    return report;
}

/* One check in a scope of its own. What fails in it is its finding. */
static void run_check(grdi_probe *p, int i, grd_attention_check *check)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    check->passed = true;
    check->measured = 0;
    check->text[0] = '\0';
    p->rng = grd_rng_create(1 + (uint64_t)i);
    checks[i].run(p, check);
    grdi_scope_close(&scope);
    if (grdi_latched())
        grdi_flaw(check, &of_failure, NAN, "%s", grd_error_message());
    grd_error_take();
}

static grd_attention_report run_all(grdi_probe *p)
{
    grd_attention_report report = empty_report("");
    report.passed = true;
    for (int i = 0; i < CHECKS; i++) {
        run_check(p, i, &report.checks[i]);
        report.passed = report.passed && report.checks[i].passed;
    }
    return report;
}

static void take_parameter_kind(grdi_probe *p, grd_scope *scope)
{
    static const double tolerances[] = {
        [GRD_F32] = 1e-5, [GRD_F64] = 1e-10, [GRD_F16] = 1e-2, [GRD_BF16] = 5e-2
    };
    const grd_tensor *first = grd_module_parameter_at(p->module, 0).tensor;
    if (first && grdi_is_floating(first->array.dtype)) {
        scope->modes.device = grdi_device(first);
        p->dtype = first->array.dtype;
    } else {
        p->dtype = scope->modes.dtype;
    }
    p->tolerance = tolerances[p->dtype];
}

/* In eval mode and recording, whatever the scope around does. */
static grd_attention_report run(const char *op, grdi_probe *p)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = false;
    scope.modes.strict_kernels = false;
    const int64_t masked_rows = grdi_self.masked_rows;
    const grdi_noted_modes *before = grdi_modes_note(op, p->module);
    if (before) {
        take_parameter_kind(p, &scope);
        grd_module_eval(p->module);
    }
    const grd_attention_report report = before ? run_all(p) : empty_report(grd_error_message());
    grdi_modes_put_back(before);
    grdi_self.masked_rows = masked_rows; /* these were meant */
    grdi_scope_close(&scope);
    return report;
}

static bool check_claims(const char *op, const grd_mha_options *c)
{
    if (!grdi_check_heads(op, c->embed_dim, c->num_heads))
        return false;
    if (c->layout < GRD_BATCH_FIRST || c->layout > GRD_UNBATCHED)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "the claims state no layout");
    return (c->kdim >= 0 && c->vdim >= 0) ||
           grdi_fail(GRD_ERROR_ARGUMENT, op, "kdim is %lld and vdim %lld: 0 is embed_dim",
                     (long long)c->kdim, (long long)c->vdim);
}

static grd_attention_report check(const char *op, grd_module *module, const grd_mha_options *claims,
                                  grd_attention_function f, void *user)
{
    if (!module || !claims || !f)
        grdi_fail_null(op);
    if (grdi_latched() || !check_claims(op, claims))
        return empty_report(grd_error_message());
    grdi_probe p = { .module = module, .claims = *claims, .f = f, .user = user };
    p.claims.kdim = claims->kdim ? claims->kdim : claims->embed_dim;
    p.claims.vdim = claims->vdim ? claims->vdim : claims->embed_dim;
    p.appended = claims->add_bias_kv + claims->add_zero_attn;
    return run(op, &p);
}

grd_attention_report grd_check_attention(grd_module *module, const grd_mha_options *claims,
                                         grd_attention_function f, void *user)
{
    return check("check_attention", module, claims, f, user);
}

static grd_attention forward(const grd_tensor *query, const grd_tensor *key,
                             const grd_tensor *value, const grd_mha_args *args, void *mha)
{
    return grd_mha_forward(mha, query, key, value, args);
}

grd_attention_report grd_check_mha(grd_module *mha)
{
    const grd_mha_options *made = grdi_mha_options("check_mha", mha);
    return made ? check("check_mha", mha, made, forward, mha) : empty_report(grd_error_message());
}

grd_attention_report grd_at_attention_report(grd_attention_report result, const char *file,
                                             int line)
{
    grdi_note_site(file, line);
    return result;
}
