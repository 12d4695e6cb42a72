/* A graph of cuDNN's operations, as descriptors are made one after the other. The first failure is
 * kept, with what cuDNN says of it, and whatever is asked for after it is NULL: only the end need
 * be checked. */
#ifndef GRDI_CUDA_CUDNN_GRAPH_H
#define GRDI_CUDA_CUDNN_GRAPH_H

#include "tensor/cuda/cudnn.h"

enum { GRDI_CUDNN_MOST = 320, GRDI_CUDNN_MOST_OPS = 64 };

typedef struct grdi_cudnn_graph {
    const grdi_cudnn *cudnn;
    grdi_cudnn_handle *handle;     /* of the GPU that is to run it; or NULL, and */
    grdi_cudnn_descriptor *device; /* a description of one, for which it is only judged */
    grdi_cudnn_descriptor *owned[GRDI_CUDNN_MOST], *op[GRDI_CUDNN_MOST_OPS];
    int num_owned, num_ops;
    int64_t last_id; /* of the tensors that only operations see */
    bool failed, out_of_memory;
    char why[320]; /* it failed */
} grdi_cudnn_graph;

/* Values of an attribute; NULL, or one descriptor that is NULL: it stays unset. */
typedef struct grdi_cudnn_attribute {
    int name, type;
    int64_t count;
    const void *values;
} grdi_cudnn_attribute;

/* A descriptor with these attributes, finalized; `what` it is, in words. */
grdi_cudnn_descriptor *grdi_cudnn_make(grdi_cudnn_graph *graph, int kind, const char *what,
                                       int count, const grdi_cudnn_attribute *attributes);

/* The same, not finalized: for cuDNN to fill in. */
grdi_cudnn_descriptor *grdi_cudnn_create(grdi_cudnn_graph *graph, int kind, const char *what);

/* Whether a call succeeded; if not, that is the graph's failure. */
bool grdi_cudnn_ok(grdi_cudnn_graph *graph, const char *call, const char *what, int status);

/* Destroys what it owns. */
void grdi_cudnn_clear(grdi_cudnn_graph *graph);

/* ---- Tensors, by default contiguous ---- */

typedef struct grdi_cudnn_shape {
    int64_t size[4], stride[4];
} grdi_cudnn_shape;

grdi_cudnn_shape grdi_cudnn_contiguous(int64_t a, int64_t b, int64_t c, int64_t d);
grdi_cudnn_shape grdi_cudnn_transposed(grdi_cudnn_shape shape); /* its last two dimensions */

/* In memory, told by its id; between operations; one number that the host passes. */
grdi_cudnn_descriptor *grdi_cudnn_tensor(grdi_cudnn_graph *graph, int64_t id, int dtype,
                                         grdi_cudnn_shape shape);
grdi_cudnn_descriptor *grdi_cudnn_virtual(grdi_cudnn_graph *graph, int dtype,
                                          grdi_cudnn_shape shape);
grdi_cudnn_descriptor *grdi_cudnn_scalar(grdi_cudnn_graph *graph, int64_t id, int dtype);

/* ---- Operations ---- */

/* y = mode(x, b, t), computed in dtype; b and t as the mode has them. */
typedef struct grdi_cudnn_pointwise {
    int mode, dtype;
    int64_t axis; /* of GRDI_CUDNN_INDEX */
    grdi_cudnn_descriptor *x, *b, *t, *y;
} grdi_cudnn_pointwise;

/* c = a b, of which only the first rows, columns and terms count where those are given (B, 1, 1,
 * 1).
 */
typedef struct grdi_cudnn_matmul {
    grdi_cudnn_descriptor *a, *b, *c, *rows, *columns, *terms;
    bool padded; /* with zeros, past them */
} grdi_cudnn_matmul;

void grdi_cudnn_add_pointwise(grdi_cudnn_graph *graph, const grdi_cudnn_pointwise *op);
void grdi_cudnn_add_matmul(grdi_cudnn_graph *graph, const grdi_cudnn_matmul *op);
void grdi_cudnn_add_reduction(grdi_cudnn_graph *graph, int mode, grdi_cudnn_descriptor *x,
                              grdi_cudnn_descriptor *y);
void grdi_cudnn_add_reshape(grdi_cudnn_graph *graph, grdi_cudnn_descriptor *x,
                            grdi_cudnn_descriptor *y);

#endif
