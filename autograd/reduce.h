/* What the derivatives of reductions share. */
#ifndef GRDI_AUTOGRAD_REDUCE_H
#define GRDI_AUTOGRAD_REDUCE_H

#include "autograd/node.h"

/* A reduction's result, with or without its dims, repeated to the shape of what was reduced. */
grd_tensor *grdi_over_reduced(grd_tensor *y, const grd_dims *dims, const grd_shape *shape);

#endif
