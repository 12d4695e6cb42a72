#include "nn/checkpoint.h"

#include "nn/data.h"
#include "nn/grad_scaler.h"
#include "nn/optimizer.h"
#include "nn/seal.h"
#include "nn/transformer.h"
#include "nn/utf8.h"
#include "tensor/rng.h"
#include <stdio.h>
#include <string.h>

static bool put_head(grdi_archive *archive, const grd_checkpoint *what)
{
    return grdi_put_text(archive, "format", "gradus checkpoint") &&
           grdi_put_integer(archive, "format_version", 1) &&
           grdi_put_text(archive, "created_by", "gradus " GRDI_VERSION) &&
           (!what->step || grdi_put_integer(archive, "step", *what->step));
}

/* Threads are no part of it: any number gives the same bits. */
static bool put_environment(grdi_archive *archive, const grd_checkpoint *what)
{
    (void)what;
    const grd_cpu_info cpu = grd_cpu_describe();
    return grdi_put_text(archive, "environment/blas", cpu.blas) &&
           grdi_put_text(archive, "environment/blas_core", cpu.blas_core) &&
           grdi_put_text(archive, "environment/instruction_set", cpu.instruction_set);
}

static bool put_config(grdi_archive *archive, const grd_checkpoint *what)
{
    const size_t bytes = what->config ? strlen(what->config) : 0;
    if (!grdi_utf8_valid(what->config, bytes))
        return grdi_fail(GRD_ERROR_ARGUMENT, archive->op, "config is not UTF-8 text");
    return !what->config || grdi_put_document(archive, "config", what->config, bytes);
}

static bool put_architecture(grdi_archive *archive, const grd_module *model)
{
    if (!model->kind || strcmp(model->kind->name, "Transformer") != 0)
        return true;
    const grdi_json_text json = grdi_transformer_json(model);
    return json.chars[0] &&
           grdi_put_document(archive, "architecture", json.chars, strlen(json.chars));
}

static bool put_model(grdi_archive *archive, const grd_checkpoint *what)
{
    if (!what->model)
        return true;
    bool done = put_architecture(archive, what->model);
    const int64_t count = grdi_module_num_states(what->model);
    for (int64_t i = 0; done && i < count; i++) {
        char path[sizeof "model//dtype" + GRDI_PATH_BYTES];
        const grdi_state state = grdi_module_state(what->model, i);
        snprintf(path, sizeof path, "model/%s", state.name);
        done = grdi_put_tensor(archive, path, state.tensor);
        if (done && grd_tensor_dtype(state.tensor) == GRD_BF16) {
            strcat(path, "/dtype");
            done = grdi_put_text(archive, path, "bfloat16");
        }
    }
    return done && !grdi_latched();
}

static bool put_moment(grdi_archive *archive, const grdi_moment *moment)
{
    char path[sizeof "optimizer/momentum//steps" + GRDI_PATH_BYTES];
    snprintf(path, sizeof path, "optimizer/%s/%s", moment->kind, moment->parameter);
    if (!grdi_put_tensor(archive, path, moment->tensor))
        return false;
    strcat(path, "/steps");
    return grdi_put_integer(archive, path, *moment->steps);
}

static bool put_optimizer(grdi_archive *archive, const grd_checkpoint *what)
{
    const grd_optimizer *optimizer = what->optimizer;
    if (!optimizer)
        return true;
    bool done = grdi_put_text(archive, "optimizer/algorithm", grdi_optimizer_algorithm(optimizer));
    grdi_option option;
    for (int i = 0; done && (option = grdi_optimizer_option(optimizer, i)).name; i++) {
        char path[64];
        snprintf(path, sizeof path, "optimizer/%s", option.name);
        done = grdi_put_real(archive, path, option.value);
    }
    const int64_t count = grdi_optimizer_num_moments(optimizer);
    for (int64_t i = 0; done && i < count; i++) {
        const grdi_moment moment = grdi_optimizer_moment(optimizer, i);
        done = put_moment(archive, &moment);
    }
    return done;
}

