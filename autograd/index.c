#include "autograd/node.h"

/* y = zeros, with x's rows added at the indices of dimension dim: dx = dy at those. */
static void index_add_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_index_select(dy, *(const int *)grdi_attributes(node), grdi_saved_extra(node, 0));
}

static const grdi_derivative index_add = {
    .op = "index_add",
    .rule = "y = x, with v added at an index: dx = dy, dv = dy at the index",
    .attributes = sizeof(int),
    .backward = index_add_backward,
};

/* y = x at the indices of dimension dim: dx = dy added at those. */
static void index_select_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const int dim = *(const int *)grdi_attributes(node);
    const grd_tensor *index = grdi_saved_extra(node, 0);
    if (!index)
        return;
    grd_tensor *sum = grdi_index_add(dy, grdi_input_shape(node, 0), dim, index);
    dx[0] = grdi_record_saving(&index_add, sum, (const grd_tensor *[]){ dy }, 1, &dim, &index, 1);
}

static bool can_sum(const grd_tensor *sum)
{
    return sum->array.dtype == GRD_F32 || sum->array.dtype == GRD_F64;
}

static bool index_select_add(grdi_node *node, const grd_tensor *dy, grd_tensor *sum)
{
    const grd_tensor *index = can_sum(sum) ? grdi_saved_extra(node, 0) : NULL;
    return index && grdi_index_add_to(sum, dy, *(const int *)grdi_attributes(node), index);
}

static const grdi_derivative index_select = {
    .op = "index_select",
    .rule = "y = x at an index: dx = 0, with dy added at the index",
    .attributes = sizeof(int),
    .backward = index_select_backward,
    .add = index_select_add,
};

grd_tensor *grd_index_select(const grd_tensor *x, int64_t dim, const grd_tensor *index)
{
    grd_tensor *y = grdi_index_select(x, dim, index);
    const int along = y ? (int)(dim < 0 ? dim + y->array.rank : dim) : 0;
    return grdi_record_saving(&index_select, y, (const grd_tensor *[]){ x }, 1, &along, &index, 1);
}

/* dweight = zeros, with dy's rows added at the indices: ddy = embedding(index, ddweight). */
static void embedding_add_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_embedding(grdi_saved_extra(node, 0), dy);
}

static const grdi_derivative embedding_add = {
    .op = "embedding_add",
    .rule = "y = x, with rows v added at tokens: dx = dy, dv = dy's rows at the tokens",
    .backward = embedding_add_backward,
};

/* y = weight at the indices: dweight = dy added at those. */
static void embedding_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const grd_tensor *index = grdi_saved_extra(node, 0);
    if (!index)
        return;
    grd_tensor *sum = grdi_index_add(dy, grdi_input_shape(node, 0), 0, index);
    dx[0] =
        grdi_record_saving(&embedding_add, sum, (const grd_tensor *[]){ dy }, 1, NULL, &index, 1);
}

static bool embedding_sum(grdi_node *node, const grd_tensor *dy, grd_tensor *sum)
{
    const grd_tensor *index = can_sum(sum) ? grdi_saved_extra(node, 0) : NULL;
    return index && grdi_index_add_to(sum, dy, 0, index);
}

static const grdi_derivative embedding = {
    .op = "embedding",
    .rule = "y = weight's rows at the tokens: dweight = 0, with dy's rows added at the tokens",
    .backward = embedding_backward,
    .add = embedding_sum,
};

grd_tensor *grd_embedding(const grd_tensor *index, const grd_tensor *weight)
{
    return grdi_record_saving(&embedding, grdi_embedding(index, weight),
                              (const grd_tensor *[]){ weight }, 1, NULL, &index, 1);
}

/* y[i] = x[index[i]] along dim: dx = zeros, with dy[i] added at index[i]. */
static void gather_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const grd_tensor *zeros =
        grdi_full("gather", grdi_input_shape(node, 0), 0, dy->array.dtype, grdi_device(dy));
    dx[0] = grd_scatter_add(zeros, *(const int64_t *)grdi_attributes(node),
                            grdi_saved_extra(node, 0), dy);
}

static const grdi_derivative gather = {
    .op = "gather",
    .rule = "y = x at an index: dx = 0, with dy added at the index",
    .attributes = sizeof(int64_t),
    .backward = gather_backward,
};

grd_tensor *grd_gather(const grd_tensor *x, int64_t dim, const grd_tensor *index)
{
    return grdi_record_saving(&gather, grdi_gather(x, dim, index), (const grd_tensor *[]){ x }, 1,
                              &dim, &index, 1);
}

/* x in the first corner of zeros of `shape`. */
static grd_tensor *in_corner(grd_tensor *x, const grd_shape *shape)
{
    for (int d = 0; x && d < shape->rank; d++) {
        grd_shape wider = grd_tensor_shape(x);
        const grdi_range range = { .dim = d, .step = 1, .size = wider.size[d] };
        wider.size[d] = shape->size[d];
        if (range.size < wider.size[d])
            x = grdi_placed(x, &wider, &range);
    }
    return x;
}

/* y = x, with source[i] added at index[i]: dx = dy, dsource[i] = dy[index[i]]; elements of source
 * beyond index's sizes have no part in y. */
static void scatter_add_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = dy;
    if (!grdi_wants(node, 1))
        return;
    const int64_t dim = *(const int64_t *)grdi_attributes(node);
    dx[1] = in_corner(grd_gather(dy, dim, grdi_saved_extra(node, 0)), grdi_input_shape(node, 1));
}

static const grdi_derivative scatter_add = {
    .op = "scatter_add",
    .rule = "y = x, with v added at an index: dx = dy, dv = dy at the index",
    .attributes = sizeof(int64_t),
    .backward = scatter_add_backward,
};

grd_tensor *grd_scatter_add(const grd_tensor *x, int64_t dim, const grd_tensor *index,
                            const grd_tensor *source)
{
    return grdi_record_saving(&scatter_add, grdi_scatter_add(x, dim, index, source),
                              (const grd_tensor *[]){ x, source }, 2, &dim, &index, 1);
}

grd_tensor *grd_one_hot(const grd_tensor *index, int64_t classes)
{
    return grdi_one_hot(index, classes);
}
