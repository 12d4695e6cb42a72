/* Training as one does it: text, dropout, gradient accumulation by token count, groups with rates of their own,
 * validation without gradients, resume to the same bits, Ctrl-C. */
#include <gradus/gradus.h>
#include <signal.h>
#include <stdlib.h>

enum { MICRO_BATCHES = 4, VALIDATE_EVERY = 200 };

static grd_schedule schedule = {
    .shape = GRD_COSINE, .lr = 1e-3, .min_lr = 1e-4, .warmup_steps = 100, .total_steps = 2000 };

static volatile sig_atomic_t interrupted;

static void interrupt(int signal_number)
{
    interrupted = signal_number;
}

typedef struct run {
    grd_module *model;
    grd_optimizer *optimizer;
    grd_rng *rng;
    grd_data *train, *validation;
    int64_t step;
} run;

/* Adds this micro-batch's gradients to what is there; returns the summed loss. */
static double accumulate(const run *r, grd_batch batch)
{
    grd_scope *scope = grd_scope_begin();
    grd_tensor *loss = grd_cross_entropy(grd_forward(r->model, batch.inputs), batch.targets,
                                         &(grd_cross_entropy_options){ .reduction = GRD_SUM });
    grd_backward(loss);
    double value = grd_item(loss);
    grd_scope_end(scope);
    return value;
}

static grd_status train_step(run *r)
{
    grd_scope *scope = grd_scope_begin();
    double loss = 0, tokens = 0;
    for (int i = 0; i < MICRO_BATCHES; i++) {
        grd_batch batch = grd_batch_at(r->train, r->step * MICRO_BATCHES + i);
        loss += accumulate(r, batch);
        tokens += (double)batch.tokens;
    }
    double lr = grd_schedule_at(&schedule, r->step);
    grd_scale_grad(r->model, 1 / tokens); /* a mean over tokens, not a mean of means */
    double norm = grd_clip_grad_norm(r->model, 1.0);
    grd_optimizer_step(r->optimizer, lr);
    if (r->step % 20 == 0)
        printf("%5d  loss %.4f  norm %.3f  lr %.2e\n", (int)r->step, loss / tokens, norm, lr);
    return grd_scope_end(scope);
}

static double validate(const run *r)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    grd_module_eval(r->model);
    double loss = 0, tokens = 0;
    for (int64_t i = 0; i < grd_data_batches(r->validation); i++) {
        grd_scope *pass = grd_scope_begin();
        grd_batch batch = grd_batch_at(r->validation, i);
        loss += grd_item(grd_cross_entropy(grd_forward(r->model, batch.inputs), batch.targets,
                                           &(grd_cross_entropy_options){ .reduction = GRD_SUM }));
        tokens += (double)batch.tokens;
        grd_scope_end(pass);
    }
    grd_module_train(r->model, r->rng);
    grd_scope_end(scope);
    return loss / tokens;
}

/* training_loop [TEXT [STEPS]] */
int main(int argc, char **argv)
{
    signal(SIGINT, interrupt); /* the library installs no handler */
    signal(SIGTERM, interrupt);

    grd_scope *all = grd_scope_begin();
    const char *path = argc > 1 ? argv[1] : "jargon.txt";
    if (argc > 2) {
        schedule.total_steps = strtol(argv[2], NULL, 10);
        schedule.warmup_steps = schedule.total_steps / 20;
    }
    grd_text_options text = { .part = GRD_TRAIN, .batch_size = 16, .context = 64, .seed = 1 };
    run r = { .rng = grd_rng_create(1), .train = grd_data_text(path, &text) };
    text.part = GRD_VALIDATION;
    text.tokenizer = grd_data_tokenizer(r.train);
    r.validation = grd_data_text(path, &text);

    r.model = grd_transformer_create(r.rng, &(grd_transformer_options){
        .vocab_size = grd_data_vocab_size(r.train), .context = 64, .embed_dim = 128, .num_heads = 4, .num_layers = 4,
        .direction = GRD_CAUSAL, .activation = GRD_GELU, .norm_first = true, .dropout = 0.1 });
    r.optimizer = grd_adamw_create(r.model, &(grd_adam_options){
        .betas = { 0.9, 0.95 }, .weight_decay = 0.1, .decay_matrices_only = true,
        .groups = { { .names = "*_embedding.weight", .lr_factor = 0.3, .no_decay = true },
                    { .names = "head.weight", .lr_factor = 2 } } });
    grd_module_train(r.model, r.rng);

    const grd_checkpoint checkpoint = {
        .model = r.model, .optimizer = r.optimizer, .rng = r.rng, .step = &r.step,
        .data = r.train, .schedule = &schedule, .tokenizer = grd_data_tokenizer(r.train) };
    if (grd_load("weights.h5", &checkpoint) == GRD_ERROR_NO_FILE)
        grd_error_take();

    while (r.step < schedule.total_steps && !interrupted && train_step(&r) == GRD_OK) {
        r.step++;
        if (r.step % VALIDATE_EVERY == 0)
            printf("%5d  validation loss %.4f\n", (int)r.step, validate(&r));
    }

    if (grd_save("weights.h5", &checkpoint) != GRD_OK) { /* writes nothing if anything failed above */
        fprintf(stderr, "%s\n", grd_error_message());
        return 1;
    }
    printf("saved after step %d; run again to go on\n", (int)r.step);
    grd_scope_end(all);
    return interrupted ? 128 + interrupted : 0;
}
