#include "tensor/cuda/cudnn_graph.h"

#include <stdio.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

typedef grdi_cudnn_graph graph;
typedef grdi_cudnn_descriptor descriptor;
typedef grdi_cudnn_attribute attribute;

bool grdi_cudnn_ok(graph *g, const char *call, const char *what, int status)
{
    char text[192] = "";
    if (status == 0)
        return true;
    if (g->failed)
        return false;
    g->failed = true;
    g->out_of_memory = status == GRDI_CUDNN_NO_MEMORY || status == GRDI_CUDNN_NO_DEVICE_MEMORY;
    g->cudnn->cudnnGetLastErrorString(text, sizeof text);
    text[sizeof text - 1] = '\0';
    snprintf(g->why, sizeof g->why, "cuDNN's %s of %s gives %.60s%s%s", call, what,
             g->cudnn->cudnnGetErrorString(status), *text ? ": " : "", text);
    return false;
}

descriptor *grdi_cudnn_create(graph *g, int kind, const char *what)
{
    descriptor *d = NULL;
    if (g->failed)
        return NULL;
    if (g->num_owned == GRDI_CUDNN_MOST) {
        g->failed = true;
        snprintf(g->why, sizeof g->why, "%s is one descriptor too many", what);
        return NULL;
    }
    if (!grdi_cudnn_ok(g, "creation", what, g->cudnn->cudnnBackendCreateDescriptor(kind, &d)))
        return NULL;
    return g->owned[g->num_owned++] = d;
}

static bool is_unset(const attribute *a)
{
    return !a->values || (a->type == GRDI_CUDNN_IS_DESCRIPTOR && a->count == 1 &&
                          !*(descriptor *const *)a->values);
}

descriptor *grdi_cudnn_make(graph *g, int kind, const char *what, int count, const attribute *a)
{
    descriptor *d = grdi_cudnn_create(g, kind, what);
    for (int i = 0; i < count && d; i++)
        if (!is_unset(&a[i]) &&
            !grdi_cudnn_ok(g, "setting", what,
                           g->cudnn->cudnnBackendSetAttribute(d, a[i].name, a[i].type, a[i].count,
                                                              a[i].values)))
            return NULL;
    if (!d || !grdi_cudnn_ok(g, "check", what, g->cudnn->cudnnBackendFinalize(d)))
        return NULL;
    return d;
}

void grdi_cudnn_clear(graph *g)
{
    while (g->num_owned)
        g->cudnn->cudnnBackendDestroyDescriptor(g->owned[--g->num_owned]);
}

/* ---- Tensors ---- */

grdi_cudnn_shape grdi_cudnn_contiguous(int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (grdi_cudnn_shape){ { a, b, c, d }, { b * c * d, c * d, d, 1 } };
}

grdi_cudnn_shape grdi_cudnn_transposed(grdi_cudnn_shape s)
{
    return (grdi_cudnn_shape){ { s.size[0], s.size[1], s.size[3], s.size[2] },
                               { s.stride[0], s.stride[1], s.stride[3], s.stride[2] } };
}

typedef enum where { IN_MEMORY, BETWEEN, BY_VALUE } where;

static descriptor *make_tensor(graph *g, int64_t id, int dtype, grdi_cudnn_shape shape, where where)
{
    const int64_t alignment = 16;
    const bool set = true;
    const attribute attributes[] = {
        { GRDI_CUDNN_TENSOR_DTYPE, GRDI_CUDNN_IS_DTYPE, 1, &dtype },
        { GRDI_CUDNN_TENSOR_SIZES, GRDI_CUDNN_IS_I64, 4, shape.size },
        { GRDI_CUDNN_TENSOR_STRIDES, GRDI_CUDNN_IS_I64, 4, shape.stride },
        { GRDI_CUDNN_TENSOR_ID, GRDI_CUDNN_IS_I64, 1, &id },
        { GRDI_CUDNN_TENSOR_ALIGNMENT, GRDI_CUDNN_IS_I64, 1, &alignment },
        { GRDI_CUDNN_TENSOR_VIRTUAL, GRDI_CUDNN_IS_BOOL, 1, where == BETWEEN ? &set : NULL },
        { GRDI_CUDNN_TENSOR_BY_VALUE, GRDI_CUDNN_IS_BOOL, 1, where == BY_VALUE ? &set : NULL },
    };
    return grdi_cudnn_make(g, GRDI_CUDNN_TENSOR, "a tensor", COUNT(attributes), attributes);
}

descriptor *grdi_cudnn_tensor(graph *g, int64_t id, int dtype, grdi_cudnn_shape shape)
{
    return make_tensor(g, id, dtype, shape, IN_MEMORY);
}

descriptor *grdi_cudnn_virtual(graph *g, int dtype, grdi_cudnn_shape shape)
{
    return make_tensor(g, 1000 + ++g->last_id, dtype, shape, BETWEEN);
}

descriptor *grdi_cudnn_scalar(graph *g, int64_t id, int dtype)
{
    return make_tensor(g, id, dtype, grdi_cudnn_contiguous(1, 1, 1, 1), BY_VALUE);
}