static bool put_scaler(grdi_archive *archive, const grd_checkpoint *what)
{
    const grd_grad_scaler *scaler = what->scaler;
    if (!scaler)
        return true;
    const grd_grad_scaler_options *o = &scaler->options;
    return grdi_put_real(archive, "scaler/scale", scaler->scale) &&
           grdi_put_integer(archive, "scaler/growth_tracker", scaler->growth_tracker) &&
           grdi_put_integer(archive, "scaler/skipped_steps", scaler->skipped_steps) &&
           grdi_put_real(archive, "scaler/growth_factor", o->growth_factor) &&
           grdi_put_real(archive, "scaler/backoff_factor", o->backoff_factor) &&
           grdi_put_integer(archive, "scaler/growth_interval", o->growth_interval);
}

static bool put_schedule(grdi_archive *archive, const grd_checkpoint *what)
{
    const grd_schedule *schedule = what->schedule;
    return !schedule ||
           (grdi_put_integer(archive, "schedule/shape", schedule->shape) &&
            grdi_put_real(archive, "schedule/lr", schedule->lr) &&
            grdi_put_real(archive, "schedule/min_lr", schedule->min_lr) &&
            grdi_put_integer(archive, "schedule/warmup_steps", schedule->warmup_steps) &&
            grdi_put_integer(archive, "schedule/total_steps", schedule->total_steps));
}

/* The 64 bits of each, as HDF5's attributes here are signed. */
static bool put_rng(grdi_archive *archive, const grd_checkpoint *what)
{
    const grd_rng *rng = what->rng;
    return !rng || (grdi_put_integer(archive, "rng/seed", (int64_t)rng->state.seed) &&
                    grdi_put_integer(archive, "rng/key", (int64_t)rng->state.key) &&
                    grdi_put_integer(archive, "rng/counter", (int64_t)rng->state.counter));
}

static bool put_loader(grdi_archive *archive, const grd_checkpoint *what)
{
    const grd_data *data = what->data;
    return !data || (grdi_put_text(archive, "loader/source", data->source) &&
                     grdi_put_text(archive, "loader/digest", data->digest) &&
                     grdi_put_integer(archive, "loader/batch_size", data->batch_size) &&
                     grdi_put_integer(archive, "loader/context", data->context) &&
                     grdi_put_integer(archive, "loader/seed", (int64_t)data->seed));
}

static bool put_tokenizer(grdi_archive *archive, const grd_checkpoint *what)
{
    const grd_tokenizer *tokenizer = what->tokenizer;
    if (!tokenizer || !tokenizer->codes)
        return !tokenizer || grdi_put_text(archive, "tokenizer/kind", "bytes");
    const size_t bytes = grdi_tokenizer_alphabet(tokenizer, NULL);
    char *alphabet =
        grdi_put_text(archive, "tokenizer/kind", "characters")
            ? grdi_put_chars(archive, "tokenizer/characters", GRDI_DOCUMENT, NULL, bytes)
            : NULL;
    if (alphabet)
        grdi_tokenizer_alphabet(tokenizer, alphabet);
    return alphabet;
}

static bool save(const char *path, const grd_checkpoint *what)
{
    static bool (*const parts[])(grdi_archive *, const grd_checkpoint *) = {
        put_head,   put_environment, put_config, put_model,  put_optimizer,
        put_scaler, put_schedule,    put_rng,    put_loader, put_tokenizer,
    };
    grdi_archive *archive = grdi_archive_create("save", path);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!archive || !parts[i](archive, what))
            return false;
    grdi_bytes *bytes = grdi_archive_encode(archive, GRDI_SEAL_SIZE);
    if (!bytes)
        return false;
    grdi_seal(bytes);
    return grdi_file_write("save", path, bytes->data, bytes->size);
}

grd_status grd_save(const char *path, const grd_checkpoint *what)
{
    grd_scope scope;
    if (!path || !what)
        grdi_fail_null("save");
    if (grdi_latched())
        return grdi_self.latched;
    grdi_scope_open(&scope);
    save(path, what);
    return grd_scope_end(&scope);
}
