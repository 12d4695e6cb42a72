/* Toy tasks from inside: what each draws, and where its answers stand. */
#ifndef GRDI_TASKS_H
#define GRDI_TASKS_H

#include "nn/data.h"

enum {
    GRDI_MAX_CONTEXT = 1024,
    GRDI_MAX_TASK_SYMBOLS = 64,
    GRDI_MOST_OPEN = 6, /* of open brackets */
    GRDI_MOST_PATTERNS = 2
};

struct grdi_task;

/* Marks the keys that query t has to look at, in a row of zeros; s are the inputs alone. */
typedef void grdi_mark(const struct grdi_task *task, const int64_t *s, int64_t n, int64_t t,
                       bool *keys);

typedef struct grdi_task_pattern {
    const char *name; /* NULL: there is none */
    grdi_mark *mark;
} grdi_task_pattern;

/* What a task draws: the sequence s[0 .. context], of which the first `context` are the inputs and
 * each next one may be asked for. */
typedef struct grdi_task {
    const char *name, *alphabet; /* rising: a symbol's token is its place */
    int64_t length, shortest, longest;
    bool bidirectional; /* targets stand where the inputs do, s[context .. 2 context - 1] */
    int unseen;         /* tenths of all questions that are kept for validation */
    int64_t (*context)(int64_t n);
    int64_t (*question)(int64_t n); /* the first so many tokens tell sequences apart */
    void (*draw)(grdi_stream *stream, const struct grdi_task *task, int64_t n, int64_t *s);
    bool (*asked)(const struct grdi_task *task, const int64_t *s, int64_t n, int64_t t);
    grdi_task_pattern patterns[GRDI_MOST_PATTERNS]; /* the one that answers are read by is first */
} grdi_task;

extern const grdi_task grdi_tasks[];
extern const int grdi_num_tasks;

static inline bool grdi_is_closing(int64_t bracket) /* of the task dyck: ( ) [ ] */
{
    return bracket % 2;
}

/* task_patterns.c */
grdi_mark grdi_mark_copied, grdi_mark_mirrored, grdi_mark_next_smallest, grdi_mark_digits,
    grdi_mark_carry, grdi_mark_value, grdi_mark_own_key, grdi_mark_after_same, grdi_mark_previous,
    grdi_mark_last_open, grdi_mark_same, grdi_mark_operands;

#endif
