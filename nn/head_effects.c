/* What the loss says of heads: what it is without one, and what its gradient says of each. */
#include "nn/attention.h"
#include "nn/files.h"
#include <gradus/heads.h>

#include <math.h>
#include <string.h>

static const char op[] = "ablate_heads";

/* What is asked, and the answers. */
typedef struct study {
    grd_module *model;
    grd_loss_function loss;
    void *user;
    int64_t num_heads;
    grd_head_effect *effects;
    grd_module **modules; /* of each effect */
    bool *noted;          /* whether a gradient came to it */
} study;

/* ---- The heads of a model ---- */

static int64_t count_heads(const grd_module *self)
{
    int64_t count = grdi_is_mha(self) ? grdi_mha_options(op, self)->num_heads : 0;
    for (int64_t i = 0; i < self->entries.count; i++)
        if (grdi_entry_at(self, i)->kind == GRDI_CHILD)
            count += count_heads(grdi_entry_at(self, i)->child);
    return count;
}

static bool is_listed(const study *s, const grd_module *module)
{
    for (int64_t i = 0; i < s->num_heads; i++)
        if (s->modules[i] == module)
            return true;
    return false;
}

static bool list_module(study *s, grd_module *self, const char *path)
{
    char *copy = grdi_scratch(op, strlen(path) + 1, 1);
    if (!copy)
        return false;
    strcpy(copy, path);
    const int64_t heads = grdi_mha_options(op, self)->num_heads;
    for (int64_t h = 0; h < heads; h++) {
        s->modules[s->num_heads] = self;
        s->effects[s->num_heads++] = (grd_head_effect){ copy,           h,
                                                        .zero = NAN,    .mean = NAN,
                                                        .uniform = NAN, .importance = NAN };
    }
    return true;
}

/* One that has several places is listed at the first. `path` is of `length` and grows in place. */
static bool list_heads(study *s, grd_module *self, char *path, size_t length)
{
    if (grdi_is_mha(self) && !is_listed(s, self) && !list_module(s, self, path))
        return false;
    for (int64_t i = 0; i < self->entries.count; i++) {
        const grdi_entry *entry = grdi_entry_at(self, i);
        if (entry->kind != GRDI_CHILD)
            continue;
        const int added = snprintf(path + length, GRDI_PATH_BYTES - length, "%s%s",
                                   length ? "." : "", entry->name);
        if (!list_heads(s, entry->child, path, length + (size_t)added))
            return false;
        path[length] = '\0';
    }
    return true;
}

/* Room for the answers, the innermost scope's. */
static bool prepare(study *s)
{
    char path[GRDI_PATH_BYTES] = "";
    const int64_t most = count_heads(s->model);
    s->effects = grdi_results_create(op, most, sizeof *s->effects);
    s->modules = s->effects ? grdi_scratch(op, (size_t)most, sizeof *s->modules) : NULL;
    s->noted = s->modules ? grdi_results_create(op, most, sizeof *s->noted) : NULL;
    return s->noted && list_heads(s, s->model, path, 0);
}

/* ---- The loss ---- */

/* As a tensor of one element; NULL with an error latched. */
static grd_tensor *loss_of(const study *s)
{
    grd_tensor *loss = s->loss(s->model, s->user);
    if (grdi_latched())
        return NULL;
    if (!loss)
        return grdi_fail(GRD_ERROR_STATE, op, "the loss function returned NULL without an error");
    if (grd_tensor_count(loss) != 1)
        return grdi_fail(GRD_ERROR_SHAPE, op,
                         "the loss is %s, expected one number (a mean over samples)",
                         grdi_size_text(loss).chars);
    return loss;
}

/* The loss while a hook watches all heads; NULL: none does. */
static double loss_with(const study *s, grd_heads_hook hook, void *user)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    if (hook)
        grd_on_heads(&scope, hook, user);
    const grd_tensor *loss = loss_of(s);
    const double value = loss ? grd_item(loss) : NAN;
    grd_scope_end(&scope);
    return value;
}

