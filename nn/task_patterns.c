/* Where the answers of toy tasks stand: what attention has to look at. */
#include "nn/attention.h"
#include "nn/files.h"
#include "nn/tasks.h"

#include <string.h>

/* ---- One query of each task ---- */

void grdi_mark_copied(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)s;
    if (t >= n)
        keys[t - n] = true;
}

void grdi_mark_mirrored(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)s;
    keys[n - 1 - t] = true;
}

/* All of the digit that comes next: where the question has it twice, either will do. */
void grdi_mark_next_smallest(const grdi_task *task, const int64_t *s, int64_t n, int64_t t,
                             bool *keys)
{
    (void)task;
    for (int64_t j = 0; t >= n && j < n; j++) {
        int64_t smaller = 0, same = 0;
        for (int64_t i = 0; i < n; i++) {
            smaller += s[i] < s[j];
            same += s[i] == s[j];
        }
        keys[j] = smaller <= t - n && t - n < smaller + same;
    }
}

/* Those of the same place from the end. */
static void mark_place(int64_t n, int64_t place, bool *keys)
{
    keys[n - 1 - place] = keys[2 * n - place] = true;
}

void grdi_mark_digits(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)s;
    const int64_t place = t - (2 * n + 1);
    if (place >= 0) /* the sum's first digit is what the highest ones carry */
        mark_place(n, place < n ? place : n - 1, keys);
}

void grdi_mark_carry(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)s;
    const int64_t place = t - (2 * n + 1);
    if (place > 0)
        mark_place(n, place - 1, keys);
}

void grdi_mark_value(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task;
    for (int64_t pair = 0; t >= 2 * n && t % 2 == 0 && pair < n; pair++)
        keys[2 * pair + 1] = s[2 * pair] == s[t];
}

void grdi_mark_own_key(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)s;
    if (t < 2 * n && t % 2)
        keys[t - 1] = true;
}

void grdi_mark_after_same(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)n;
    for (int64_t j = 1; j <= t; j++)
        keys[j] = s[j - 1] == s[t];
}

void grdi_mark_previous(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)s, (void)n;
    if (t > 0)
        keys[t - 1] = true;
}

/* Counting back: the first bracket that nothing after it closes. */
void grdi_mark_last_open(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    int64_t closed = 0, j = t;
    if (!task->asked(task, s, n, t))
        return;
    for (; j >= 0 && (grdi_is_closing(s[j]) || closed > 0); j--)
        closed += grdi_is_closing(s[j]) ? 1 : -1;
    if (j >= 0)
        keys[j] = true;
}

void grdi_mark_same(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task;
    for (int64_t j = 0; t > 0 && j <= n; j++)
        keys[j] = j == 0 || s[j] == s[t];
}

void grdi_mark_operands(const grdi_task *task, const int64_t *s, int64_t n, int64_t t, bool *keys)
{
    (void)task, (void)s, (void)n;
    keys[0] = keys[1] = t == 2;
}

/* ---- All of a batch ---- */

static const char op[] = "data_pattern";

int64_t grd_data_num_patterns(const grd_data *data)
{
    int64_t count = 0;
    while (data && data->task && count < GRDI_MOST_PATTERNS && data->task->patterns[count].name)
        count++;
    return count;
}

static bool check(const grd_data *data, int64_t i, const grd_tensor *inputs)
{
    if (!data || !inputs)
        return grdi_fail_null(op);
    if (i < 0 || i >= grd_data_num_patterns(data))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "%s has no pattern %lld, but %lld", data->source,
                         (long long)i, (long long)grd_data_num_patterns(data));
    const int64_t rank = grd_tensor_rank(inputs);
    if (grd_tensor_dtype(inputs) != GRD_I64)
        return grdi_fail(GRD_ERROR_DTYPE, op, "inputs are %s, expected i64",
                         grdi_dtype_name(grd_tensor_dtype(inputs)));
    return ((rank == 1 || rank == 2) && grd_tensor_size(inputs, -1) == data->context) ||
           grdi_fail(GRD_ERROR_SHAPE, op, "inputs are %s, expected (B, T) or (T) of T = %lld",
                     grdi_size_text(inputs).chars, (long long)data->context);
}

/* One sequence: its keys (T, T), and which queries have one. */
static void mark_all(const grd_data *data, int64_t i, const int64_t *s, bool *keys, bool *queries)
{
    const int64_t context = data->context;
    for (int64_t t = 0; t < context; t++) {
        data->task->patterns[i].mark(data->task, s, data->length, t, keys + t * context);
        queries[t] = memchr(keys + t * context, true, (size_t)context);
    }
}

/* From plain arrays: tokens, keys and queries of all rows, on the inputs' device. */
static grd_task_pattern upload(const bool *keys, const bool *queries, int64_t rows, int64_t context,
                               grd_device *device)
{
    const grd_tensor *all =
        grd_from_bool(keys, rows * context * context, GRD_SHAPE(rows, 1, context, context));
    const grd_tensor *counts = grd_from_bool(queries, rows * context, GRD_SHAPE(rows, context));
    if (!all || !counts)
        return (grd_task_pattern){ 0 };
    return (grd_task_pattern){ .keys = grd_to_device(all, device),
                               .queries = grd_to_device(counts, device) };
}

static grd_task_pattern mark_rows(const grd_data *data, int64_t i, const grd_tensor *inputs)
{
    const int64_t context = data->context, rows = grd_tensor_count(inputs) / context;
    int64_t *tokens = grdi_scratch(op, (size_t)(rows * context), sizeof *tokens);
    bool *keys = grdi_scratch(op, (size_t)(rows * context), (size_t)context);
    bool *queries = grdi_scratch(op, (size_t)(rows * context), sizeof *queries);
    if (!tokens || !keys || !queries || grd_read_i64(inputs, tokens, rows * context) != GRD_OK)
        return (grd_task_pattern){ 0 };
    memset(keys, 0, (size_t)(rows * context * context));
    for (int64_t row = 0; row < rows; row++)
        mark_all(data, i, tokens + row * context, keys + row * context * context,
                 queries + row * context);
    return upload(keys, queries, rows, context, grdi_device(inputs));
}

grd_task_pattern grd_data_pattern(const grd_data *data, int64_t i, const grd_tensor *inputs)
{
    const grd_task_pattern failed = { 0 };
    if (grdi_latched() || !check(data, i, inputs))
        return failed;
    grd_scope scope;
    grdi_scope_open(&scope);
    const grd_task_pattern made = mark_rows(data, i, inputs);
    if (!grdi_hand_over(&scope, (grd_tensor *[]){ made.keys, made.queries }, 2))
        return failed;
    return (grd_task_pattern){ data->task->patterns[i].name, made.keys, made.queries };
}

grd_task_pattern grd_at_task_pattern(grd_task_pattern result, const char *file, int line)
{
    if (!result.keys)
        grdi_note_site(file, line);
    return result;
}
