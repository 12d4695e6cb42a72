#include "nn/checkpoint.h"

#include "nn/data.h"
#include "nn/grad_scaler.h"
#include "nn/optimizer.h"
#include "nn/seal.h"
#include "nn/transformer.h"
#include "tensor/rng.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WARNINGS = 1024 };

static void forget_warnings(void)
{
    if (grdi_self.warnings)
        grdi_self.warnings[0] = '\0';
}

/* Not said where there is no memory to say it. */
static void __attribute__((format(printf, 1, 2))) warn(const char *format, ...)
{
    if (!grdi_self.warnings && !(grdi_self.warnings = calloc(WARNINGS, 1)))
        return;
    va_list arguments;
    size_t used = strlen(grdi_self.warnings);
    snprintf(grdi_self.warnings + used, WARNINGS - used, used ? "; " : "");
    used = strlen(grdi_self.warnings);
    va_start(arguments, format);
    vsnprintf(grdi_self.warnings + used, WARNINGS - used, format, arguments);
    va_end(arguments);
}

const char *grd_load_warnings(void)
{
    return grdi_self.warnings && grdi_self.warnings[0] ? grdi_self.warnings : NULL;
}

grdi_archive *grdi_checkpoint_read(const char *op, const char *path)
{
    const size_t limit = (size_t)1 << 36;
    const grdi_bytes *bytes = grdi_file_read(op, path, limit);
    if (!bytes || !grdi_sealed(op, path, bytes))
        return NULL;
    grdi_archive *archive = grdi_archive_decode(op, path, bytes->data + GRDI_SEAL_SIZE,
                                                bytes->size - GRDI_SEAL_SIZE, GRDI_OURS);
    const grdi_value *version = grdi_get(archive, "format_version", GRDI_INTEGER);
    if (!version)
        return NULL;
    return version->integer == 1
               ? archive
               : grdi_fail(GRD_ERROR_FORMAT, op, "%s: format_version is %lld, this library reads 1",
                           path, (long long)version->integer);
}

/* A load: what is written when all has been found to fit. */
typedef struct loading {
    const grdi_archive *archive;
    const grd_checkpoint *what;
    grdi_restore tensors;
} loading;

static int64_t integer_at(const grdi_archive *archive, const char *path)
{
    const grdi_value *value = grdi_get(archive, path, GRDI_INTEGER);
    return value ? value->integer : 0;
}

/* Whether the file has what was asked for, told by one of its values. */
static bool has(const loading *l, const char *path, grdi_value_kind kind, const char *what)
{
    return grdi_find(l->archive, path, kind) ||
           grdi_fail(GRD_ERROR_MISMATCH, l->archive->op, "%s: was saved without %s",
                     l->archive->file, what);
}

/* ---- Checks, in order ---- */

static bool check_step(loading *l)
{
    if (!l->what->step)
        return true;
    return has(l, "step", GRDI_INTEGER, "a step") &&
           (integer_at(l->archive, "step") >= 0 ||
            grdi_fail(GRD_ERROR_FORMAT, l->archive->op, "%s: step is negative", l->archive->file));
}

static bool check_rng(loading *l)
{
    if (!l->what->rng)
        return true;
    return has(l, "rng/seed", GRDI_INTEGER, "a generator") &&
           grdi_get(l->archive, "rng/key", GRDI_INTEGER) &&
           grdi_get(l->archive, "rng/counter", GRDI_INTEGER);
}

static double real_at(const grdi_archive *archive, const char *path)
{
    const grdi_value *value = grdi_get(archive, path, GRDI_REAL);
    return value ? value->real : NAN;
}

static bool check_scaler(loading *l)
{
    const grdi_archive *archive = l->archive;
    if (!l->what->scaler)
        return true;
    if (!has(l, "scaler/scale", GRDI_REAL, "a gradient scaler") ||
        !grdi_get(archive, "scaler/growth_tracker", GRDI_INTEGER) ||
        !grdi_get(archive, "scaler/skipped_steps", GRDI_INTEGER))
        return false;
    const float scale = (float)real_at(archive, "scaler/scale");
    return (scale > 0 && isfinite(scale)) ||
           grdi_fail(GRD_ERROR_FORMAT, archive->op, "%s: scaler: the scale is %g", archive->file,
                     (double)scale);
}

