/* What the graphs of attention, forward and backward, have in common. */
#include "tensor/cuda/cudnn_attention.h"

typedef grdi_cudnn_descriptor descriptor;
typedef grdi_cudnn_parts parts;

static bool is_of_queries(int64_t id)
{
    return id == GRDI_CUDNN_QUERY || id == GRDI_CUDNN_OUTPUT || id == GRDI_CUDNN_DQUERY;
}

static bool is_of_values(int64_t id)
{
    return id == GRDI_CUDNN_VALUE || id == GRDI_CUDNN_OUTPUT || id == GRDI_CUDNN_DVALUE;
}

grdi_cudnn_shape grdi_cudnn_rows(const grdi_cudnn_attention *a, int64_t id)
{
    if (id == GRDI_CUDNN_DOUTPUT)
        id = GRDI_CUDNN_OUTPUT;
    const bool of_queries = is_of_queries(id);
    const int64_t *stride = a->stride[id - 1];
    return (grdi_cudnn_shape){
        { a->batch, of_queries ? a->heads : a->key_heads, of_queries ? a->queries : a->keys,
          is_of_values(id) ? a->value_size : a->size },
        { stride[0], stride[1], stride[2], 1 },
    };
}

descriptor *grdi_cudnn_rows_tensor(const parts *p, int64_t id)
{
    return grdi_cudnn_tensor(p->graph, id, (int)p->a->dtype, grdi_cudnn_rows(p->a, id));
}

descriptor *grdi_cudnn_transposed_rows(const parts *p, int64_t id)
{
    return grdi_cudnn_tensor(p->graph, id, (int)p->a->dtype,
                             grdi_cudnn_transposed(grdi_cudnn_rows(p->a, id)));
}

/* ---- Elementwise ---- */

static descriptor *pointwise(const parts *p, int mode, int dtype, grdi_cudnn_shape shape,
                             descriptor *x, descriptor *b)
{
    const bool compares = mode >= GRDI_CUDNN_GREATER && mode <= GRDI_CUDNN_AND;
    const int result = compares ? GRDI_CUDNN_BOOL : dtype;
    descriptor *y = grdi_cudnn_virtual(p->graph, result, shape);
    grdi_cudnn_add_pointwise(
        p->graph, &(grdi_cudnn_pointwise){ .mode = mode, .dtype = result, .x = x, .b = b, .y = y });
    return y;
}

descriptor *grdi_cudnn_pairs(const parts *p, int mode, descriptor *x, descriptor *b)
{
    return pointwise(p, mode, GRDI_CUDNN_F32, p->pairs, x, b);
}

descriptor *grdi_cudnn_queries(const parts *p, int mode, descriptor *x, descriptor *b)
{
    return pointwise(p, mode, GRDI_CUDNN_F32, p->queries, x, b);
}

static descriptor *of_places(const parts *p, int mode, descriptor *x, descriptor *b)
{
    return pointwise(p, mode, GRDI_CUDNN_I32, p->pairs, x, b);
}

/* Of each pair in x: which query it is (axis 2) or which key (axis 3). */
static descriptor *place(const parts *p, descriptor *x, int64_t axis)
{
    descriptor *y = grdi_cudnn_virtual(p->graph, GRDI_CUDNN_I32, p->pairs);
    grdi_cudnn_add_pointwise(
        p->graph,
        &(grdi_cudnn_pointwise){
            .mode = GRDI_CUDNN_INDEX, .dtype = GRDI_CUDNN_I32, .axis = axis, .x = x, .y = y });
    return y;
}

/* x where a pair is shown, else the score of hidden ones. */
static descriptor *show(const parts *p, descriptor *x, descriptor *shown)
{
    descriptor *y = grdi_cudnn_virtual(p->graph, GRDI_CUDNN_F32, p->pairs);
    grdi_cudnn_add_pointwise(p->graph, &(grdi_cudnn_pointwise){ .mode = GRDI_CUDNN_SELECT,
                                                                .dtype = GRDI_CUDNN_F32,
                                                                .x = x,
                                                                .b = p->hidden,
                                                                .t = shown,
                                                                .y = y });
    return y;
}

/* ---- Which keys are seen ---- */

static descriptor *within_lengths(const parts *p, descriptor *x)
{
    descriptor *query = place(p, x, 2), *key = place(p, x, 3);
    descriptor *of_query = of_places(p, GRDI_CUDNN_LESS, query, p->query_lengths);
    descriptor *of_key = of_places(p, GRDI_CUDNN_LESS, key, p->key_lengths);
    return show(p, x, of_places(p, GRDI_CUDNN_AND, of_query, of_key));
}

