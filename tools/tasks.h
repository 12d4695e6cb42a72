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
    double weight_decay;  /* 0: as gradus train's */
    double deviation;     /* of initial embeddings; 0: 0.02, as the library's */
    double lift;          /* that the pattern has to come to; 0: TOY_LIFT */
    bool attention_only;  /* no feed-forward part */
    bool quick;           /* seconds on any machine */
    bool must_fail;       /* to show what the others need: it has too few layers */
    bool together;        /* its heads do each other's work: they are taken away together */
} toy;

enum { MOST_TOY_HEADS = 16, MOST_TOY_PATTERNS = 2 };

typedef struct toy_head {
    int64_t layer, head;
    grd_pattern_score scores[MOST_TOY_PATTERNS];
    grd_head_effect effect; /* its module is unset */
} toy_head;

typedef struct toy_result {
    int64_t parameters, steps; /* to the target; -1: it was not reached */
    double right;              /* share of sequences, none of which decided when to stop */
    double seconds;            /* of the processor, in training and trials: on all threads */
    int64_t num_patterns, num_heads;
    const char *patterns[MOST_TOY_PATTERNS]; /* the first is the one that answers are read by */
    int best[MOST_TOY_PATTERNS];             /* the head that has most of its weight there */
    toy_head heads[MOST_TOY_HEADS];
    double zero, mean; /* of the loss, without the first pattern's best head, or without them all */
} toy_result;

enum { TOY_TARGET_PERCENT = 99, TOY_LIFT = 5, TOY_NATS = 1 };

/* Trains until the target, or the last step, and measures. False with an error latched, or after a
 * signal. */
bool run_toy(const toy *t, const options *o, toy_result *result);

#endif
