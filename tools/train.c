/* gradus train */
#include "tools/evaluate.h"
#include "tools/folder.h"
#include "tools/report.h"
#include "tools/signals.h"
#include "tools/step.h"
#include "tools/terminal.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct run {
    stepper t;
    folder folder;
    progress progress;
    report report;
    char *config;
} run;

/* What a checkpoint of this run consists of. */
static grd_checkpoint state_of(run *r)
{
    return (grd_checkpoint){
        .model = r->t.s.model,
        .optimizer = r->t.s.optimizer,
        .scaler = r->t.s.scaler,
        .rng = r->t.s.rng,
        .step = &r->t.step,
        .data = r->t.s.train,
        .schedule = &r->t.s.schedule,
        .tokenizer = grd_data_tokenizer(r->t.s.train),
        .config = r->config,
    };
}

static bool save(run *r, const char *path)
{
    const grd_checkpoint all = state_of(r);
    return metrics_flush(&r->folder.metrics, true) && grd_save(path, &all) == GRD_OK;
}

static bool save_newest(run *r)
{
    if (!r->folder.path || r->folder.saved == r->t.step)
        return true;
    if (!save(r, r->folder.weights))
        return false;
    r->folder.saved = r->t.step;
    return true;
}

/* The page never ends a run: where it cannot be written, that is said once and left. */
static void show(run *r, grdi_run_state state)
{
    if (!r->report.path)
        return;
    if (metrics_flush(&r->folder.metrics, false) && report_write(&r->report, state))
        return;
    progress_end(&r->progress);
    note("note: no report any more: %s", grd_error_message());
    grd_error_take();
    r->report.path = NULL;
}

/* Whether a step that counts every `every` is due; the last one always is. */
static bool is_due(const run *r, int64_t every)
{
    return every > 0 && (r->t.step % every == 0 || r->t.step == r->t.o->steps);
}

/* The loss on what is held back, NAN when interrupted; keeps the best. */
static bool validate(run *r, double *loss)
{
    const evaluation e = evaluate(r->t.s.model, r->t.s.validation, r->t.o->validate_batches);
    grd_module_train(r->t.s.model, r->t.s.rng);
    *loss = e.loss;
    if (isnan(e.loss))
        return true;
    if (r->t.o->task)
        progress_say(&r->progress,
                     "step %" PRId64 "  validation loss %.4f, %.1f%% of sequences right", r->t.step,
                     e.loss, 100 * e.right);
    else
        progress_say(&r->progress, "step %" PRId64 "  validation loss %.4f", r->t.step, e.loss);
    if (!r->folder.path || e.loss >= r->folder.metrics.best)
        return true;
    r->folder.metrics.best = e.loss;
    return save(r, r->folder.best);
}

static bool validates(const run *r)
{
    return r->t.o->overfit_batch != 1 && is_due(r, r->t.o->validate_every);
}

/* Whether someone is to see what came of the last step, or it has to be waited for. */
static bool is_told(const run *r)
{
    return stepper_is_full(&r->t) || progress_shows(&r->progress, r->t.step) || validates(r) ||
           is_due(r, r->t.o->save_every) || report_is_due(&r->report) || caught_signal();
}

/* What came of all steps that were started. */
static bool tell(run *r)
{
    const int64_t count = stepper_wait(&r->t);
    double val_loss = NAN;
    for (int64_t i = 0; i < count; i++) {
        const step_report report = stepper_tell(&r->t, i);
        if (i == count - 1 && validates(r) && !validate(r, &val_loss))
            return false;
        if (!metrics_write(&r->folder.metrics, &report, val_loss))
            return false;
        if (report.skipped)
            progress_say(&r->progress,
                         "step %" PRId64
                         "  skipped, as gradients were not finite; loss scale %g is now %g",
                         report.step, report.loss_scale, grd_grad_scaler_get_scale(r->t.s.scaler));
        progress_step(&r->progress, &report);
    }
    return count >= 0;
}

static bool one_step(run *r)
{
    if (!train_step(&r->t))
        return false;
    if (!is_told(r))
        return true;
    if (!tell(r))
        return false;
    if (report_is_due(&r->report))
        show(r, GRDI_RUN_RUNNING);
    return !is_due(r, r->t.o->save_every) || save_newest(r);
}

