#include "tensor/cuda/cudnn_attention.h"

typedef grdi_cudnn_descriptor descriptor;
typedef grdi_cudnn_parts parts;

static descriptor *reduce(const parts *p, int mode, descriptor *x)
{
    descriptor *y = grdi_cudnn_virtual(p->graph, GRDI_CUDNN_F32, p->queries);
    grdi_cudnn_add_reduction(p->graph, mode, x, y);
    return y;
}

/* The logarithm of the sums, for backward. */
static void write_logsumexp(const parts *p, descriptor *largest, descriptor *sum)
{
    descriptor *log = grdi_cudnn_queries(p, GRDI_CUDNN_LOG, sum, NULL);
    descriptor *y = grdi_cudnn_tensor(p->graph, GRDI_CUDNN_LOGSUMEXP, GRDI_CUDNN_F32, p->queries);
    grdi_cudnn_add_pointwise(
        p->graph,
        &(grdi_cudnn_pointwise){
            .mode = GRDI_CUDNN_ADD, .dtype = GRDI_CUDNN_F32, .x = largest, .b = log, .y = y });
}

/* exp(x - max) / its sum, in the dtype of the inputs, in which it enters the last product. */
static descriptor *weights(const parts *p, descriptor *x)
{
    descriptor *largest = reduce(p, GRDI_CUDNN_REDUCE_MAX, x);
    descriptor *exponential =
        grdi_cudnn_pairs(p, GRDI_CUDNN_EXP, grdi_cudnn_pairs(p, GRDI_CUDNN_SUB, x, largest), NULL);
    descriptor *sum = reduce(p, GRDI_CUDNN_REDUCE_ADD, exponential);
    write_logsumexp(p, largest, sum);
    descriptor *y = grdi_cudnn_virtual(p->graph, (int)p->a->dtype, p->pairs);
    grdi_cudnn_add_pointwise(
        p->graph,
        &(grdi_cudnn_pointwise){
            .mode = GRDI_CUDNN_DIV, .dtype = GRDI_CUDNN_F32, .x = exponential, .b = sum, .y = y });
    return y;
}

void grdi_cudnn_add_forward(const parts *p)
{
    descriptor *query = grdi_cudnn_rows_tensor(p, GRDI_CUDNN_QUERY);
    descriptor *key = grdi_cudnn_transposed_rows(p, GRDI_CUDNN_KEY);
    descriptor *x = grdi_cudnn_within_band(p, grdi_cudnn_scores(p, query, key));
    grdi_cudnn_add_matmul(p->graph, &(grdi_cudnn_matmul){
                                        .a = weights(p, x),
                                        .b = grdi_cudnn_rows_tensor(p, GRDI_CUDNN_VALUE),
                                        .c = grdi_cudnn_rows_tensor(p, GRDI_CUDNN_OUTPUT),
                                        .rows = p->query_lengths,
                                        .terms = p->key_lengths,
                                    });
}