static bool check_model(loading *l)
{
    return !l->what->model || grdi_restore_model(&l->tensors, l->what->model);
}

static void moment_path(const grdi_moment *moment, const char *attribute,
                        char path[GRDI_PATH_BYTES + 32])
{
    snprintf(path, GRDI_PATH_BYTES + 32, "optimizer/%s/%s%s", moment->kind, moment->parameter,
             attribute);
}

static int64_t count_moments(const grdi_archive *archive)
{
    int64_t count = 0;
    for (int i = 0; i < archive->count; i++)
        count += archive->values[i].kind == GRDI_ARRAY &&
                 strncmp(archive->values[i].path, "optimizer/", 10) == 0;
    return count;
}

static bool check_moments(loading *l, const grd_optimizer *optimizer)
{
    char path[GRDI_PATH_BYTES + 32];
    const int64_t count = grdi_optimizer_num_moments(optimizer);
    for (int64_t i = 0; i < count; i++) {
        const grdi_moment moment = grdi_optimizer_moment(optimizer, i);
        moment_path(&moment, "", path);
        if (!grdi_restore_add(&l->tensors, path, path, moment.tensor))
            return false;
        strcat(path, "/steps");
        if (!grdi_get(l->archive, path, GRDI_INTEGER))
            return false;
    }
    const int64_t found = count_moments(l->archive);
    return found == count || grdi_fail(GRD_ERROR_MISMATCH, l->archive->op,
                                       "%s: optimizer: found %lld moments, expected %lld (are "
                                       "other parameters frozen?)",
                                       l->archive->file, (long long)found, (long long)count);
}

static bool check_optimizer(loading *l)
{
    static const char path[] = "optimizer/algorithm";
    const grd_optimizer *optimizer = l->what->optimizer;
    if (!optimizer)
        return true;
    if (!has(l, path, GRDI_TEXT, "an optimizer"))
        return false;
    const char *found = grdi_find(l->archive, path, GRDI_TEXT)->text;
    const char *expected = grdi_optimizer_algorithm(optimizer);
    if (strcmp(found, expected) != 0)
        return grdi_fail(GRD_ERROR_MISMATCH, l->archive->op,
                         "%s: optimizer: found %.40s, expected %s", l->archive->file, found,
                         expected);
    return check_moments(l, optimizer);
}

static bool same_tokens(const grd_tokenizer *a, const grd_tokenizer *b)
{
    return a->size == b->size && !a->codes == !b->codes &&
           (!a->codes || memcmp(a->codes, b->codes, (size_t)a->size * sizeof *a->codes) == 0);
}

/* A file without a tokenizer fits any. */
static bool check_tokenizer(loading *l)
{
    const grd_tokenizer *expected = l->what->tokenizer;
    if (!expected || !grdi_find(l->archive, "tokenizer/kind", GRDI_TEXT))
        return true;
    const grd_tokenizer *found = grdi_checkpoint_tokenizer(l->archive);
    if (!found || same_tokens(found, expected))
        return found;
    return grdi_fail(GRD_ERROR_MISMATCH, l->archive->op,
                     "%s: tokenizer: found %lld %s, expected %lld %s%s", l->archive->file,
                     (long long)found->size, found->codes ? "characters" : "bytes",
                     (long long)expected->size, expected->codes ? "characters" : "bytes",
                     found->size == expected->size ? ", others" : "");
}

/* ---- Writing: nothing here can fail but a device ---- */

static void commit_optimizer(const loading *l, const grd_optimizer *optimizer)
{
    char path[GRDI_PATH_BYTES + 32];
    const int64_t count = optimizer ? grdi_optimizer_num_moments(optimizer) : 0;
    for (int64_t i = 0; i < count; i++) {
        const grdi_moment moment = grdi_optimizer_moment(optimizer, i);
        moment_path(&moment, "/steps", path);
        *moment.steps = integer_at(l->archive, path);
    }
}

