/* gradus tasks: models trained on tasks whose attention is known, and what their heads look at. */
#include "tools/tasks.h"
#include "nn/module.h"
#include "tools/signals.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

/* clang-format off */
#define SHAPE(l, h, e) .layers = l, .heads = h, .embed_dim = e
static const toy toys[] = {
    { "copy", "copy", SHAPE(1, 2, 32), .steps = 1000, .every = 25, .weight_decay = 0.01, .quick = true },
    { "reverse", "reverse", SHAPE(1, 1, 32), .steps = 1000, .every = 25, .weight_decay = 0.01, .quick = true },
    { "sort", "sort", SHAPE(2, 2, 32), .steps = 2000, .every = 25, .weight_decay = 0.01 },
    { "add", "add", SHAPE(2, 4, 64), .steps = 6000, .every = 100, .weight_decay = 0.01 },
    { "recall", "recall", SHAPE(2, 1, 64), .steps = 2000, .every = 25, .weight_decay = 0.01, .quick = true },
    { "induction", "induction", SHAPE(2, 1, 64), .steps = 2000, .every = 25, .weight_decay = 0.01,
      .attention_only = true, .quick = true },
    { "induction-1-layer", "induction", SHAPE(1, 1, 64), .steps = 1000, .every = 500, .weight_decay = 0.01,
      .attention_only = true, .quick = true, .must_fail = true },
    { "dyck", "dyck", SHAPE(2, 2, 32), .steps = 6000, .every = 100, .weight_decay = 0.01 },
    { "histogram", "histogram", SHAPE(1, 1, 32), .steps = 10000, .every = 100, .weight_decay = 0.01 },
    { "modadd", "modadd", SHAPE(1, 4, 128), .steps = 20000, .every = 200, .weight_decay = 1 },
};
/* clang-format on */
enum { TOYS = sizeof toys / sizeof toys[0] };

/* ---- Gates: in order, since heads of a model that does not solve its task say nothing ---- */

typedef struct gate {
    const char *name;
    double measured, wanted;
    bool passed;
} gate;

enum { GATES = 3 };

/* Fills in as many as were judged: none after one that failed. */
static int judge(const toy *t, const toy_result *r, gate gates[GATES])
{
    const double enough = TOY_TARGET_PERCENT / 100.0;
    const double loss = fmin(r->effect.zero, r->effect.mean);
    const gate all[GATES] = {
        { "accuracy", r->right, enough, t->must_fail ? r->right < enough : r->right >= enough },
        { "pattern", r->heads[0].score.score, toy_score_wanted(&r->heads[0]),
          r->heads[0].score.score >= toy_score_wanted(&r->heads[0]) },
        { "ablation", loss, TOY_NATS, loss > TOY_NATS },
    };
    const int judged = t->must_fail ? 1 : GATES;
    int count = 0;
    do
        gates[count] = all[count];
    while (gates[count++].passed && count < judged);
    return count;
}

/* ---- In words ---- */

static void print_title(void)
{
    printf("%-17s  %-10s %6s %7s  %4s %6s %8s %6s %6s %6s %8s\n", "task", "model", "steps", "right",
           "head", "score", "uniform", "lift", "zero", "mean", "seconds");
}

static void print_head(const toy_head *head)
{
    printf("  %2" PRId64 ".%" PRId64 " %6.2f %8.2f %5.1fx", head->layer, head->head,
           head->score.score, head->score.uniform, head->score.lift);
}

static void print_gate(const gate *g, bool must_fail)
{
    if (strcmp(g->name, "accuracy") == 0)
        printf("  FAILED: %.1f%% of unseen sequences are right, expected %s %.0f%%\n",
               100 * g->measured, must_fail ? "less than" : "at least", 100 * g->wanted);
    else if (strcmp(g->name, "pattern") == 0)
        printf("  FAILED: no head has more than %.2f of its weight in the pattern, expected %.2f\n",
               g->measured, g->wanted);
    else
        printf("  FAILED: without the head the loss rises by %.2f nats, expected more than %.0f\n",
               g->measured, g->wanted);
}

static void print_toy(const toy *t, const toy_result *r, const gate *gates, int judged)
{
    char model[32], steps[24] = "-";
    snprintf(model, sizeof model, "%" PRId64 "L %" PRId64 "H %" PRId64, t->layers, t->heads,
             t->embed_dim);
    if (r->steps >= 0)
        snprintf(steps, sizeof steps, "%" PRId64, r->steps);
    printf("%-17s  %-10s %6s %6.1f%%", t->name, model, steps, 100 * r->right);
    print_head(&r->heads[0]);
    printf(" %6.2f %6.2f %8.1f  %s\n", r->effect.zero, r->effect.mean, r->seconds,
           !gates[judged - 1].passed ? "FAILED"
           : t->must_fail            ? "ok: it cannot"
                                     : "ok");
    for (int64_t i = 1; i < r->num_heads; i++) {
        printf("  %-42s", r->heads[i].pattern);
        print_head(&r->heads[i]);
        putchar('\n');
    }
    if (!gates[judged - 1].passed)
        print_gate(&gates[judged - 1], t->must_fail);
    fflush(stdout);
}

