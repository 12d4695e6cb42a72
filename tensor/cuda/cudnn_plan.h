/* Plans: how cuDNN runs a graph on a GPU. They take long to make, and are kept. */
#ifndef GRDI_CUDA_CUDNN_PLAN_H
#define GRDI_CUDA_CUDNN_PLAN_H

#include "tensor/cuda/cudnn_attention.h"

/* A way to run a graph that cuDNN says there is. */
typedef struct grdi_cudnn_candidate {
    grdi_cudnn_descriptor *config; /* the graph's */
    int64_t engine, workspace;     /* -1 where it does not say */
} grdi_cudnn_candidate;

/* Those of one list of cuDNN (GRDI_CUDNN_BEST, GRDI_CUDNN_FALLBACK) for the operations of the
 * graph, the best first: how many were put into `candidates`, of which there is room for `most`. */
int grdi_cudnn_candidates(grdi_cudnn_graph *graph, int list, grdi_cudnn_candidate *candidates,
                          int most);

typedef struct grdi_cudnn_plan {
    grdi_cudnn_attention attention; /* what it is for */
    grdi_cudnn_graph graph;
    grdi_cudnn_descriptor *plan; /* NULL: cuDNN refuses, and graph.why says why */
    int64_t engine, workspace;
} grdi_cudnn_plan;

/* The plans of one GPU. */
typedef struct grdi_cudnn_plans {
    const grdi_cudnn *cudnn;
    grdi_cudnn_handle *handle;
    int64_t most_workspace;
    grdi_cudnn_plan **at; /* `places`, a power of two, of which more than half are free */
    size_t places, count;
} grdi_cudnn_plans;

/* The plan for it, made if need be, as long as there are not too many; a refusal is kept like a
 * plan. NULL: no memory. */
const grdi_cudnn_plan *grdi_cudnn_plan_for(grdi_cudnn_plans *plans,
                                           const grdi_cudnn_attention *attention);

void grdi_cudnn_drop_plans(grdi_cudnn_plans *plans);

#endif