/* What came of it, and what to do next. */
static int conclude(run *r)
{
    char path[4096], file[4096];
    const char *program = shell_quoted(program_path(), path);
    const bool done = r->t.step >= r->t.o->steps;
    show(r, GRDI_RUN_STOPPED);
    if (!done)
        note("stopped after step %" PRId64, r->t.step);
    if (r->folder.path) {
        note("saved %s at step %" PRId64, r->folder.weights, r->t.step);
        if (r->report.path)
            note("see it: %s", r->report.path);
        if (done)
            note("try it: %s sample --weights %s", program, shell_quoted(r->folder.weights, file));
        else
            note("go on: %s train --out %s --resume auto", program,
                 shell_quoted(r->folder.path, file));
    } else {
        note("nothing is saved without --out");
    }
    return done ? 0 : 128 + caught_signal();
}

static int failed(run *r)
{
    progress_end(&r->progress);
    if (grd_scope_end(NULL) != GRD_OK)
        complain_of_library();
    show(r, GRDI_RUN_STOPPED);
    if (r->folder.saved >= 0)
        note("%s holds step %" PRId64, r->folder.weights, r->folder.saved);
    return EXIT_FAILED;
}

static int train(run *r)
{
    catch_signals();
    progress_begin(&r->progress, r->t.step, r->t.o->steps, r->t.o->log_every);
    show(r, GRDI_RUN_RUNNING);
    while (r->t.step < r->t.o->steps && !caught_signal())
        if (!one_step(r))
            return failed(r);
    if ((r->t.started > 0 && !tell(r)) || !save_newest(r))
        return failed(r);
    progress_end(&r->progress);
    return conclude(r);
}

static void introduce(const run *r)
{
    const grd_cpu_info cpu = grd_cpu_describe();
    note("%s: vocabulary %" PRId64 ", context %" PRId64 "; %" PRId64 " parameters; %d threads, %s",
         r->t.o->task ? r->t.o->task : r->t.o->text, grd_data_vocab_size(r->t.s.train),
         grd_data_context(r->t.s.train), grd_module_num_values(r->t.s.model), cpu.threads,
         cpu.instruction_set);
}

/* Into the state of the checkpoint, for a run that goes on. What differs in the schedule has been
 * told as options. */
static bool load(run *r)
{
    grd_checkpoint all = state_of(r);
    all.schedule = NULL;
    if (!folder_continues(&r->folder))
        return true;
    if (grd_load(r->folder.weights, &all) != GRD_OK)
        return false;
    if (grd_load_warnings())
        note("note: %s", grd_load_warnings());
    note("going on from step %" PRId64 " of %s", r->t.step, r->folder.weights);
    return true;
}

static int prepare_and_train(run *r)
{
    stepper_set_up(&r->t);
    if (grd_scope_end(NULL) != GRD_OK)
        return complain_of_library();
    introduce(r);
    if (!load(r))
        return complain_of_library();
    if (r->t.step >= r->t.o->steps && folder_continues(&r->folder)) {
        note("all %" PRId64 " steps are done; --steps N goes on to N", r->t.o->steps);
        return 0;
    }
    if (!folder_open(&r->folder, r->t.step, r->config))
        return EXIT_FAILED;
    if (r->folder.path && r->t.o->report == 1)
        report_begin(&r->report, r->folder.path, r->folder.report, 0.01);
    const int status = train(r);
    report_end(&r->report);
    folder_close(&r->folder);
    return status;
}

static int begin(options *o, run *r)
{
    int status = check_data_options(o);
    if (status == 0)
        status = check_precision(o);
    if (status != 0)
        return status;
    if (o->cuda_graph == 1 && strcmp(o->device, "cpu") == 0)
        return complain("--cuda-graph needs --device cuda: only GPUs have graphs"), EXIT_USAGE;
    if (o->cuda_graph == 1 && strcmp(o->precision, "fp16") == 0)
        return complain("--cuda-graph: not with --precision fp16, whose steps wait to know whether "
                        "gradients are finite"),
               EXIT_USAGE;
    if (o->dry_run == 1)
        return dry_run(o);
    r->config = dump_config(o, TRAIN);
    if (!r->config || !stepper_begin(&r->t, o))
        return complain("out of memory"), EXIT_FAILED;
    grd_scope *scope = open_scope(o);
    const int result = prepare_and_train(r);
    grd_scope_end(scope);
    return result;
}

int run_train(options *o)
{
    run r = { 0 };
    if (o->num_arguments > 0)
        return complain("what is \"%s\"?", o->arguments[0]), EXIT_USAGE;
    if (o->replay || o->output)
        return run_replay(o);
    int status = folder_find(&r.folder, o);
    if (status == 0 && o->dump_config == 1) {
        char *text = dump_config(o, TRAIN);
        printf("%s\n", text);
        free(text);
    } else if (status == 0) {
        status = begin(o, &r);
    }
    free(r.config);
    stepper_end(&r.t);
    return status;
}
