/* One attention module: its map, its constraints, and the five checks. */
#include "nn/attention.h"
#include "tools/check.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

json_t *json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_string(isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

/* ---- The map: four parts, with the shape of every tensor ---- */

typedef struct text {
    char chars[96];
} text;

static text say(const char *format, ...) GRD_PRINTF(1, 2);
static text say(const char *format, ...)
{
    text t;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t.chars, sizeof t.chars, format, arguments);
    va_end(arguments);
    return t;
}

typedef struct mapping {
    const grd_mha_options *made;
    bool packed;
    text keys; /* "S", or "S + 2" with appended ones */
    json_t *rows;
} mapping;

static void add_row(mapping *m, const char *part, const char *tensor, text from, text by, text to)
{
    json_array_append_new(m->rows,
                          json_pack("{s:s, s:s, s:s, s:s, s:s}", "part", part, "tensor", tensor,
                                    "from", from.chars, "by", by.chars, "to", to.chars));
}

/* (B, T, E) in the layout. */
static text in_layout(const mapping *m, const char *time, int64_t size)
{
    static const char *const formats[] = {
        [GRD_BATCH_FIRST] = "(B, %s, %" PRId64 ")",
        [GRD_SEQUENCE_FIRST] = "(%s, B, %" PRId64 ")",
        [GRD_UNBATCHED] = "(%s, %" PRId64 ")",
    };
    text t;
    snprintf(t.chars, sizeof t.chars, formats[m->made->layout], time, size);
    return t;
}

static text in_heads(const mapping *m, const char *rows, const char *columns)
{
    const bool alone = m->made->layout == GRD_UNBATCHED;
    return say("(%s%" PRId64 ", %s, %s)", alone ? "" : "B, ", m->made->num_heads, rows, columns);
}

static void map_projections(mapping *m)
{
    static const char *const names[] = { "query", "key", "value" };
    static const char *const own[] = { "q_proj_weight", "k_proj_weight", "v_proj_weight" };
    const int64_t width = m->made->embed_dim;
    const int64_t sizes[] = { width, m->made->kdim, m->made->vdim };
    for (int i = 0; i < 3; i++) {
        const char *time = i == 0 ? "L" : "S";
        const text weight =
            m->packed ? say("in_proj_weight[%" PRId64 ":%" PRId64 "]", i * width, (i + 1) * width)
                      : say("%s", own[i]);
        const text bias = m->made->no_bias ? say("%s", "") : say(" + bias (%" PRId64 ")", width);
        add_row(m, i == 0 ? "1 project" : "", names[i], in_layout(m, time, sizes[i]),
                say("x %s (%" PRId64 ", %" PRId64 ")%s", weight.chars, width, sizes[i], bias.chars),
                in_layout(m, time, width));
    }
    if (m->made->add_bias_kv)
        add_row(m, "", "keys", in_layout(m, "S", width),
                say("append bias_k, bias_v (1, 1, %" PRId64 ")", width),
                in_layout(m, "S + 1", width));
    if (m->made->add_zero_attn)
        add_row(m, "", "keys", in_layout(m, m->made->add_bias_kv ? "S + 1" : "S", width),
                say("append zeros"), in_layout(m, m->keys.chars, width));
}

static void map_heads(mapping *m)
{
    const int64_t width = m->made->embed_dim, heads = m->made->num_heads;
    const text size = say("%" PRId64, width / heads);
    const text cut = say("%" PRId64 " = %" PRId64 " heads x %s", width, heads, size.chars);
    const char *keys = m->keys.chars;
    add_row(m, "2 split", "query", in_layout(m, "L", width), cut, in_heads(m, "L", size.chars));
    add_row(m, "", "keys", in_layout(m, keys, width), cut, in_heads(m, keys, size.chars));
    add_row(m, "3 attend", "scores", in_heads(m, "L", size.chars),
            say("query key^T / sqrt(%s), masked", size.chars), in_heads(m, "L", keys));
    add_row(m, "", "weights", in_heads(m, "L", keys), say("softmax over the keys"),
            in_heads(m, "L", keys));
    add_row(m, "", "mixed", in_heads(m, "L", keys), say("weights x value"),
            in_heads(m, "L", size.chars));
    add_row(m, "4 merge", "output", in_heads(m, "L", size.chars), say("heads side by side"),
            in_layout(m, "L", width));
    const text bias = m->made->no_bias ? say("%s", "") : say(" + bias (%" PRId64 ")", width);
    add_row(m, "", "output", in_layout(m, "L", width),
            say("x out_proj.weight (%" PRId64 ", %" PRId64 ")%s", width, width, bias.chars),
            in_layout(m, "L", width));
}

static json_t *map_of(const grd_module *module, const grd_mha_options *made)
{
    const int appended = made->add_bias_kv + made->add_zero_attn;
    mapping m = { made, strcmp(grd_module_parameter_at(module, 0).name, "in_proj_weight") == 0,
                  appended ? say("S + %d", appended) : say("S"), json_array() };
    map_projections(&m);
    map_heads(&m);
    return m.rows;
}

/* ---- The constraints: every option, where it came from, and what must hold ---- */

