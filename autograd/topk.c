#include "autograd/node.h"

/* y = x[index] along dim: dx = zeros, with dy added at the indices. */
static void topk_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const int64_t dim = *(const int64_t *)grdi_attributes(node);
    const grd_tensor *zeros =
        grdi_full("topk", grdi_input_shape(node, 0), 0, dy->array.dtype, grdi_device(dy));
    dx[0] = grd_scatter_add(zeros, dim, grdi_saved_extra(node, 0), dy);
}

static const grdi_derivative topk = {
    .op = "topk",
    .rule = "y = x at the largest: dx = 0, with dy at them",
    .attributes = sizeof(int64_t),
    .backward = topk_backward,
};

grd_values_indices grd_topk(const grd_tensor *x, int64_t k, int64_t dim)
{
    grd_values_indices found = grdi_topk(x, k, dim);
    const grd_tensor *const indices[] = { found.indices };
    found.values =
        grdi_record_saving(&topk, found.values, (const grd_tensor *[]){ x }, 1, &dim, indices, 1);
    return found.values ? found : (grd_values_indices){ NULL, NULL };
}

grd_values_indices grd_at_values_indices(grd_values_indices result, const char *file, int line)
{
    grd_values_indices noted = { grd_at(result.values, file, line), result.indices };
    return noted;
}
