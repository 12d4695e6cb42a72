/* Text: windows of a file, in an order that each epoch shuffles anew. */
#include "nn/data.h"
#include "nn/files.h"
#include "tensor/philox.h"

#include <stdio.h>
#include <string.h>

/* A permutation of 0 .. count - 1 that needs no table: a Feistel network over the next even power
 * of two, walked until it lands inside. */
static int64_t shuffled(uint64_t key, uint64_t epoch, int64_t at, int64_t count)
{
    unsigned half = 1;
    while ((INT64_C(1) << 2 * half) < count)
        half++;
    const uint64_t mask = (UINT64_C(1) << half) - 1;
    uint64_t x = (uint64_t)at;
    do {
        uint64_t left = x >> half, right = x & mask;
        for (uint32_t round = 0; round < 6; round++) {
            uint32_t block[4] = { (uint32_t)right, round, (uint32_t)epoch,
                                  (uint32_t)(epoch >> 32) };
            grdi_philox(block, key);
            const uint64_t swapped = left ^ (block[0] & mask);
            left = right;
            right = swapped;
        }
        x = left << half | right;
    } while ((int64_t)x >= count);
    return (int64_t)x;
}

static void window(const grd_data *data, int64_t start, int64_t *inputs, int64_t *targets)
{
    for (int64_t t = 0; t < data->context; t++) {
        const int64_t at = start + t;
        inputs[t] = at < data->num_tokens ? data->tokens[at] : 0;
        if (at + 1 < data->num_tokens)
            targets[t] = data->tokens[at + 1];
    }
}

/* Where an epoch's windows start: elsewhere in each, so that no text always lies at an edge. */
static int64_t epoch_start(const grd_data *data, uint64_t epoch)
{
    const int64_t slack = data->num_tokens - 1 - data->rows * data->context;
    grdi_stream stream = { .key = data->seed ^ UINT64_C(0x9e3779b97f4a7c15), .row = epoch };
    return slack > 0 ? grdi_stream_below(&stream, slack + 1) : 0;
}

static void training_row(const grd_data *data, int64_t row, int64_t *inputs, int64_t *targets)
{
    const uint64_t epoch = (uint64_t)(row / data->rows);
    const int64_t at = shuffled(data->seed, epoch, row % data->rows, data->rows);
    window(data, epoch_start(data, epoch) + at * data->context, inputs, targets);
}

static void validation_row(const grd_data *data, int64_t row, int64_t *inputs, int64_t *targets)
{
    window(data, row * data->context, inputs, targets);
}

/* Training windows are whole, one fewer than fit, so that their start has room to move; validation
 * covers every token once. */
static bool count_rows(const char *op, const char *path, grd_data *data)
{
    const int64_t steps = data->num_tokens - 1, whole = steps / data->context;
    if (steps < 1 || (data->part == GRD_TRAIN && whole < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "%s: %lld tokens are too few: a context of %lld needs %lld in the first "
                         "90%% and 2 in the last 10%%",
                         path, (long long)data->num_tokens, (long long)data->context,
                         (long long)data->context + 1);
    if (data->part == GRD_TRAIN)
        data->rows = whole > 1 ? whole - 1 : whole;
    else
        data->rows = (steps + data->context - 1) / data->context;
    return true;
}

/* Keeps the part's tokens. */
static bool split(const char *op, grd_data *data, const int32_t *tokens, int64_t count)
{
    const int64_t cut = count / 10 * 9 + count % 10 * 9 / 10;
    const int64_t first = data->part == GRD_TRAIN ? 0 : cut;
    const int64_t kept = data->part == GRD_TRAIN ? cut : count - cut;
    const size_t bytes = (size_t)kept * sizeof *tokens;
    data->tokens = kept ? grdi_allocate(bytes) : NULL;
    if (!data->tokens)
        return !kept || grdi_fail_memory(op, bytes);
    memcpy(data->tokens, tokens + first, bytes);
    data->num_tokens = kept;
    return true;
}

static bool load_tokens(const char *op, const char *path, grd_data *data, const grdi_bytes *text)
{
    const char *chars = (const char *)text->data;
    const size_t bytes = (text->size + 1) * sizeof(int32_t);
    int32_t *tokens = grdi_allocate(bytes);
    if (!tokens)
        return grdi_fail_memory(op, bytes);
    const int64_t count = grdi_encode(op, data->tokenizer, chars, text->size, tokens);
    if (count < 0)
        grdi_error_context(" (in %s)", path);
    const bool done = count >= 0 && split(op, data, tokens, count);
    grdi_free(tokens, bytes);
    return done;
}

static grd_tokenizer *characters_of(const char *op, const char *path, const grdi_bytes *text)
{
    grd_tokenizer *tokenizer = grdi_tokenizer_of(op, (const char *)text->data, text->size);
    if (!tokenizer)
        grdi_error_context(" (in %s)", path);
    return tokenizer;
}

static grd_data *make(const char *op, const char *path, const grd_text_options *options)
{
    const size_t limit = (size_t)1 << 30;
    const grdi_bytes *text = grdi_file_read(op, path, limit);
    const grd_tokenizer *tokenizer = options->tokenizer;
    if (text && !tokenizer)
        tokenizer = characters_of(op, path, text);
    grd_data *data = text ? grdi_data_create(op, training_row, tokenizer) : NULL;
    if (!data)
        return NULL;
    data->part = options->part;
    data->finite = options->part == GRD_VALIDATION;
    data->make_row = data->finite ? validation_row : training_row;
    data->batch_size = options->batch_size;
    data->context = options->context;
    data->seed = options->seed;
    snprintf(data->source, sizeof data->source, "text");
    grdi_digest(text->data, text->size, data->digest);
    return load_tokens(op, path, data, text) && count_rows(op, path, data) ? data : NULL;
}

grd_data *grd_data_text(const char *path, const grd_text_options *options)
{
    static const char op[] = "data_text";
    if (!path || !options)
        return grdi_fail_null(op);
    if (!grdi_may_make(op) ||
        !grdi_check_batch(op, options->part, options->batch_size, options->context))
        return NULL;

    grd_scope scope; /* the file and its tokens are done with at its end */
    grdi_scope_open(&scope);
    grd_data *data = grdi_retain(make(op, path, options));
    grd_scope_end(&scope);
    if (data)
        grdi_scope_own(&data->object);
    return data;
}
