/* Data of toy tasks: rows that are drawn, each from a stream of its own. */
#include "nn/tasks.h"

#include <stdio.h>
#include <string.h>

enum {
    TRAIN_ROWS = 16384, /* what is called one pass of data without end */
    VALIDATION_ROWS = 1024,
};

/* Independent of the seed, so that what one run trains on no other validates with. */
static bool is_unseen(const int64_t *s, int64_t count, int tenths)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int64_t i = 0; i < count; i++)
        hash = (hash ^ (uint64_t)s[i]) * UINT64_C(0x100000001b3);
    return (hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 32 <
           UINT32_MAX / 10 * (uint64_t)tenths;
}

/* Draws until it is of the wanted part. Even the shortest questions are many enough (100) for both
 * parts to be found soon. */
static void draw(const grd_data *data, grdi_stream *stream, int64_t *s)
{
    const grdi_task *task = data->task;
    do
        task->draw(stream, task, data->length, s);
    while (is_unseen(s, task->question(data->length), task->unseen) !=
           (data->part == GRD_VALIDATION));
}

static void task_row(const grd_data *data, int64_t row, int64_t *inputs, int64_t *targets)
{
    int64_t s[2 * GRDI_MAX_CONTEXT];
    grdi_stream stream = { .key = data->seed, .row = (uint64_t)row };
    draw(data, &stream, s);
    const int64_t *answers = s + (data->task->bidirectional ? data->context : 1);
    for (int64_t t = 0; t < data->context; t++) {
        inputs[t] = s[t];
        if (data->task->asked(data->task, s, data->length, t))
            targets[t] = answers[t];
    }
}

static const grdi_task *find(const char *op, const char *name)
{
    char names[128] = "";
    for (int i = 0; i < grdi_num_tasks; i++) {
        if (strcmp(grdi_tasks[i].name, name) == 0)
            return &grdi_tasks[i];
        const size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", grdi_tasks[i].name);
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
