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
    { "copy", "copy", SHAPE(1, 2, 32), .steps = 1000, .every = 25, .quick = true },
    { "reverse", "reverse", SHAPE(1, 1, 32), .steps = 1000, .every = 25, .quick = true },
    { "sort", "sort", SHAPE(2, 2, 32), .steps = 2000, .every = 25, .lift = 2 },
    { "add", "add", SHAPE(2, 4, 64), .steps = 6000, .every = 100, .lift = 2 },
    { "recall", "recall", SHAPE(2, 1, 64), .steps = 4000, .every = 50, .deviation = 0.3, .attention_only = true, .quick = true },
    { "induction", "induction", SHAPE(2, 1, 64), .steps = 2000, .every = 25,
      .attention_only = true, .quick = true },
    { "induction-1-layer", "induction", SHAPE(1, 1, 64), .steps = 600, .every = 200,
      .attention_only = true, .quick = true, .must_fail = true },
    { "dyck", "dyck", SHAPE(2, 2, 32), .steps = 6000, .every = 100, .lift = 2, .attention_only = true },
    { "histogram", "histogram", SHAPE(1, 1, 64), .steps = 15000, .every = 100, .lift = 2, .deviation = 1 },
    { "modadd", "modadd", SHAPE(1, 4, 128), .steps = 20000, .every = 200, .weight_decay = 1, .lift = 1.25,
      .together = true },
};
/* clang-format on */
enum { TOYS = sizeof toys / sizeof toys[0] };

/* ---- Gates: in order, since heads of a model that does not solve its task say nothing ---- */

typedef struct gate {
    const char *name;
    double measured, wanted;
    bool passed;
} gate;

enum { GATES = 4 };

/* Fills in as many as were judged: none after one that failed. */
static int judge(const toy *t, const options *o, const toy_result *r, gate gates[GATES])
{
    const toy_head *head = &r->heads[r->best[0]];
    const double enough = TOY_TARGET_PERCENT / 100.0, lift = head->scores[0].lift;
    const double wanted = o->lift > 0 ? o->lift : t->lift > 0 ? t->lift : TOY_LIFT;
    const gate all[GATES] = {
        { "accuracy", r->right, enough, t->must_fail ? r->right < enough : r->right >= enough },
        { "lift", lift, wanted, lift >= wanted },
        { "zero", r->zero, TOY_NATS, r->zero > TOY_NATS },
        { "mean", r->mean, TOY_NATS / 2.0, r->mean > TOY_NATS / 2.0 },
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
           "head", "score", "uniform", "lift", "zero", "mean", "cpu s");
}

static void print_best(const toy_result *r, int64_t pattern)
{
    const toy_head *head = &r->heads[r->best[pattern]];
    const grd_pattern_score *s = &head->scores[pattern];
    printf("  %2" PRId64 ".%" PRId64 " %6.2f %8.2f %5.1fx", head->layer, head->head, s->score,
           s->uniform, s->lift);
}

static void print_gate(const toy *t, const gate *g)
{
    if (strcmp(g->name, "accuracy") == 0)
        printf("  FAILED: %.1f%% of unseen sequences are right, expected %s %.0f%%\n",
               100 * g->measured, t->must_fail ? "less than" : "at least", 100 * g->wanted);
    else if (strcmp(g->name, "lift") == 0)
        printf("  FAILED: no head looks there more than %.1f times as much as uniform weights, "
               "expected %.1f\n",
               g->measured, g->wanted);
    else
        printf("  FAILED: with %s set to %s the loss rises by %.2f nats, expected more than %.1f\n",
               t->together ? "all heads" : "the head",
               strcmp(g->name, "zero") == 0 ? "0"
               : t->together                ? "their means"
                                            : "its mean",
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
    print_best(r, 0);
    printf(" %6.2f %6.2f %8.1f  %s\n", r->zero, r->mean, r->seconds,
           !gates[judged - 1].passed ? "FAILED"
           : t->must_fail            ? "ok: it cannot"
                                     : "ok");
    for (int64_t i = 1; i < r->num_patterns; i++) {
        printf("  %-42s", r->patterns[i]);
        print_best(r, i);
        putchar('\n');
    }
    if (!gates[judged - 1].passed)
        print_gate(t, &gates[judged - 1]);
    fflush(stdout);
}

/* ---- As JSON ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *pattern_json(const toy_result *r, int64_t i)
{
    const toy_head *h = &r->heads[r->best[i]];
    const grd_pattern_score *s = &h->scores[i];
    return json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:I}", "pattern", r->patterns[i], "layer",
                     (json_int_t)h->layer, "head", (json_int_t)h->head, "score", number(s->score),
                     "uniform", number(s->uniform), "lift", number(s->lift), "queries",
                     (json_int_t)s->queries);
}

/* Every head, whether or not it is the best in anything. */
static json_t *head_json(const toy_result *r, const toy_head *h)
{
    json_t *scores = json_array();
    for (int64_t i = 0; i < r->num_patterns; i++)
        json_array_append_new(scores, number(h->scores[i].score));
    return json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "layer", (json_int_t)h->layer, "head",
                     (json_int_t)h->head, "scores", scores, "zero", number(h->effect.zero), "mean",
                     number(h->effect.mean), "uniform", number(h->effect.uniform), "importance",
                     number(h->effect.importance));
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
    json_t *patterns = json_array(), *heads = json_array();
    for (int64_t i = 0; i < r->num_patterns; i++)
        json_array_append_new(patterns, pattern_json(r, i));
    for (int64_t i = 0; i < r->num_heads; i++)
        json_array_append_new(heads, head_json(r, &r->heads[i]));
    json_t *model =
        json_pack("{s:I, s:I, s:I, s:b, s:I}", "layers", (json_int_t)t->layers, "heads",
                  (json_int_t)t->heads, "embed_dim", (json_int_t)t->embed_dim, "attention_only",
                  t->attention_only, "parameters", (json_int_t)r->parameters);
    json_t *steps = r->steps < 0 ? json_null() : json_integer(r->steps);
    json_t *without = json_pack("{s:b, s:o, s:o}", "all_heads", t->together, "zero",
                                number(r->zero), "mean", number(r->mean));
    return json_pack("{s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:b}", "name",
                     t->name, "task", t->task, "model", model, "must_fail", t->must_fail, "steps",
                     steps, "right", number(r->right), "cpu_seconds", number(r->seconds),
                     "patterns", patterns, "heads", heads, "without", without, "gates",
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
        const int judged = judge(&toys[i], o, &r, gates);
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
