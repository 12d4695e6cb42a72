#include "nn/transformer.h"

#include <jansson.h>
#include <stddef.h>
#include <string.h>

static const char op[] = "transformer_create_json";

static const char *const activations[] = {
    [GRD_RELU] = "relu",
    [GRD_GELU] = "gelu",
    [GRD_GELU_TANH] = "gelu_tanh",
    [GRD_SILU] = "silu",
    NULL,
};
static const char *const directions[] = { "", "causal", "bidirectional", NULL };

/* One member of grd_transformer_options under its name. */
typedef struct member {
    const char *name;
    size_t offset;
    enum { WHOLE, REAL, TRUTH, CHOICE } kind;
    const char *const *choices; /* of an enum, by value */
} member;

#define MEMBER(name, ...)                                                                          \
    {                                                                                              \
#name, offsetof(grd_transformer_options, name), __VA_ARGS__                                \
    }
static const member members[] = {
    MEMBER(vocab_size, WHOLE, NULL), MEMBER(context, WHOLE, NULL),
    MEMBER(embed_dim, WHOLE, NULL),  MEMBER(num_heads, WHOLE, NULL),
    MEMBER(num_layers, WHOLE, NULL), MEMBER(direction, CHOICE, directions),
    MEMBER(ff_dim, WHOLE, NULL),     MEMBER(dropout, REAL, NULL),
    MEMBER(norm_eps, REAL, NULL),    MEMBER(activation, CHOICE, activations),
    MEMBER(norm_first, TRUTH, NULL), MEMBER(no_bias, TRUTH, NULL),
    MEMBER(tied, TRUTH, NULL),
};
enum { MEMBERS = sizeof members / sizeof members[0] };

_Static_assert(sizeof(grd_direction) == sizeof(int) && sizeof(grd_activation) == sizeof(int),
               "choices are stored as int");

/* ---- Reading ---- */

static bool fail_type(const member *m, const char *expected)
{
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "\"%s\" must be %s", m->name, expected);
}

static bool read_choice(const member *m, const json_t *value, int *result)
{
    const char *name = json_string_value(value);
    grdi_nearest nearest = { .wanted = name ? name : "" };
    for (int i = 0; name && m->choices[i]; i++) {
        if (m->choices[i][0] && strcmp(m->choices[i], name) == 0) {
            *result = i;
            return true;
        }
        grdi_nearest_try(&nearest, m->choices[i]);
    }
    if (!name)
        return fail_type(m, "a name");
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "\"%s\" cannot be \"%.60s\"%s", m->name, name,
                     grdi_nearest_text(&nearest).chars);
}

static bool read_member(const member *m, const json_t *value, grd_transformer_options *o)
{
    void *field = (char *)o + m->offset;
    switch (m->kind) {
    case WHOLE:
        *(int64_t *)field = json_integer_value(value);
        return json_is_integer(value) || fail_type(m, "a whole number");
    case REAL:
        *(double *)field = json_number_value(value);
        return json_is_number(value) || fail_type(m, "a number");
    case TRUTH:
        *(bool *)field = json_is_true(value);
        return json_is_boolean(value) || fail_type(m, "true or false");
    default:
        return read_choice(m, value, field);
    }
}

static bool read_named(const char *name, const json_t *value, grd_transformer_options *o)
{
    grdi_nearest nearest = { .wanted = name };
    for (int i = 0; i < MEMBERS; i++) {
        if (strcmp(members[i].name, name) == 0)
            return read_member(&members[i], value, o);
        grdi_nearest_try(&nearest, members[i].name);
    }
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "\"%.60s\" is no option of a transformer%s", name,
                     grdi_nearest_text(&nearest).chars);
}

static bool read_all(json_t *object, grd_transformer_options *o)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (!read_named(name, value, o))
            return false;
    }
    return true;
}

grd_module *grd_transformer_create_json(grd_rng *rng, const char *json)
{
    json_error_t error;
    grd_transformer_options options = { 0 };
    if (!rng || !json)
        return grdi_fail_null(op);
    json_t *object = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "not JSON, line %d, column %d: %s", error.line,
                         error.column, error.text);
    const bool read = json_is_object(object) && read_all(object, &options);
    if (!json_is_object(object))
        grdi_fail(GRD_ERROR_ARGUMENT, op, "expected one object { ... }");
    json_decref(object);
    return read ? grd_transformer_create(rng, &options) : NULL;
}

/* ---- Writing ---- */

static json_t *write_member(const member *m, const grd_transformer_options *o)
{
    const void *field = (const char *)o + m->offset;
    switch (m->kind) {
    case WHOLE:
        return json_integer(*(const int64_t *)field);
    case REAL:
        return json_real(*(const double *)field);
    case TRUTH:
        return json_boolean(*(const bool *)field);
    default:
        return json_string(m->choices[*(const int *)field]);
    }
}

grdi_json_text grdi_transformer_json(const grd_module *model)
{
    grdi_json_text text = { "" };
    const grd_transformer_options *o = grdi_transformer_options("transformer_json", model);
    json_t *object = o ? json_object() : NULL;
    if (!object)
        return o ? (grdi_fail_memory("transformer_json", sizeof text), text) : text;
    for (int i = 0; i < MEMBERS; i++)
        json_object_set_new(object, members[i].name, write_member(&members[i], o));
    json_dumpb(object, text.chars, sizeof text.chars - 1, JSON_REAL_PRECISION(17));
    json_decref(object);
    return text;
}
