#include "autograd/node.h"

/* y = x in another dtype: dx = dy in x's. */
static void cast_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_cast(dy, *(const grd_dtype *)grdi_attributes(node));
}

static const grdi_derivative cast = {
    .op = "cast",
    .rule = "y = x in another dtype: dx = dy in x's",
    .attributes = sizeof(grd_dtype),
    .backward = cast_backward,
};

grd_tensor *grd_cast(const grd_tensor *x, grd_dtype dtype)
{
    const grd_dtype from = grd_tensor_dtype(x);
    return grdi_record(&cast, grdi_cast(x, dtype), (const grd_tensor *[]){ x }, 1, &from);
}

/* y = x: dx = dy. */
static void same_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    (void)node;
    dx[0] = dy;
}

static const grdi_derivative clone = {
    .op = "clone",
    .rule = "y = x: dx = dy",
    .backward = same_backward,
};

grd_tensor *grd_clone(const grd_tensor *x)
{
    return grdi_record(&clone, grdi_clone(x), (const grd_tensor *[]){ x }, 1, NULL);
}

static const grdi_derivative contiguous = {
    .op = "contiguous",
    .rule = "y = x: dx = dy",
    .backward = same_backward,
};

grd_tensor *grd_contiguous(const grd_tensor *x)
{
    return grdi_record(&contiguous, grdi_contiguous(x), (const grd_tensor *[]){ x }, 1, NULL);
}

/* y = x on another device: dx = dy on x's. */
static void to_device_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    dx[0] = grd_to_device(dy, *(grd_device *const *)grdi_attributes(node));
}

static const grdi_derivative to_device = {
    .op = "to_device",
    .rule = "y = x on another device: dx = dy on x's",
    .attributes = sizeof(grd_device *),
    .backward = to_device_backward,
};

grd_tensor *grd_to_device(const grd_tensor *x, grd_device *device)
{
    grd_device *const from = grd_tensor_device(x);
    return grdi_record(&to_device, grdi_to_device(x, device), (const grd_tensor *[]){ x }, 1,
                       &from);
}