static const char *source_of(const origin *from, const char *name)
{
    static const char *const words[] = { [FROM_TABLE] = "default",
                                         [FROM_CHECKPOINT] = "checkpoint",
                                         [FROM_CONFIG] = "config file",
                                         [FROM_COMMAND] = "command line" };
    const option *row = option_named(name, CHECK);
    if (from->from_file)
        return "checkpoint";
    /* A model says the rest itself. */
    return row && (from->alone || row->change != LOCAL) ? words[from->o->source[option_index(row)]]
                                                        : "model";
}

static void add_constraint(json_t *list, const char *name, text value, const char *source,
                           text rule, bool holds)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:b}", "option", name, "value",
                                          value.chars, "from", source, "rule", rule.chars, "holds",
                                          holds));
}

static text truth_text(bool x)
{
    return say("%s", x ? "true" : "false");
}

static const char *const layouts[] = { "unstated", "batch_first", "sequence_first", "unbatched" };

static void add_sizes(json_t *list, const grd_mha_options *m, const origin *from)
{
    const int64_t width = m->embed_dim, heads = m->num_heads;
    const bool divides = width % heads == 0;
    const int64_t size = width / heads;
    add_constraint(list, "embed_dim", say("%" PRId64, width), source_of(from, "embed_dim"),
                   say("at least 1"), true);
    add_constraint(list, "num_heads", say("%" PRId64, heads), source_of(from, "num_heads"),
                   divides
                       ? say("embed_dim %% num_heads == 0: %" PRId64 " = %" PRId64 " x %" PRId64,
                             width, heads, size)
                       : say("embed_dim %% num_heads == 0: %" PRId64 " %% %" PRId64 " = %" PRId64,
                             width, heads, width % heads),
                   divides);
    if (!divides)
        return;
    add_constraint(list, "head size", say("%" PRId64, size), "derived",
                   say("embed_dim / num_heads"), true);
    add_constraint(list, "scale", say("%.6g", 1 / sqrt((double)size)), "derived",
                   say("1 / sqrt(%" PRId64 ")", size), true);
}

json_t *check_constraints(const grd_mha_options *m, const origin *from)
{
    json_t *list = json_array();
    add_sizes(list, m, from);
    const int64_t kdim = m->kdim ? m->kdim : m->embed_dim, vdim = m->vdim ? m->vdim : m->embed_dim;
    const bool one = kdim == m->embed_dim && vdim == m->embed_dim;
    const text shape = say("(%s)", m->layout == GRD_BATCH_FIRST      ? "B, T, E"
                                   : m->layout == GRD_SEQUENCE_FIRST ? "T, B, E"
                                                                     : "T, E");
    const bool given = from->alone && from->o->module_kdim > 0,
               given_value = from->alone && from->o->module_vdim > 0;
    add_constraint(list, "kdim", say("%" PRId64, kdim), given ? source_of(from, "kdim") : "derived",
                   say("size of a key; embed_dim unless given"), true);
    add_constraint(list, "vdim", say("%" PRId64, vdim),
                   given_value ? source_of(from, "vdim") : "derived",
                   say("size of a value; embed_dim unless given"), true);
    add_constraint(list, "weights", say("%s", one ? "packed" : "separate"), "derived",
                   say("packed in in_proj_weight if kdim == vdim == embed_dim"), true);
    add_constraint(list, "layout", say("%s", layouts[m->layout]), source_of(from, "layout"),
                   say("inputs are %s; must be stated", shape.chars), true);
    add_constraint(list, "bias", truth_text(!m->no_bias), source_of(from, "bias"),
                   say("in_proj_bias and out_proj.bias"), true);
    add_constraint(list, "add_bias_kv", truth_text(m->add_bias_kv), source_of(from, "add_bias_kv"),
                   say("one more key, learned, seen by all"), true);
    add_constraint(list, "add_zero_attn", truth_text(m->add_zero_attn),
                   source_of(from, "add_zero_attn"), say("one more key, of zeros, seen by all"),
                   true);
    add_constraint(list, "dropout", say("%g", m->dropout), source_of(from, "dropout"),
                   say("0 <= dropout < 1; off here (eval)"), true);
    return list;
}

/* ---- The verdicts ---- */

static json_t *verdict(int number, const grd_attention_check *c)
{
    json_t *row = json_pack("{s:i, s:s, s:b, s:o, s:s, s:s}", "number", number, "name", c->name,
                            "passed", c->passed, "measured",
                            isnan(c->measured) ? json_null() : json_number(c->measured), "expected",
                            c->expected, "text", c->text);
    if (c->symptom)
        json_object_set_new(row, "symptom", json_string(c->symptom));
    if (c->cause)
        json_object_set_new(row, "cause", json_string(c->cause));
    return row;
}

static grd_attention_report run(grd_module *module, const grd_mha_options *made,
                                const plant *planted)
{
    student s = { module, made, planted };
    if (!planted)
        return grd_check_mha(module);
    student_prepare(&s);
    return grd_check_attention(module, made, student_forward, &s);
}

json_t *check_module(const char *path, grd_module *module, const grd_mha_options *made,
                     const origin *from, const plant *planted)
{
    const grd_attention_report report = run(module, made, planted);
    json_t *checks = json_array();
    for (int i = 0; i < 5; i++)
        json_array_append_new(checks, verdict(i + 1, &report.checks[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:b}", "path", path, "map", map_of(module, made),
                     "constraints", check_constraints(made, from), "checks", checks, "passed",
                     report.passed);
}