static void commit_scaler(const loading *l, grd_grad_scaler *scaler)
{
    if (!scaler)
        return;
    scaler->scale = (float)real_at(l->archive, "scaler/scale");
    scaler->growth_tracker = integer_at(l->archive, "scaler/growth_tracker");
    scaler->skipped_steps = integer_at(l->archive, "scaler/skipped_steps");
    scaler->looked = scaler->found_inf = false;
    scaler->round++;
}

static bool commit(const loading *l)
{
    if (!grdi_restore_commit(&l->tensors))
        return false;
    commit_optimizer(l, l->what->optimizer);
    commit_scaler(l, l->what->scaler);
    if (l->what->rng)
        l->what->rng->state = (grdi_rng_state){
            .seed = (uint64_t)integer_at(l->archive, "rng/seed"),
            .key = (uint64_t)integer_at(l->archive, "rng/key"),
            .counter = (uint64_t)integer_at(l->archive, "rng/counter"),
        };
    if (l->what->step)
        *l->what->step = integer_at(l->archive, "step");
    return true;
}

/* ---- Warnings ---- */

static void compare_text(const grdi_archive *archive, const char *path, const char *now)
{
    const grdi_value *then = grdi_find(archive, path, GRDI_TEXT);
    if (then && strcmp(then->text, now) != 0)
        warn("%s was %.80s, is %.80s", path, then->text, now);
}

static void compare_integer(const grdi_archive *archive, const char *path, int64_t now)
{
    const grdi_value *then = grdi_find(archive, path, GRDI_INTEGER);
    if (then && then->integer != now)
        warn("%s was %lld, is %lld", path, (long long)then->integer, (long long)now);
}

static void compare_real(const grdi_archive *archive, const char *path, double now)
{
    const grdi_value *then = grdi_find(archive, path, GRDI_REAL);
    if (then && !(then->real == now))
        warn("%s was %g, is %g", path, then->real, now);
}

static void compare_environment(const grdi_archive *archive)
{
    const grd_cpu_info cpu = grd_cpu_describe();
    compare_text(archive, "environment/blas", cpu.blas);
    compare_text(archive, "environment/blas_core", cpu.blas_core);
    compare_text(archive, "environment/instruction_set", cpu.instruction_set);
}

static void compare_data(const grdi_archive *archive, const grd_data *data)
{
    if (!data)
        return;
    const grdi_value *digest = grdi_find(archive, "loader/digest", GRDI_TEXT);
    compare_text(archive, "loader/source", data->source);
    if (digest && strcmp(digest->text, data->digest) != 0)
        warn("the data are not those of the file: their SHA-256 was %.12s..., is %.12s...",
             digest->text, data->digest);
    compare_integer(archive, "loader/batch_size", data->batch_size);
    compare_integer(archive, "loader/context", data->context);
    compare_integer(archive, "loader/seed", (int64_t)data->seed);
}

static void compare_optimizer(const grdi_archive *archive, const grd_optimizer *optimizer)
{
    grdi_option option;
    for (int i = 0; optimizer && (option = grdi_optimizer_option(optimizer, i)).name; i++) {
        char path[64];
        snprintf(path, sizeof path, "optimizer/%s", option.name);
        compare_real(archive, path, option.value);
    }
}

static void compare_scaler(const grdi_archive *archive, const grd_grad_scaler *scaler)
{
    if (!scaler)
        return;
    compare_real(archive, "scaler/growth_factor", scaler->options.growth_factor);
    compare_real(archive, "scaler/backoff_factor", scaler->options.backoff_factor);
    compare_integer(archive, "scaler/growth_interval", scaler->options.growth_interval);
}

static void compare_schedule(const grdi_archive *archive, const grd_schedule *schedule)
{
    if (!schedule)
        return;
    compare_integer(archive, "schedule/shape", schedule->shape);
    compare_real(archive, "schedule/lr", schedule->lr);
    compare_real(archive, "schedule/min_lr", schedule->min_lr);
    compare_integer(archive, "schedule/warmup_steps", schedule->warmup_steps);
    compare_integer(archive, "schedule/total_steps", schedule->total_steps);
}