/* ---- Ablation ---- */

typedef struct ablation {
    const grd_module *module;
    int64_t head;
    grd_tensor *(*replace)(const grd_heads *heads); /* what broadcasts to the output */
} ablation;

static grd_tensor *zero(const grd_heads *heads)
{
    return grd_zeros_like(heads->output);
}

static grd_tensor *mean(const grd_heads *heads)
{
    const bool batched = grd_tensor_rank(heads->output) == 4;
    return grd_mean_dims(heads->output, batched ? GRD_DIMS(0, 2) : GRD_DIMS(1), GRD_KEEP_DIMS);
}

/* Scores that are all 0: so what is hidden does not count, be it NaN. */
static grd_tensor *uniform(const grd_heads *heads)
{
    const grd_sdpa_options options = { .mask = { .attend = grd_heads_visible(heads) } };
    if (!options.mask.attend)
        return NULL;
    return grd_sdpa(grd_zeros_like(heads->query), heads->key, heads->value, &options).output;
}

/* bool (H, 1, 1), true for the head. */
static grd_tensor *chosen(const grd_heads *heads, int64_t head)
{
    const int64_t count = grd_tensor_size(heads->output, -3);
    const grd_tensor *is_head = grd_eq_scalar(grd_arange(0, count, 1), (double)head);
    return grd_to_device(grd_reshape(is_head, GRD_SHAPE(count, 1, 1)),
                         grd_tensor_device(heads->output));
}

static grd_tensor *ablate(const grd_heads *heads, void *user)
{
    const ablation *a = user;
    if (heads->module != a->module)
        return NULL;
    return grd_where(chosen(heads, a->head), a->replace(heads), heads->output);
}

static bool ablate_all(const study *s, double loss)
{
    for (int64_t i = 0; i < s->num_heads && !grdi_latched(); i++) {
        grd_head_effect *e = &s->effects[i];
        ablation a = { s->modules[i], e->head, zero };
        e->zero = loss_with(s, ablate, &a) - loss;
        a.replace = mean;
        e->mean = loss_with(s, ablate, &a) - loss;
        a.replace = uniform;
        e->uniform = loss_with(s, ablate, &a) - loss;
    }
    return !grdi_latched();
}

/* ---- Importance ---- */

/* A call whose output's gradient is waited for. Zeros are added to the output, so that it has one
 * in a model that is not trained too. */
typedef struct probe {
    struct probe *next;
    struct probes *all;
    const grd_module *module;
    grd_tensor *zeros, *output; /* one reference each */
} probe;

typedef struct probes {
    probe *first;
    int64_t count;
    const study *study;
} probes;

/* x as f64, in row-major order; the scope's. */
static const double *values_of(const grd_tensor *x)
{
    const int64_t count = grd_tensor_count(x);
    double *values = grdi_scratch(op, (size_t)count, sizeof *values);
    return values && grd_read_f64(x, values, count) == GRD_OK ? values : NULL;
}

/* The sum over samples of |z . dz| of head h. */
static double importance_of(const grd_tensor *output, const double *z, const double *dz, int64_t h)
{
    const int64_t heads = grd_tensor_size(output, -3);
    const int64_t size = grd_tensor_size(output, -2) * grd_tensor_size(output, -1);
    const int64_t samples = grd_tensor_rank(output) == 4 ? grd_tensor_size(output, 0) : 1;
    double sum = 0;
    for (int64_t b = 0; b < samples; b++) {
        const int64_t at = (b * heads + h) * size;
        double product = 0;
        for (int64_t i = 0; i < size; i++)
            product += z[at + i] * dz[at + i];
        sum += fabs(product);
    }
    return sum;
}