/* ---- Operations ---- */

static const int f32 = GRDI_CUDNN_F32;

static void add(graph *g, int kind, const char *what, int count, const attribute *attributes)
{
    descriptor *op = NULL;
    if (g->num_ops < GRDI_CUDNN_MOST_OPS)
        op = grdi_cudnn_make(g, kind, what, count, attributes);
    if (op)
        g->op[g->num_ops++] = op;
}

void grdi_cudnn_add_pointwise(graph *g, const grdi_cudnn_pointwise *op)
{
    static const char what[] = "an elementwise operation";
    const attribute attributes[] = {
        { GRDI_CUDNN_POINTWISE_MODE, GRDI_CUDNN_IS_MODE, 1, &op->mode },
        { GRDI_CUDNN_POINTWISE_DTYPE, GRDI_CUDNN_IS_DTYPE, 1, &op->dtype },
        { GRDI_CUDNN_POINTWISE_AXIS, GRDI_CUDNN_IS_I64, 1,
          op->mode == GRDI_CUDNN_INDEX ? &op->axis : NULL },
    };
    descriptor *is = grdi_cudnn_make(g, GRDI_CUDNN_POINTWISE, what, COUNT(attributes), attributes);
    const attribute of_op[] = {
        { GRDI_CUDNN_OP_POINTWISE_IS, GRDI_CUDNN_IS_DESCRIPTOR, 1, &is },
        { GRDI_CUDNN_OP_POINTWISE_X, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->x },
        { GRDI_CUDNN_OP_POINTWISE_B, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->b },
        { GRDI_CUDNN_OP_POINTWISE_T, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->t },
        { GRDI_CUDNN_OP_POINTWISE_Y, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->y },
    };
    add(g, GRDI_CUDNN_OP_POINTWISE, what, COUNT(of_op), of_op);
}

void grdi_cudnn_add_matmul(graph *g, const grdi_cudnn_matmul *op)
{
    static const char what[] = "a matrix product";
    const double zero = 0;
    const attribute attributes[] = {
        { GRDI_CUDNN_MATMUL_DTYPE, GRDI_CUDNN_IS_DTYPE, 1, &f32 },
        { GRDI_CUDNN_MATMUL_PADDING, GRDI_CUDNN_IS_F64, 1, op->padded ? &zero : NULL },
    };
    descriptor *is = grdi_cudnn_make(g, GRDI_CUDNN_MATMUL, what, COUNT(attributes), attributes);
    const attribute of_op[] = {
        { GRDI_CUDNN_OP_MATMUL_A, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->a },
        { GRDI_CUDNN_OP_MATMUL_B, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->b },
        { GRDI_CUDNN_OP_MATMUL_C, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->c },
        { GRDI_CUDNN_OP_MATMUL_ROWS, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->rows },
        { GRDI_CUDNN_OP_MATMUL_COLUMNS, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->columns },
        { GRDI_CUDNN_OP_MATMUL_TERMS, GRDI_CUDNN_IS_DESCRIPTOR, 1, &op->terms },
        { GRDI_CUDNN_OP_MATMUL_IS, GRDI_CUDNN_IS_DESCRIPTOR, 1, &is },
    };
    add(g, GRDI_CUDNN_OP_MATMUL, what, COUNT(of_op), of_op);
}

void grdi_cudnn_add_reduction(graph *g, int mode, descriptor *x, descriptor *y)
{
    static const char what[] = "a reduction";
    const attribute attributes[] = {
        { GRDI_CUDNN_REDUCTION_DTYPE, GRDI_CUDNN_IS_DTYPE, 1, &f32 },
        { GRDI_CUDNN_REDUCTION_MODE, GRDI_CUDNN_IS_REDUCTION, 1, &mode },
    };
    descriptor *is = grdi_cudnn_make(g, GRDI_CUDNN_REDUCTION, what, COUNT(attributes), attributes);
    const attribute of_op[] = {
        { GRDI_CUDNN_OP_REDUCTION_X, GRDI_CUDNN_IS_DESCRIPTOR, 1, &x },
        { GRDI_CUDNN_OP_REDUCTION_Y, GRDI_CUDNN_IS_DESCRIPTOR, 1, &y },
        { GRDI_CUDNN_OP_REDUCTION_IS, GRDI_CUDNN_IS_DESCRIPTOR, 1, &is },
    };
    add(g, GRDI_CUDNN_OP_REDUCTION, what, COUNT(of_op), of_op);
}

void grdi_cudnn_add_reshape(graph *g, descriptor *x, descriptor *y)
{
    const attribute of_op[] = {
        { GRDI_CUDNN_OP_RESHAPE_X, GRDI_CUDNN_IS_DESCRIPTOR, 1, &x },
        { GRDI_CUDNN_OP_RESHAPE_Y, GRDI_CUDNN_IS_DESCRIPTOR, 1, &y },
    };
    add(g, GRDI_CUDNN_OP_RESHAPE, "a change of shape", COUNT(of_op), of_op);
}