static void compare_all(const loading *l)
{
    compare_environment(l->archive);
    compare_data(l->archive, l->what->data);
    compare_optimizer(l->archive, l->what->optimizer);
    compare_scaler(l->archive, l->what->scaler);
    compare_schedule(l->archive, l->what->schedule);
}

/* ---- The public functions ---- */

static int64_t count_tensors(const grd_checkpoint *what)
{
    return (what->model ? grdi_module_num_states(what->model) : 0) +
           (what->optimizer ? grdi_optimizer_num_moments(what->optimizer) : 0);
}

static void load(const char *path, const grd_checkpoint *what)
{
    static bool (*const checks[])(loading *) = {
        check_step, check_rng, check_scaler, check_tokenizer, check_model, check_optimizer,
    };
    loading l = { .archive = grdi_checkpoint_read("load", path), .what = what };
    if (!l.archive || !grdi_restore_init(&l.tensors, l.archive, count_tensors(what)))
        return;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++)
        if (!checks[i](&l))
            return;
    if (commit(&l))
        compare_all(&l);
}

grd_status grd_load(const char *path, const grd_checkpoint *what)
{
    grd_scope scope;
    forget_warnings();
    if (!path || !what)
        grdi_fail_null("load");
    if (grdi_latched())
        return grdi_self.latched;
    grdi_scope_open(&scope);
    load(path, what);
    return grd_scope_end(&scope);
}

grd_tokenizer *grdi_checkpoint_tokenizer(const grdi_archive *archive)
{
    const grdi_value *kind = grdi_get(archive, "tokenizer/kind", GRDI_TEXT);
    if (!kind)
        return NULL;
    if (strcmp(kind->text, "bytes") == 0)
        return grd_tokenizer_bytes();
    const grdi_value *all = grdi_get(archive, "tokenizer/characters", GRDI_DOCUMENT);
    return all ? grdi_tokenizer_of(archive->op, all->text, all->bytes) : NULL;
}

/* Makes an object from a file in a scope of its own, and hands it to the one around. */
static void *load_object(const char *op, const char *path,
                         void *(*make)(const grdi_archive *archive))
{
    grd_scope scope;
    if (!path)
        return grdi_fail_null(op);
    if (!grdi_may_make(op))
        return NULL;
    grdi_scope_open(&scope);
    const grdi_archive *archive = grdi_checkpoint_read(op, path);
    grdi_object *object = archive ? grdi_retain(make(archive)) : NULL;
    grd_scope_end(&scope);
    if (object)
        grdi_scope_own(object);
    return object;
}

static void *make_tokenizer(const grdi_archive *archive)
{
    return grdi_checkpoint_tokenizer(archive);
}

grd_tokenizer *grd_load_tokenizer(const char *path)
{
    return load_object("load_tokenizer", path, make_tokenizer);
}

/* What the file's parameters are: a model has one floating type. */
static grd_dtype parameter_dtype(const grdi_archive *archive)
{
    for (int i = 0; i < archive->count; i++)
        if (archive->values[i].kind == GRDI_ARRAY &&
            strncmp(archive->values[i].path, "model/", 6) == 0)
            return archive->values[i].dtype;
    return GRD_DTYPE_UNSET;
}

static void *make_transformer(const grdi_archive *archive)
{
    grdi_restore restore;
    const grdi_value *json = grdi_find(archive, "architecture", GRDI_DOCUMENT);
    if (!json)
        return grdi_fail(GRD_ERROR_MISMATCH, archive->op, "%s: holds no transformer",
                         archive->file);
    grd_rng *rng = grd_rng_create(0);
    grd_module *model = rng ? grd_transformer_create_json(rng, json->text) : NULL;
    if (!model || grd_module_to(model, NULL, parameter_dtype(archive)) != GRD_OK)
        return NULL;
    const bool done = grdi_restore_init(&restore, archive, grdi_module_num_states(model)) &&
                      grdi_restore_model(&restore, model) && grdi_restore_commit(&restore);
    return done ? model : NULL;
}

grd_module *grd_load_transformer(const char *path)
{
    return load_object("load_transformer", path, make_transformer);
}