/* ---- As JSON ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *head_json(const toy_head *h)
{
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:I}", "pattern", h->pattern, "layer",
                     (json_int_t)h->layer, "head", (json_int_t)h->head, "score",
                     number(h->score.score), "uniform", number(h->score.uniform), "lift",
                     number(h->score.lift), "queries", (json_int_t)h->score.queries);
}

static json_t *gates_json(const gate *gates, int judged)
{
    json_t *list = json_array();
    for (int i = 0; i < judged; i++)
        json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:b}", "gate", gates[i].name,
                                              "measured", number(gates[i].measured), "wanted",
                                              number(gates[i].wanted), "passed", gates[i].passed));
    return list;
}

static json_t *toy_json(const toy *t, const toy_result *r, const gate *gates, int judged)
{
    json_t *heads = json_array();
    for (int64_t i = 0; i < r->num_heads; i++)
        json_array_append_new(heads, head_json(&r->heads[i]));
    json_t *steps = r->steps < 0 ? json_null() : json_integer(r->steps);
    json_t *effect = json_pack("{s:o, s:o, s:o, s:o}", "zero", number(r->effect.zero), "mean",
                               number(r->effect.mean), "uniform", number(r->effect.uniform),
                               "importance", number(r->effect.importance));
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:b, s:b, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:b}",
                     "name", t->name, "task", t->task, "layers", (json_int_t)t->layers, "heads",
                     (json_int_t)t->heads, "embed_dim", (json_int_t)t->embed_dim, "attention_only",
                     t->attention_only, "must_fail", t->must_fail, "parameters",
                     (json_int_t)r->parameters, "steps", steps, "right", number(r->right),
                     "seconds", number(r->seconds), "patterns", heads, "ablation", effect, "gates",
                     gates_json(gates, judged), "passed", gates[judged - 1].passed);
}

/* ---- The command ---- */

static bool is_wanted(const toy *t, const options *o)
{
    bool named = o->num_arguments == 0;
    for (int i = 0; i < o->num_arguments; i++)
        named |= strcmp(o->arguments[i], t->name) == 0 || strcmp(o->arguments[i], t->task) == 0;
    return named && (o->quick != 1 || t->quick);
}

static bool check_name(const char *name)
{
    grdi_nearest nearest = { .wanted = name };
    for (int i = 0; i < TOYS; i++) {
        if (strcmp(name, toys[i].name) == 0)
            return true;
        grdi_nearest_try(&nearest, toys[i].name);
    }
    return complain("there is no task \"%s\"%s", name, grdi_nearest_text(&nearest).chars);
}

static bool check_arguments(const options *o)
{
    int wanted = 0;
    for (int i = 0; i < o->num_arguments; i++)
        if (!check_name(o->arguments[i]))
            return false;
    for (int i = 0; i < TOYS; i++)
        wanted += is_wanted(&toys[i], o);
    return wanted || complain("none of these is quick: leave out --quick, or them");
}

/* Whether all passed; *status says what ended it early. */
static bool run_all(const options *o, json_t *list, int *status)
{
    bool passed = true;
    for (int i = 0; i < TOYS && *status == 0; i++) {
        toy_result r;
        gate gates[GATES];
        if (!is_wanted(&toys[i], o))
            continue;
        if (!run_toy(&toys[i], o, &r)) {
            *status = caught_signal() ? 128 + caught_signal() : complain_of_library();
            break;
        }
        const int judged = judge(&toys[i], &r, gates);
        passed = passed && gates[judged - 1].passed;
        if (o->json == 1)
            json_array_append_new(list, toy_json(&toys[i], &r, gates, judged));
        else
            print_toy(&toys[i], &r, gates, judged);
    }
    return passed;
}

int run_tasks(options *o)
{
    int status = 0;
    if (!check_arguments(o))
        return EXIT_USAGE;
    json_t *list = json_array();
    catch_signals();
    if (o->json != 1)
        print_title();
    const bool passed = run_all(o, list, &status);
    if (o->json == 1) {
        json_t *document = json_pack("{s:b, s:I, s:O}", "passed", passed && status == 0, "seed",
                                     (json_int_t)o->seed, "tasks", list);
        json_dumpf(document, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
        json_decref(document);
    }
    json_decref(list);
    return status ? status : passed ? 0 : EXIT_FAILED;
}
