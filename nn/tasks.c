/* Toy tasks: small generated languages whose answers are known, and with them what attention has to
 * look at. data.h has their layouts. */
#include "nn/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_CONTEXT = 1024,
    MAX_SYMBOLS = 40,
    UNSEEN = 10,        /* one question in so many is kept for validation */
    TRAIN_ROWS = 16384, /* what is called one pass of data without end */
    VALIDATION_ROWS = 1024,
};

/* What a task draws: the sequence s[0 .. context], of which the first `context` are the inputs and
 * each next one may be asked for. */
typedef struct grdi_task {
    const char *name, *alphabet; /* rising: a symbol's token is its place */
    int64_t length, shortest, longest;
    bool bidirectional; /* targets stand where the inputs do, s[context .. 2 context - 1] */
    int64_t (*context)(int64_t n);
    int64_t (*question)(int64_t n); /* the first so many tokens tell sequences apart */
    void (*draw)(grdi_stream *stream, const struct grdi_task *task, int64_t n, int64_t *s);
    bool (*asked)(const int64_t *s, int64_t n, int64_t t);
} grdi_task;

static int64_t token(const grdi_task *task, char symbol)
{
    return strchr(task->alphabet, symbol) - task->alphabet;
}

static void draw_any(grdi_stream *stream, int64_t symbols, int64_t count, int64_t *s)
{
    for (int64_t i = 0; i < count; i++)
        s[i] = grdi_stream_below(stream, symbols);
}

/* `count` different ones of first .. first + symbols - 1. */
static void draw_different(grdi_stream *stream, int64_t first, int64_t symbols, int64_t count,
                           int64_t *s)
{
    int64_t left[MAX_SYMBOLS];
    for (int64_t i = 0; i < symbols; i++)
        left[i] = first + i;
    for (int64_t i = 0; i < count; i++) {
        const int64_t chosen = i + grdi_stream_below(stream, symbols - i);
        s[i] = left[chosen];
        left[chosen] = left[i];
    }
}

static int64_t once(int64_t n)
{
    return n;
}

static int64_t twice(int64_t n)
{
    return 2 * n;
}

/* ---- copy and sort: symbols, a bar, the answer ---- */

static void draw_copy(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    draw_any(stream, token(task, '|'), n, s);
    s[n] = token(task, '|');
    memcpy(s + n + 1, s, (size_t)n * sizeof *s);
}

