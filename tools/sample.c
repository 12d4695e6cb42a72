/* gradus sample */
#include "tools/checkpoints.h"
#include "tools/evaluate.h"
#include "tools/setup.h"
#include "tools/terminal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- A text goes on ---- */

typedef struct writer {
    const grd_tokenizer *tokenizer;
    safe_text text;
} writer;

static bool write_token(int64_t token, void *user)
{
    writer *w = user;
    char bytes[64];
    const size_t size = grd_decode(w->tokenizer, &token, 1, bytes, sizeof bytes);
    safe_put(&w->text, bytes, size < sizeof bytes ? size : sizeof bytes - 1);
    fflush(w->text.out);
    return true;
}

/* Without a prompt a line begins, or, where texts have no lines, the first token. */
static grd_tensor *first_token(const grd_tokenizer *tokenizer)
{
    grd_tensor *line = grd_encode(tokenizer, "\n");
    if (line)
        return line;
    grd_error_take();
    return grd_from_i64((int64_t[]){ 0 }, 1, GRD_SHAPE(1));
}

static void write_text(const options *o, grd_module *model, const grd_tokenizer *tokenizer)
{
    const bool prompted = o->prompt && *o->prompt;
    const grd_tensor *prompt = prompted ? grd_encode(tokenizer, o->prompt) : first_token(tokenizer);
    writer w = { tokenizer, { .out = stdout } };
    if (prompted && prompt)
        safe_put(&w.text, o->prompt, strlen(o->prompt));
    grd_rng *rng = grd_rng_create((uint64_t)o->seed);
    const grd_generate_options how = {
        .temperature = o->temperature,
        .top_k = o->top_k,
        .on_token = write_token,
        .user = &w,
    };
    const grd_tensor *written = grd_generate(model, prompt, o->tokens, rng, &how);
    if (written) {
        safe_end(&w.text);
        fputc('\n', stdout);
    }
}

/* ---- A task: predictions beside the right answers ---- */

/* One row of a batch, read out. */
typedef struct row {
    int64_t *inputs, *targets, *guess;
    int64_t length;
} row;

static void print_tokens(const grd_tokenizer *tokenizer, const int64_t *tokens, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        safe_print(stdout, grd_token_text(tokenizer, tokens[i]));
}

static void print_asked(const grd_tokenizer *tokenizer, const row *r, const int64_t *tokens)
{
    for (int64_t i = 0; i < r->length; i++)
        if (r->targets[i] != -100)
            print_tokens(tokenizer, &tokens[i], 1);
}

static bool is_right(const row *r)
{
    for (int64_t i = 0; i < r->length; i++)
        if (r->targets[i] != -100 && r->targets[i] != r->guess[i])
            return false;
    return true;
}

/* A causal model's question ends where the first token is asked for; what follows is the answer
 * as far as it was given. Questions between answers are shown whole. */
static int64_t question_length(const grd_data *data, const row *r)
{
    int64_t first = 0;
    while (first < r->length && r->targets[first] == -100)
        first++;
    for (int64_t i = first; i < r->length; i++)
        if (r->targets[i] == -100)
            return r->length;
    return grd_data_causal(data) ? first + 1 : r->length;
}

static void print_row(const grd_data *data, const row *r)
{
    const grd_tokenizer *tokenizer = grd_data_tokenizer(data);
    fputs("  ", stdout);
    print_tokens(tokenizer, r->inputs, question_length(data, r));
    fputs("   right: ", stdout);
    print_asked(tokenizer, r, r->targets);
    fputs("   predicted: ", stdout);
    print_asked(tokenizer, r, r->guess);
    fputs(is_right(r) ? "   ok\n" : "   WRONG\n", stdout);
}

/* The first rows of a batch. */
static void print_rows(const grd_data *data, grd_batch batch, const grd_tensor *guess,
                       int64_t count)
{
    const int64_t n = grd_tensor_count(batch.inputs), length = grd_tensor_size(batch.inputs, 1);
    int64_t *all = malloc(3 * (size_t)n * sizeof *all);
    if (!all) {
        grd_fail(GRD_ERROR_MEMORY, "sample", "%d tokens", (int)n);
        return;
    }
    if (grd_read_i64(batch.inputs, all, n) == GRD_OK &&
        grd_read_i64(batch.targets, all + n, n) == GRD_OK &&
        grd_read_i64(guess, all + 2 * n, n) == GRD_OK)
        for (int64_t i = 0; i < count; i++)
            print_row(data, &(row){ all + i * length, all + n + i * length,
                                    all + 2 * n + i * length, length });
    free(all);
}

static void show_task(const options *o, const options *trained, grd_module *model)
{
    enum { SHOWN = 8 };
    const int64_t size = o->sequences < 100 ? o->sequences : 100,
                  count = (o->sequences + size - 1) / size;
    const grd_data *data = make_data(trained, GRD_VALIDATION, NULL, size);
    grd_module_eval(model);
    grd_scope *scope = grd_scope_begin_no_grad();
    const grd_batch batch = grd_batch_at(data, 0);
    const grd_tensor *guess = grd_argmax(grd_forward(model, batch.inputs), -1);
    print_rows(data, batch, guess, size < SHOWN ? size : SHOWN);
    const evaluation e = evaluate(model, data, count);
    if (grd_scope_end(scope) == GRD_OK)
        printf("%s: %.2f%% of %" PRId64 " unseen sequences right, loss %.4f\n", trained->task,
               100 * e.right, count * size, e.loss);
}

/* ---- ---- */

static grd_status sample(const options *o, options *trained, const char *path)
{
    grd_scope *scope = open_scope(o);
    grd_module *model = grd_load_transformer(path);
    if (model && trained->task)
        show_task(o, trained, model);
    else if (model)
        write_text(o, model, grd_load_tokenizer(path));
    return grd_scope_end(scope);
}

static bool override(options *trained, const options *o, const char *name)
{
    char text[64];
    const option *row = option_named(name, SAMPLE);
    return o->source[option_index(row)] == FROM_TABLE ||
           set_option(trained, row, option_text(o, row, text), FROM_COMMAND, name);
}

int run_sample(options *o)
{
    int64_t step;
    const char *path = weights_of(o);
    if (!path)
        return EXIT_USAGE;
    options trained;
    options_init(&trained);
    int status = read_checkpoint_options(&trained, path, &step);
    if (status == 0 && override(&trained, o, "task") && override(&trained, o, "length"))
        status = sample(o, &trained, path) == GRD_OK ? 0 : complain_of_library();
    options_free(&trained);
    return status;
}
