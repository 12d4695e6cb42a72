/* Data sets from inside: what makes a row, and what a checkpoint notes of where rows come from. */
#ifndef GRDI_DATA_H
#define GRDI_DATA_H

#include "nn/tokenizer.h"

/* Makes row number `row`: `context` inputs and targets, which are -100 before. A pure function. */
typedef void (*grdi_row)(const grd_data *data, int64_t row, int64_t *inputs, int64_t *targets);

struct grd_data {
    grdi_object object;
    grdi_row make_row;
    grd_tokenizer *tokenizer; /* held */
    grd_part part;
    bool causal;
    int64_t batch_size, context;
    int64_t rows; /* in one pass; validation ends with it where it is finite */
    bool finite;
    uint64_t seed;
    char source[32]; /* "text", or the task's name */
    char digest[65]; /* of the text; of the task's definition */

    int32_t *tokens; /* text.c: of the part */
    int64_t num_tokens;

    const struct grdi_task *task; /* tasks.c */
    int64_t length;
};

/* Empty but for what the arguments say; the tokenizer is held. */
grd_data *grdi_data_create(const char *op, grdi_row make_row, const grd_tokenizer *tokenizer);

/* Whether a batch may be this large; false with an error. */
bool grdi_check_batch(const char *op, grd_part part, int64_t batch_size, int64_t context);

/* SHA-256 in hexadecimal. */
void grdi_digest(const void *data, size_t size, char out[65]);

/* Random numbers of a row: a stream of its own for each. */
typedef struct grdi_stream {
    uint64_t key, row;
    uint32_t block, words[4];
    int left;
} grdi_stream;

uint32_t grdi_stream_next(grdi_stream *stream);
int64_t grdi_stream_below(grdi_stream *stream, int64_t limit); /* 0 < limit < 2^31 */

#endif
