/* Toy tasks: small generated languages whose answers are known, and with them what attention has to
 * look at. data.h has their layouts. */
#include "nn/tasks.h"

#include <stdlib.h>
#include <string.h>

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
    int64_t left[GRDI_MAX_TASK_SYMBOLS];
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

static bool asked_after_bar(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task, (void)s;
    return t >= n;
}

/* ---- reverse: the answer stands under the question ---- */

static void draw_reverse(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    draw_any(stream, (int64_t)strlen(task->alphabet), n, s);
    for (int64_t i = 0; i < n; i++)
        s[n + i] = s[n - 1 - i];
}

static bool asked_always(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task, (void)s, (void)n, (void)t;
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

static bool asked_after_sum(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task, (void)s;
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
    int64_t keys[GRDI_MAX_TASK_SYMBOLS], order[GRDI_MAX_TASK_SYMBOLS];
    draw_different(stream, a, letters, n, keys);
    draw_different(stream, 0, n, n, order);
    for (int64_t i = 0; i < n; i++) {
        s[2 * i] = keys[i];
        s[2 * i + 1] = grdi_stream_below(stream, a);
    }
    for (int64_t i = 0; i < n; i++)
        memcpy(s + 2 * (n + i), s + 2 * order[i], 2 * sizeof *s);
}

static bool asked_at_keys(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task, (void)s;
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
static bool asked_in_repetition(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task, (void)n;
    for (int64_t i = 0; i < t; i++)
        if (s[i] == s[t])
            return true;
    return false;
}

/* ---- dyck: brackets of two kinds, n pairs, at most so deep; asked for which one closes ---- */

static int64_t brackets_context(int64_t n)
{
    return 2 * n - 1;
}

static void draw_dyck(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    int64_t open[GRDI_MOST_OPEN], depth = 0;
    const int64_t round = token(task, '(');
    for (int64_t i = 0; i < 2 * n; i++) {
        const bool must_close = depth == 2 * n - i || depth == GRDI_MOST_OPEN;
        if (depth > 0 && (must_close || grdi_stream_below(stream, 2))) {
            s[i] = open[--depth] + 1;
        } else {
            s[i] = round + 2 * grdi_stream_below(stream, 2);
            open[depth++] = s[i];
        }
    }
}

static bool asked_before_closing(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task;
    return t == 2 * n - 2 || grdi_is_closing(s[t + 1]);
}

/* ---- histogram: under each letter stands how often it occurs ---- */

static int64_t marked_context(int64_t n)
{
    return n + 1;
}

static void draw_histogram(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    const int64_t a = token(task, 'a'), one = token(task, '1'), context = n + 1;
    s[0] = s[context] = token(task, '^');
    draw_any(stream, (int64_t)strlen(task->alphabet) - a, n, s + 1);
    for (int64_t i = 1; i <= n; i++)
        s[i] += a;
    for (int64_t i = 1; i <= n; i++) {
        s[context + i] = one - 1;
        for (int64_t j = 1; j <= n; j++)
            s[context + i] += s[j] == s[i];
    }
}

static bool asked_at_letters(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task, (void)s, (void)n;
    return t > 0;
}

/* ---- modadd: two numbers below n, one symbol each, and what their sum leaves ---- */

static int64_t operands_context(int64_t n)
{
    (void)n;
    return 3;
}

static int64_t operands(int64_t n)
{
    (void)n;
    return 2;
}

/* The symbol of a number: = stands among them. */
static int64_t number(const grdi_task *task, int64_t value)
{
    return value + (value >= token(task, '='));
}

static void draw_modadd(grdi_stream *stream, const grdi_task *task, int64_t n, int64_t *s)
{
    const int64_t a = grdi_stream_below(stream, n), b = grdi_stream_below(stream, n);
    s[0] = number(task, a);
    s[1] = number(task, b);
    s[2] = token(task, '=');
    s[3] = number(task, (a + b) % n);
}

static bool asked_at_end(const grdi_task *task, const int64_t *s, int64_t n, int64_t t)
{
    (void)task, (void)s, (void)n;
    return t == 2;
}

/* ---- The list ---- */

#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* clang-format off */
const grdi_task grdi_tasks[] = {
    { "copy", LETTERS "|", 12, 2, 500, false, 1, twice, once, draw_copy, asked_after_bar,
      { { "its place in the question", grdi_mark_copied } } },
    { "reverse", LETTERS, 16, 2, 1000, true, 1, once, once, draw_reverse, asked_always,
      { { "its place from the other end", grdi_mark_mirrored } } },
    { "sort", "0123456789|", 8, 2, 500, false, 1, twice, once, draw_sort, asked_after_bar,
      { { "the next smallest digit", grdi_mark_next_smallest } } },
    { "add", "+0123456789=", 3, 1, 300, false, 1, sum_context, sum_question, draw_add, asked_after_sum,
      { { "the aligned digits", grdi_mark_digits }, { "the digits that may carry", grdi_mark_carry } } },
    { "recall", "0123456789abcdefghijklmnop", 8, 2, 16, false, 1, recall_context, twice, draw_recall,
      asked_at_keys,
      { { "its digit", grdi_mark_value }, { "a digit to its letter", grdi_mark_own_key } } },
    { "induction", LETTERS, 14, 5, 26, false, 1, twice, twice, draw_induction, asked_in_repetition,
      { { "what came after the same letter", grdi_mark_after_same }, { "the letter before", grdi_mark_previous } } },
    { "dyck", "()[]", 12, 4, 400, false, 1, brackets_context, twice, draw_dyck, asked_before_closing,
      { { "the last bracket that is open", grdi_mark_last_open } } },
    { "histogram", "123456789ABCDEFGHIJ^abcdefgh", 10, 3, 19, true, 1, marked_context, marked_context,
      draw_histogram, asked_at_letters,
      { { "the same letter, and the start", grdi_mark_same } } },
    { "modadd", "0123456789=" CAPITALS LETTERS, 59, 10, 62, false, 6, operands_context, operands, draw_modadd,
      asked_at_end,
      { { "both numbers", grdi_mark_operands } } },
};
/* clang-format on */
const int grdi_num_tasks = sizeof grdi_tasks / sizeof grdi_tasks[0];