/* The last key that each query sees, by its place. Engines know these forms, and no others. */
static descriptor *diagonal(const parts *p, descriptor *x)
{
    descriptor *query = place(p, x, 2);
    if (p->a->causal != GRDI_CUDNN_BOTTOM_RIGHT)
        return query;
    descriptor *keys = p->key_lengths, *queries = p->query_lengths;
    if (!p->a->padded) {
        keys = grdi_cudnn_scalar(p->graph, GRDI_CUDNN_KEYS, GRDI_CUDNN_I32);
        queries = grdi_cudnn_scalar(p->graph, GRDI_CUDNN_QUERIES, GRDI_CUDNN_I32);
    }
    return of_places(p, GRDI_CUDNN_SUB, of_places(p, GRDI_CUDNN_ADD, query, keys), queries);
}

descriptor *grdi_cudnn_within_band(const parts *p, descriptor *x)
{
    if (p->a->causal) {
        descriptor *last = diagonal(p, x);
        x = show(p, x, of_places(p, GRDI_CUDNN_AT_LEAST, last, place(p, x, 3)));
    }
    if (p->a->windowed) {
        descriptor *last = diagonal(p, x);
        descriptor *window = grdi_cudnn_scalar(p->graph, GRDI_CUDNN_WINDOW, GRDI_CUDNN_I32);
        descriptor *end = of_places(p, GRDI_CUDNN_ADD, place(p, x, 3), window);
        x = show(p, x, of_places(p, GRDI_CUDNN_GREATER, end, last));
    }
    return x;
}

descriptor *grdi_cudnn_scores(const parts *p, descriptor *query, descriptor *key_transposed)
{
    const grdi_cudnn_attention *a = p->a;
    descriptor *products = grdi_cudnn_virtual(p->graph, GRDI_CUDNN_F32, p->pairs);
    grdi_cudnn_add_matmul(p->graph, &(grdi_cudnn_matmul){ .a = query,
                                                          .b = key_transposed,
                                                          .c = products,
                                                          .rows = p->query_lengths,
                                                          .columns = p->key_lengths,
                                                          .padded = a->padded && !a->backward });
    descriptor *x = grdi_cudnn_pairs(p, GRDI_CUDNN_MUL, products, p->scale);
    if (a->additive.size[0]) {
        descriptor *additive =
            grdi_cudnn_tensor(p->graph, GRDI_CUDNN_ADDITIVE, (int)a->dtype, a->additive);
        x = grdi_cudnn_pairs(p, GRDI_CUDNN_ADD, x, additive);
    }
    return a->padded ? within_lengths(p, x) : x;
}

/* ---- The whole ---- */

static void make_lengths(parts *p)
{
    const grdi_cudnn_shape samples = grdi_cudnn_contiguous(p->a->batch, 1, 1, 1);
    p->query_lengths =
        grdi_cudnn_tensor(p->graph, GRDI_CUDNN_QUERY_LENGTHS, GRDI_CUDNN_I32, samples);
    p->key_lengths = grdi_cudnn_tensor(p->graph, GRDI_CUDNN_KEY_LENGTHS, GRDI_CUDNN_I32, samples);
}

void grdi_cudnn_add_attention(grdi_cudnn_graph *graph, const grdi_cudnn_attention *a)
{
    parts p = {
        .graph = graph,
        .a = a,
        .pairs = grdi_cudnn_contiguous(a->batch, a->heads, a->queries, a->keys),
        .queries = grdi_cudnn_contiguous(a->batch, a->heads, a->queries, 1),
        .scale = grdi_cudnn_scalar(graph, GRDI_CUDNN_SCALE, GRDI_CUDNN_F32),
    };
    if (a->padded || a->causal || a->windowed)
        p.hidden = grdi_cudnn_scalar(graph, GRDI_CUDNN_HIDDEN, GRDI_CUDNN_F32);
    if (a->backward)
        p.kept = grdi_cudnn_scalar(graph, GRDI_CUDNN_KEPT, GRDI_CUDNN_F32);
    if (a->padded)
        make_lengths(&p);
    if (a->backward)
        grdi_cudnn_add_backward(&p);
    else
        grdi_cudnn_add_forward(&p);
}
