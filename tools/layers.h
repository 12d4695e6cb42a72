/* The layers of a model: the parts of it that a run tells the gradients' norms of. */
#ifndef GRADUS_TOOLS_LAYERS_H
#define GRADUS_TOOLS_LAYERS_H

#include <gradus/gradus.h>

typedef struct layers {
    grd_grad_norm *norms; /* of the scope */
    int64_t count;
} layers;

/* What lies below the root and has parameters; of lists each item: "token_embedding", "blocks.0",
 * "blocks.1", ... Together they are the whole model. None, and an error, when out of memory. */
layers layers_of(const grd_module *model);

#endif
