#include "nn/data.h"

#include "tensor/front.h"
#include "tensor/philox.h"
#include <nettle/sha2.h>
#include <stdio.h>

enum { IGNORED = -100 };

static void data_destroy(void *object)
{
    grd_data *data = object;
    grdi_release(data->tokenizer);
    if (data->tokens)
        grdi_free(data->tokens, (size_t)data->num_tokens * sizeof *data->tokens);
    grdi_free(data, sizeof *data);
}

static const grdi_type data_type = { "data", data_destroy };

grd_data *grdi_data_create(const char *op, grdi_row make_row, const grd_tokenizer *tokenizer)
{
    if (!tokenizer || !grdi_may_make(op))
        return NULL;
    grd_data *data = grdi_allocate(sizeof *data);
    if (!data)
        return grdi_fail_memory(op, sizeof *data);
    *data = (grd_data){ .make_row = make_row, .causal = true };
    data->tokenizer = grdi_retain((grd_tokenizer *)tokenizer);
    grdi_object_init(&data->object, &data_type);
    grdi_scope_own(&data->object);
    return data;
}

static bool check_positive(const char *op, const char *name, int64_t value)
{
    return value > 0 || grdi_fail(GRD_ERROR_ARGUMENT, op, "%s must be positive, not %lld", name,
                                  (long long)value);
}

bool grdi_check_batch(const char *op, grd_part part, int64_t batch_size, int64_t context)
{
    if (part != GRD_TRAIN && part != GRD_VALIDATION)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "there is no part %d", (int)part);
    if (!check_positive(op, "batch_size", batch_size) || !check_positive(op, "context", context))
        return false;
    return context <= INT32_MAX / batch_size ||
           grdi_fail(GRD_ERROR_ARGUMENT, op, "a batch of %lld x %lld tokens is too large",
                     (long long)batch_size, (long long)context);
}

void grdi_digest(const void *data, size_t size, char out[65])
{
    struct sha256_ctx context;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&context);
    sha256_update(&context, size, data);
    sha256_digest(&context, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

uint32_t grdi_stream_next(grdi_stream *stream)
{
    if (!stream->left) {
        stream->words[0] = (uint32_t)stream->row;
        stream->words[1] = (uint32_t)(stream->row >> 32);
        stream->words[2] = stream->block++;
        stream->words[3] = 0;
        grdi_philox(stream->words, stream->key);
        stream->left = 4;
    }
    return stream->words[--stream->left];
}

/* Lemire's: without bias, and mostly without a division. */
int64_t grdi_stream_below(grdi_stream *stream, int64_t limit)
{
    const uint32_t range = (uint32_t)limit, least = (0u - range) % range;
    uint64_t product;
    do
        product = (uint64_t)grdi_stream_next(stream) * range;
    while ((uint32_t)product < least);
    return (int64_t)(product >> 32);
}

int64_t grd_data_batches(const grd_data *data)
{
    return data ? (data->rows + data->batch_size - 1) / data->batch_size : 0;
}

int64_t grd_data_vocab_size(const grd_data *data)
{
    return data ? data->tokenizer->size : 0;
}

int64_t grd_data_context(const grd_data *data)
{
    return data ? data->context : 0;
}

bool grd_data_causal(const grd_data *data)
{
    return data && data->causal;
}

const grd_tokenizer *grd_data_tokenizer(const grd_data *data)
{
    return data ? data->tokenizer : NULL;
}

static int64_t count_asked(const int64_t *targets, int64_t count)
{
    int64_t asked = 0;
    for (int64_t i = 0; i < count; i++)
        asked += targets[i] != IGNORED;
    return asked;
}

static void make_rows(const grd_data *data, int64_t first, int64_t rows, int64_t *inputs,
                      int64_t *targets)
{
    const int64_t count = rows * data->context;
    for (int64_t i = 0; i < count; i++)
        targets[i] = IGNORED;
    for (int64_t r = 0; r < rows; r++)
        data->make_row(data, first + r, inputs + r * data->context, targets + r * data->context);
}

static grd_tensor *upload(const int64_t *values, int64_t rows, int64_t context)
{
    grd_tensor *x = grdi_tensor_create("batch_at", &GRD_SHAPE(rows, context), GRD_I64,
                                       grdi_self.scope->modes.device);
    return x && grdi_upload("batch_at", x, values) ? x : NULL;
}

/* The rows of batch i: all of a batch, or what is left where the data end. */
static bool choose_rows(const grd_data *data, int64_t i, int64_t *first, int64_t *rows)
{
    if (i < 0 || i > INT64_MAX / data->batch_size - 1)
        return grdi_fail(GRD_ERROR_ARGUMENT, "batch_at", "there is no batch %lld", (long long)i);
    const int64_t at = data->finite ? i % grd_data_batches(data) : i;
    *first = at * data->batch_size;
    *rows = data->batch_size;
    if (data->finite && *rows > data->rows - *first)
        *rows = data->rows - *first;
    return true;
}

grd_batch grd_batch_at(const grd_data *data, int64_t i)
{
    grd_batch batch = { 0 };
    int64_t first = 0, rows = 0;
    if (!data)
        grdi_fail_null("batch_at");
    if (!data || !grdi_may_make("batch_at") || !choose_rows(data, i, &first, &rows))
        return batch;
    const int64_t count = rows * data->context;
    const size_t bytes = 2 * (size_t)count * sizeof(int64_t);
    int64_t *inputs = grdi_allocate(bytes), *targets = inputs ? inputs + count : NULL;
    if (!inputs) {
        grdi_fail_memory("batch_at", bytes);
        return batch;
    }
    make_rows(data, first, rows, inputs, targets);
    batch.inputs = upload(inputs, rows, data->context);
    batch.targets = upload(targets, rows, data->context);
    batch.tokens = count_asked(targets, count);
    grdi_free(inputs, bytes);
    return batch.inputs && batch.targets ? batch : (grd_batch){ 0 };
}

grd_batch grd_at_batch(grd_batch result, const char *file, int line)
{
    if (!result.inputs)
        grdi_note_site(file, line);
    return result;
}
