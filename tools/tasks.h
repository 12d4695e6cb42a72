/* Tasks whose attention is known, from inside: one model trained on one, and what is measured. */
#ifndef GRADUS_TOOLS_TASKS_H
#define GRADUS_TOOLS_TASKS_H

#include "tools/options.h"

#include <gradus/gradus.h>

/* A model and how it is trained. */
typedef struct toy {
    const char *name, *task;
    int64_t layers, heads, embed_dim;
    int64_t steps, every; /* at most, and how often unseen sequences are tried */
    double weight_decay;
    double deviation;    /* of initial embeddings; 0: 0.02, as the library's */
    bool attention_only; /* no feed-forward part */
    bool quick;          /* seconds on any machine */
    bool must_fail;      /* to show what the others need: it has too few layers */
} toy;

/* The head that looks most where a pattern says. */
typedef struct toy_head {
    const char *pattern;
    int64_t layer, head;
    grd_pattern_score score;
} toy_head;

enum { MOST_TOY_HEADS = 2 };
typedef struct toy_result {
    int64_t parameters, steps; /* to the target; -1: it was not reached */
    double right;              /* share of sequences, none of which decided when to stop */
    int64_t num_heads;
    toy_head heads[MOST_TOY_HEADS]; /* the first is the one that answers are read by */
    grd_head_effect effect;         /* of that; its module is unset */
    double seconds;                 /* of training, with trials */
} toy_result;

enum { TOY_TARGET_PERCENT = 99, TOY_NATS = 1 };

/* Trains until the target, or the last step, and measures. False with an error latched, or after a
 * signal. */
bool run_toy(const toy *t, const options *o, toy_result *result);

/* How far the pattern's score has to come: five times uniform, or half of what is left above it
 * where that is less. */
double toy_score_wanted(const toy_head *head);

#endif