static grd_tensor *add_importance(const grd_tensor *gradient, void *user)
{
    const probe *p = user;
    const study *s = p->all->study;
    const double *z = values_of(p->output), *dz = z ? values_of(gradient) : NULL;
    for (int64_t i = 0; dz && i < s->num_heads; i++) {
        grd_head_effect *e = &s->effects[i];
        if (s->modules[i] != p->module)
            continue;
        e->importance = s->noted[i] ? e->importance : 0;
        e->importance += importance_of(p->output, z, dz, e->head);
        s->noted[i] = true;
    }
    return NULL;
}

static grd_tensor *add_probe(const grd_heads *heads, void *user)
{
    probes *all = user;
    grd_tensor *zeros = grd_require_grad(grd_zeros_like(heads->output));
    grd_tensor *output = grd_detach(heads->output), *watched = grd_add(heads->output, zeros);
    if (!watched || !grd_tensor_requires_grad(watched))
        return watched;
    probe *p = grdi_allocate(sizeof *p);
    if (!p)
        return grdi_fail_memory(op, sizeof *p);
    *p = (probe){ all->first, all, heads->module, grdi_retain(zeros), grdi_retain(output) };
    all->first = p;
    all->count++;
    grd_on_gradient(watched, add_importance, p);
    return watched;
}

static void free_probes(probes *all)
{
    for (probe *p = all->first, *next; p; p = next) {
        next = p->next;
        grdi_release(p->zeros);
        grdi_release(p->output);
        grdi_free(p, sizeof *p);
    }
}

/* Walks from the loss to all zeros, and to the parameters too: only on the way to them does a walk
 * come through what is computed again. */
static void walk(const study *s, const probes *all, const grd_tensor *loss)
{
    const int64_t parameters = grd_module_num_parameters(s->model);
    const size_t most = (size_t)(all->count + parameters);
    const grd_tensor **targets = grdi_scratch(op, most, sizeof *targets);
    grd_tensor **gradients = grdi_scratch(op, most, sizeof *gradients);
    const grd_grad_options options = { .allow_unused = true };
    int64_t n = 0;
    if (!targets || !gradients)
        return;
    for (const probe *p = all->first; p; p = p->next)
        targets[n++] = p->zeros;
    for (int64_t i = 0; i < parameters; i++) {
        targets[n] = grd_module_parameter_at(s->model, i).tensor;
        n += grd_tensor_requires_grad(targets[n]);
    }
    grd_grad(GRD_LIST(loss), (grd_list){ n, targets }, &options, gradients);
}

static bool find_importance(const study *s)
{
    probes all = { .study = s };
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = false;
    grd_on_heads(&scope, add_probe, &all);
    const grd_tensor *loss = loss_of(s);
    if (loss && all.count && grd_tensor_requires_grad(loss))
        walk(s, &all, loss);
    const bool done = grd_scope_end(&scope) == GRD_OK; /* the graph, and its hooks, before them */
    free_probes(&all);
    return done;
}

/* ---- The whole ---- */

static double measure(study *s)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    const int64_t masked_rows = grdi_self.masked_rows;
    const grdi_noted_modes *before = grdi_modes_note(op, s->model);
    if (before)
        grd_module_eval(s->model);
    const double loss = before ? loss_with(s, NULL, NULL) : NAN;
    if (!grdi_latched() && find_importance(s))
        ablate_all(s, loss);
    grdi_modes_put_back(before);
    grdi_self.masked_rows = masked_rows; /* they are no rows of the caller's */
    grd_scope_end(&scope);
    return loss;
}

grd_head_effects grd_ablate_heads(grd_module *model, grd_loss_function loss, void *user)
{
    const grd_head_effects failed = { 0 };
    study s = { .model = model, .loss = loss, .user = user };
    if (!model || !loss)
        grdi_fail_null(op);
    if (!grdi_may_make(op) || !prepare(&s))
        return failed;
    const double whole = measure(&s);
    return grdi_latched() ? failed : (grd_head_effects){ whole, s.num_heads, s.effects };
}

grd_head_effects grd_at_head_effects(grd_head_effects result, const char *file, int line)
{
    if (!result.heads)
        grdi_note_site(file, line);
    return result;
}
