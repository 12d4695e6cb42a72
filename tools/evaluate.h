/* How a model does on data that it was not trained on. */
#ifndef GRADUS_TOOLS_EVALUATE_H
#define GRADUS_TOOLS_EVALUATE_H

#include <gradus/gradus.h>

typedef struct evaluation {
    double loss;  /* mean over tokens; NAN after a signal or an error */
    double right; /* share of sequences with every asked token right */
} evaluation;

/* Over the first `batches` batches, 0: all. Leaves the model in eval. */
evaluation evaluate(grd_module *model, const grd_data *data, int64_t batches);

/* The sum of the batch's losses, from logits of 16 bits in f32: they could not hold it. */
grd_tensor *summed_loss(const grd_tensor *logits, grd_batch batch);

/* (B) bool: whether every token of a sequence that is asked for is the guess. */
grd_tensor *sequences_right(const grd_tensor *guess, const grd_tensor *targets);

#endif
