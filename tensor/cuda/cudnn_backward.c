#include "tensor/cuda/cudnn_attention.h"

typedef grdi_cudnn_descriptor descriptor;
typedef grdi_cudnn_parts parts;

/* What several products read, as they lie in memory; keys and values transposed. */
typedef struct rows {
    descriptor *query, *key, *value, *doutput;
} rows;

/* doutput . output of each query, which comes off dweights; times 1, without which cuDNN sees no
 * attention in the graph, and wants three times the memory. */
static descriptor *overlap(const parts *p, descriptor *doutput)
{
    const grdi_cudnn_shape shape = grdi_cudnn_rows(p->a, GRDI_CUDNN_OUTPUT);
    descriptor *output = grdi_cudnn_rows_tensor(p, GRDI_CUDNN_OUTPUT);
    descriptor *products = grdi_cudnn_virtual(p->graph, GRDI_CUDNN_F32, shape);
    descriptor *sum = grdi_cudnn_virtual(p->graph, GRDI_CUDNN_F32, p->queries);
    descriptor *y = grdi_cudnn_tensor(p->graph, GRDI_CUDNN_OVERLAP, GRDI_CUDNN_F32, p->queries);
    grdi_cudnn_pointwise mul = { .mode = GRDI_CUDNN_MUL, .dtype = GRDI_CUDNN_F32 };
    mul.x = doutput, mul.b = output, mul.y = products;
    grdi_cudnn_add_pointwise(p->graph, &mul);
    grdi_cudnn_add_reduction(p->graph, GRDI_CUDNN_REDUCE_ADD, products, sum);
    mul.x = sum, mul.b = p->kept, mul.y = y;
    grdi_cudnn_add_pointwise(p->graph, &mul);
    return y;
}

/* exp(scores - logsumexp). Engines want the band after the subtraction, unlike forward. */
static descriptor *weights(const parts *p, const rows *r)
{
    descriptor *logsumexp =
        grdi_cudnn_tensor(p->graph, GRDI_CUDNN_LOGSUMEXP, GRDI_CUDNN_F32, p->queries);
    descriptor *scores = grdi_cudnn_scores(p, r->query, r->key);
    descriptor *x = grdi_cudnn_pairs(p, GRDI_CUDNN_SUB, scores, logsumexp);
    return grdi_cudnn_pairs(p, GRDI_CUDNN_EXP, grdi_cudnn_within_band(p, x), NULL);
}

/* x (B, Hq, L, S) as (B, Hq, S, L), in the dtype of the inputs. */
static descriptor *by_key(const parts *p, descriptor *x)
{
    descriptor *y = grdi_cudnn_virtual(p->graph, (int)p->a->dtype, grdi_cudnn_transposed(p->pairs));
    grdi_cudnn_add_reshape(p->graph, x, y);
    return y;
}

/* The gradient of keys or values: x, by key, times rows of queries; the queries' heads that share
 * a head of keys are summed. */
static void write_by_key(const parts *p, descriptor *x, descriptor *of_queries, int64_t id)
{
    const grdi_cudnn_attention *a = p->a;
    descriptor *y = grdi_cudnn_rows_tensor(p, id), *each = y;
    const int64_t size = id == GRDI_CUDNN_DVALUE ? a->value_size : a->size;
    if (a->heads != a->key_heads)
        each = grdi_cudnn_virtual(p->graph, (int)a->dtype,
                                  grdi_cudnn_contiguous(a->batch, a->heads, a->keys, size));
    grdi_cudnn_add_matmul(p->graph, &(grdi_cudnn_matmul){ .a = by_key(p, x),
                                                          .b = of_queries,
                                                          .c = each,
                                                          .rows = p->key_lengths,
                                                          .terms = p->query_lengths });
    if (each != y)
        grdi_cudnn_add_reduction(p->graph, GRDI_CUDNN_REDUCE_ADD, each, y);
}

/* The gradient of the scores as they are before softmax: weights (dweights - overlap). */
static descriptor *dscores(const parts *p, const rows *r, descriptor *weights, descriptor *overlap)
{
    descriptor *x = grdi_cudnn_virtual(p->graph, GRDI_CUDNN_F32, p->pairs);
    grdi_cudnn_add_matmul(p->graph, &(grdi_cudnn_matmul){ .a = r->doutput,
                                                          .b = r->value,
                                                          .c = x,
                                                          .rows = p->query_lengths,
                                                          .columns = p->key_lengths });
    x = grdi_cudnn_pairs(p, GRDI_CUDNN_SUB, x, overlap);
    return grdi_cudnn_pairs(p, GRDI_CUDNN_MUL, x, weights);
}

static void write_dadditive(const parts *p, descriptor *dscores)
{
    const int64_t *size = p->a->additive.size;
    descriptor *y = grdi_cudnn_tensor(p->graph, GRDI_CUDNN_DADDITIVE, (int)p->a->dtype,
                                      grdi_cudnn_contiguous(size[0], size[1], size[2], size[3]));
    grdi_cudnn_add_reduction(p->graph, GRDI_CUDNN_REDUCE_ADD, dscores, y);
}

/* Summed over the keys: as blocks of keys come to it, in f32; or in order, at the price of memory
 * for every pair, which cuDNN also wants for dadditive. */
static void write_dquery(const parts *p, const rows *r, descriptor *x)
{
    const grdi_cudnn_attention *a = p->a;
    descriptor *dquery = grdi_cudnn_rows_tensor(p, GRDI_CUDNN_DQUERY), *sum = dquery;
    descriptor *key =
        grdi_cudnn_virtual(p->graph, (int)a->dtype, grdi_cudnn_rows(a, GRDI_CUDNN_KEY));
    grdi_cudnn_add_reshape(p->graph, r->key, key);
    if (!a->deterministic && !a->dadditive)
        sum = grdi_cudnn_tensor(p->graph, GRDI_CUDNN_SUMMED, GRDI_CUDNN_F32,
                                grdi_cudnn_contiguous(a->batch, a->heads, a->queries, a->size));
    grdi_cudnn_add_matmul(
        p->graph,
        &(grdi_cudnn_matmul){
            .a = x, .b = key, .c = sum, .rows = p->query_lengths, .terms = p->key_lengths });
    if (sum != dquery)
        grdi_cudnn_add_pointwise(p->graph, &(grdi_cudnn_pointwise){ .mode = GRDI_CUDNN_IDENTITY,
                                                                    .dtype = GRDI_CUDNN_F32,
                                                                    .x = sum,
                                                                    .y = dquery });
}

void grdi_cudnn_add_backward(const parts *p)
{
    const rows r = {
        .query = grdi_cudnn_rows_tensor(p, GRDI_CUDNN_QUERY),
        .key = grdi_cudnn_transposed_rows(p, GRDI_CUDNN_KEY),
        .value = grdi_cudnn_transposed_rows(p, GRDI_CUDNN_VALUE),
        .doutput = grdi_cudnn_rows_tensor(p, GRDI_CUDNN_DOUTPUT),
    };
    descriptor *taken = overlap(p, r.doutput), *w = weights(p, &r);
    write_by_key(p, w, r.doutput, GRDI_CUDNN_DVALUE);
    descriptor *x = dscores(p, &r, w, taken);
    if (p->a->dadditive)
        write_dadditive(p, x);
    x = grdi_cudnn_pairs(p, GRDI_CUDNN_MUL, x, p->scale);
    write_by_key(p, x, r.query, GRDI_CUDNN_DKEY);
    write_dquery(p, &r, x);
}