static int compare(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void draw_sort(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    draw_copy(stream, task, n, s);
    qsort(s + n + 1, (size_t)n, sizeof *s, compare);
}

static bool asked_after_bar(const int64_t *s, int64_t n, int64_t t)
{
    (void)s;
    return t >= n;
}

/* ---- reverse: the answer stands under the question ---- */

static void draw_reverse(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    draw_any(stream, (int64_t)strlen(task->alphabet), n, s);
    for (int64_t i = 0; i < n; i++)
        s[n + i] = s[n - 1 - i];
}

static bool asked_always(const int64_t *s, int64_t n, int64_t t)
{
    (void)s, (void)n, (void)t;
    return true;
}

/* ---- add: 123+456=9750, the sum from its last digit ---- */

static int64_t sum_context(int64_t n)
{
    return 3 * n + 2;
}

static int64_t sum_question(int64_t n)
{
    return 2 * n + 2;
}

static void draw_add(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    const int64_t zero = token(task, '0');
    int64_t carry = 0;
    for (int64_t i = 2 * n; i >= 0; i--)
        s[i] = zero + grdi_stream_below(stream, 10);
    s[n] = token(task, '+');
    s[2 * n + 1] = token(task, '=');
    for (int64_t i = 0; i < n; i++) {
        const int64_t sum = s[n - 1 - i] + s[2 * n - i] - 2 * zero + carry;
        s[2 * n + 2 + i] = zero + sum % 10;
        carry = sum / 10;
    }
    s[3 * n + 2] = zero + carry;
}

static bool asked_after_sum(const int64_t *s, int64_t n, int64_t t)
{
    (void)s;
    return t >= 2 * n + 1;
}

/* ---- recall: pairs of a letter and a digit, then the letters again in another order ---- */

static int64_t recall_context(int64_t n)
{
    return 4 * n - 1;
}

static void draw_recall(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    const int64_t a = token(task, 'a'), letters = (int64_t)strlen(task->alphabet) - a;
    int64_t keys[MAX_SYMBOLS], order[MAX_SYMBOLS];
    draw_different(stream, a, letters, n, keys);
    draw_different(stream, 0, n, n, order);
    for (int64_t i = 0; i < n; i++) {
        s[2 * i] = keys[i];
        s[2 * i + 1] = grdi_stream_below(stream, a);
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(s + 2 * (n + i), s + 2 * order[i], 2 * sizeof *s);
}

static bool asked_at_keys(const int64_t *s, int64_t n, int64_t t)
{
    (void)s;
    return t >= 2 * n && t % 2 == 0;
}

/* ---- induction: different letters, over and over, in a period that changes ---- */

static int64_t shortest_period(int64_t n)
{
    return n * 3 / 7;
}

static void draw_induction(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    const int64_t least = shortest_period(n);
    const int64_t period = least + grdi_stream_below(stream, n - least + 1);
    draw_different(stream, 0, (int64_t)strlen(task->alphabet), period, s);
    for (int64_t i = period; i <= 2 * n; i++)
        s[i] = s[i - period];
}

/* Once the first letter has come again, the period is known. */
static bool asked_in_repetition(const int64_t *s, int64_t n, int64_t t)
{
    (void)n;
    for (int64_t i = 0; i < t; i++)
        if (s[i] == s[t])
            return true;
    return false;
}

static const grdi_task tasks[] = {
    { "copy", "abcdefghijklmnopqrstuvwxyz|", 12, 2, 500, false, twice, once, draw_copy,
      asked_after_bar },
    { "reverse", "abcdefghijklmnopqrstuvwxyz", 16, 2, 1000, true, once, once, draw_reverse,
      asked_always },
    { "sort", "0123456789|", 8, 2, 500, false, twice, once, draw_sort, asked_after_bar },
    { "add", "+0123456789=", 3, 1, 300, false, sum_context, sum_question, draw_add,
      asked_after_sum },
    { "recall", "0123456789abcdefghijklmnop", 8, 2, 16, false, recall_context, twice, draw_recall,
      asked_at_keys },
    { "induction", "abcdefghijklmnopqrstuvwxyz", 14, 5, 26, false, twice, twice, draw_induction,
      asked_in_repetition },
};
enum { TASKS = sizeof tasks / sizeof tasks[0] };

/* ---- Rows ---- */

/* Independent of the seed, so that what one run trains on no other validates with. */
static bool is_unseen(const int64_t *s, int64_t count)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int64_t i = 0; i < count; i++)
        hash = (hash ^ (uint64_t)s[i]) * UINT64_C(0x100000001b3);
    return (hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 32 < UINT32_MAX / UNSEEN;
}

/* Draws until it is of the wanted part. Even the shortest questions are many enough (100) for both
 * parts to be found soon. */
static void draw(const grd_data *data, grdi_stream *stream, int64_t *s)
{
    const grdi_task *task = data->task;
    do
        task->draw(stream, task, data->length, s);
    while (is_unseen(s, task->question(data->length)) != (data->part == GRD_VALIDATION));
}

static void task_row(const grd_data *data, int64_t row, int64_t *inputs, int64_t *targets)
{
    int64_t s[2 * MAX_CONTEXT];
    grdi_stream stream = { .key = data->seed, .row = (uint64_t)row };
    draw(data, &stream, s);
    const int64_t *answers = s + (data->task->bidirectional ? data->context : 1);
    for (int64_t t = 0; t < data->context; t++) {
        inputs[t] = s[t];
        if (data->task->asked(s, data->length, t))
            targets[t] = answers[t];
    }
}

static const grdi_task *find(const char *op, const char *name)
{
    char names[128] = "";
    for (int i = 0; i < TASKS; i++) {
        if (strcmp(tasks[i].name, name) == 0)
            return &tasks[i];
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", tasks[i].name);
    }
    return grdi_fail(GRD_ERROR_ARGUMENT, op, "there is no task \"%.40s\"; there are %s", name,
                     names);
}

static bool check_length(const char *op, const grdi_task *task, int64_t length)
{
    return (length >= task->shortest && length <= task->longest) ||
           grdi_fail(GRD_ERROR_ARGUMENT, op, "%s: length must be %lld to %lld, not %lld",
                     task->name, (long long)task->shortest, (long long)task->longest,
                     (long long)length);
}

static void digest_task(grd_data *data)
{
    char definition[128];
    const int length = snprintf(definition, sizeof definition, "%s %s %lld 1", data->task->name,
                                data->task->alphabet, (long long)data->length);
    grdi_digest(definition, (size_t)length, data->digest);
}

static grd_data *make(const char *op, const grdi_task *task, int64_t length,
                      const grd_task_options *options)
{
    const grd_tokenizer *tokenizer = grdi_tokenizer_of(op, task->alphabet, strlen(task->alphabet));
    grd_data *data = grdi_data_create(op, task_row, tokenizer);
    if (!data)
        return NULL;
    data->task = task;
    data->length = length;
    data->part = options->part;
    data->causal = !task->bidirectional;
    data->batch_size = options->batch_size;
    data->context = task->context(length);
    data->rows = options->part == GRD_TRAIN ? TRAIN_ROWS : VALIDATION_ROWS;
    data->seed = options->seed;
    snprintf(data->source, sizeof data->source, "%s", task->name);
    digest_task(data);
    return data;
}

grd_data *grd_data_task(const char *name, const grd_task_options *options)
{
    static const char op[] = "data_task";
    if (!name || !options)
        return grdi_fail_null(op);
    const grdi_task *task = grdi_may_make(op) ? find(op, name) : NULL;
    if (!task)
        return NULL;
    const int64_t length = options->length ? options->length : task->length;
    if (!check_length(op, task, length) ||
        !grdi_check_batch(op, options->part, options->batch_size, task->context(length)))
        return NULL;
    return make(op, task, length, options);
}
