#include "autograd/node.h"

typedef struct direction {
    int64_t dim;
    bool reverse;
} direction;

static grd_tensor *cumsum_along(const grd_tensor *x, int64_t dim, bool reverse);

/* y = the sums up to each element of x: dx = the sums of dy from each on; and the other way round.
 */
static void cumsum_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const direction *way = grdi_attributes(node);
    dx[0] = cumsum_along(dy, way->dim, !way->reverse);
}

static const grdi_derivative cumsum = {
    .op = "cumsum",
    .rule = "y = the sums up to each element of x: dx = the sums of dy from each on",
    .attributes = sizeof(direction),
    .backward = cumsum_backward,
};

static grd_tensor *cumsum_along(const grd_tensor *x, int64_t dim, bool reverse)
{
    return grdi_record(&cumsum, grdi_cumsum(x, dim, reverse), (const grd_tensor *[]){ x }, 1,
                       &(direction){ dim, reverse });
}

grd_tensor *grd_cumsum(const grd_tensor *x, int64_t dim)
{
    return cumsum_along(x, dim, false);
}
