/* gradus attention run, explain: the calculation that a case file states. */
#include "tools/attention_case.h"
#include "tools/setup.h"
#include "tools/terminal.h"
#include "tools/tools.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- run ---- */

/* 16 bits go to the file as f32, which every program reads. */
static const grd_tensor *widened(const grd_tensor *x)
{
    const grd_dtype dtype = x ? grd_tensor_dtype(x) : GRD_F32;
    return dtype == GRD_F16 || dtype == GRD_BF16 ? grd_cast(grd_detach(x), GRD_F32) : x;
}

/* The gradient, zero if none came: no output depended on x. */
static void put_gradient(grdi_archive *result, const char *name, const grd_tensor *x)
{
    const grd_tensor *gradient = grd_tensor_grad(x);
    case_put(result, "grads", name, widened(gradient ? gradient : grd_zeros_like(x)));
}

static void put_gradients(grdi_archive *result, const attention_case *c)
{
    put_gradient(result, "query", c->query);
    if (c->key != c->query) {
        put_gradient(result, "key", c->key);
        put_gradient(result, "value", c->value);
    }
    if (c->mask.additive)
        put_gradient(result, "additive", c->mask.additive);
    for (int64_t i = 0; c->mha && i < grd_module_num_parameters(c->mha); i++) {
        char name[512];
        const grd_named parameter = grd_module_parameter_at(c->mha, i);
        snprintf(name, sizeof name, "parameters/%s", parameter.name);
        put_gradient(result, name, parameter.tensor);
    }
}

static bool backward(const attention_case *c, const grd_tensor *output)
{
    const grd_shape given = grd_tensor_shape(c->grad_output), needed = grd_tensor_shape(output);
    if (!grdi_shape_equal(&given, &needed))
        return case_refuse(c->file, "grad_output is %s, expected %s: the output's shape",
                           grdi_shape_text(&given).chars, grdi_shape_text(&needed).chars);
    return grd_backward_with(output, &(grd_backward_options){ .gradient = c->grad_output }) ==
           GRD_OK;
}

static void compute(const attention_case *c, const char *path, const options *o)
{
    const kernel_wish wish = { .composed = strcmp(o->kernel, "composed") == 0,
                               .strict = strcmp(o->kernel, "fused") == 0 };
    grd_scope *scope = grd_scope_begin_with(&(grd_scope_options){ .no_grad = !c->backward });
    const grd_attention a = attention_case_compute(c, wish);
    const grd_kernel_choice choice = attention_case_explain(c, wish);
    if (a.output && (!c->backward || backward(c, a.output))) {
        grdi_archive *result = grdi_archive_create("case", path);
        if (result)
            result->variable_text = true;
        grdi_put_text(result, "kernel", choice.chosen);
        grdi_put_text(result, "device", o->device);
        grdi_put_tensor(result, "output", widened(a.output));
        grdi_put_tensor(result, "weights", widened(a.weights));
        if (c->backward)
            put_gradients(result, c);
        grdi_archive_write(result);
    }
    grd_scope_end(scope);
}

/* Links are followed: writing would replace what they lead to. */
static bool are_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int run_attention(options *o)
{
    if (o->num_arguments != 2)
        return complain("name two files: CASE.h5 RESULT.h5"), EXIT_USAGE;
    const char *path = o->arguments[0], *result = o->arguments[1];
    if (are_same(path, result))
        return complain("%s: the result would replace the case", result), EXIT_USAGE;
    attention_case c;
    grd_scope *scope = open_scope(o);
    /* A bad attribute has been told already; everything else is latched. */
    const bool fine = attention_case_read(&c, path, o->compute_dtype);
    if (fine)
        compute(&c, result, o);
    attention_case_free(&c);
    if (grd_scope_end(scope) != GRD_OK)
        return complain_of_case(path);
    return fine ? 0 : EXIT_FAILED;
}

/* ---- explain ---- */

/* What would run forward only, and with the gradients of all inputs. */
typedef struct explanation {
    const char *device, *dtype;
    grd_kernel_choice forward, backward; /* chosen NULL: the case wants no gradients */
} explanation;

static void print_choice(const char *when, const grd_kernel_choice *choice)
{
    printf("%-15s  %s\n", when, choice->chosen);
    for (int64_t i = 0; i < choice->num_refused; i++)
        printf("%-15s  not %s: %s\n", "", choice->refused[i].kernel, choice->refused[i].reason);
}

static json_t *json_of(const grd_kernel_choice *choice)
{
    json_t *refused = json_array();
    for (int64_t i = 0; i < choice->num_refused; i++)
        json_array_append_new(refused, json_pack("{ss ss}", "kernel", choice->refused[i].kernel,
                                                 "reason", choice->refused[i].reason));
    return json_pack("{ss so}", "kernel", choice->chosen, "refused", refused);
}

static bool print_json(const explanation *e)
{
    json_t *all = json_pack("{ss ss so}", "device", e->device, "dtype", e->dtype, "forward",
                            json_of(&e->forward));
    if (e->backward.chosen)
        json_object_set_new(all, "with_gradients", json_of(&e->backward));
    char *text = all ? json_dumps(all, JSON_INDENT(2)) : NULL;
    json_decref(all);
    if (text)
        puts(text);
    free(text);
    return text || complain("out of memory");
}

static bool print_text(const explanation *e)
{
    printf("%s on %s\n", e->dtype, e->device);
    print_choice("forward only", &e->forward);
    if (e->backward.chosen)
        print_choice("with gradients", &e->backward);
    return true;
}

static bool explain(const attention_case *c, const options *o)
{
    explanation e = { .device = o->device, .dtype = attention_case_dtype(c) };
    grd_scope *scope = grd_scope_begin_no_grad();
    e.forward = attention_case_explain(c, (kernel_wish){ 0 });
    grd_scope_end(scope);
    if (c->backward)
        e.backward = attention_case_explain(c, (kernel_wish){ 0 });
    return e.forward.chosen && (o->json == 1 ? print_json(&e) : print_text(&e));
}

int run_attention_explain(options *o)
{
    if (o->num_arguments != 1)
        return complain("name one file: CASE.h5"), EXIT_USAGE;
    const char *path = o->arguments[0];
    attention_case c;
    grd_scope *scope = open_scope(o);
    const bool fine = attention_case_read(&c, path, o->compute_dtype) && explain(&c, o);
    attention_case_free(&c);
    if (grd_scope_end(scope) != GRD_OK)
        return complain_of_case(path);
    return fine ? 0 : EXIT_FAILED;
}
