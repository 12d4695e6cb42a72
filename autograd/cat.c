#include "autograd/node.h"

/* What a graph keeps of the parts: where each begins. */
typedef struct joint {
    int64_t dim, start[GRDI_MAX_INPUTS + 1];
} joint;

/* y = cat(parts): dparts[i] = dy from where part i begins to where the next does. */
static void cat_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const joint *j = grdi_attributes(node);
    for (int i = 0; i < node->count; i++)
        if (grdi_wants(node, i))
            dx[i] = grd_slice(dy, j->dim, j->start[i], j->start[i + 1], 1);
}

static const grdi_derivative cat = {
    .op = "cat",
    .rule = "y = the inputs, one after the other: each gets its part of dy",
    .attributes = sizeof(joint),
    .backward = cat_backward,
};

static bool any_history(const grd_list *parts)
{
    for (int64_t i = 0; parts->at && i < parts->count; i++)
        if (grd_tensor_requires_grad(parts->at[i]))
            return true;
    return false;
}

/* More parts than a node has inputs: groups of them are joined by `join`, and their results by
 * cat. */
static grd_tensor *in_groups(grd_tensor *(*join)(grd_list, int64_t), grd_list parts, int64_t dim)
{
    const int64_t groups = (parts.count + GRDI_MAX_INPUTS - 1) / GRDI_MAX_INPUTS;
    const size_t bytes = (size_t)groups * sizeof(grd_tensor *);
    const grd_tensor **joined = grdi_allocate(bytes);
    if (!joined)
        return grdi_fail_memory("cat", bytes);
    for (int64_t g = 0; g < groups; g++) {
        const int64_t first = g * GRDI_MAX_INPUTS, left = parts.count - first;
        const int64_t count = left < GRDI_MAX_INPUTS ? left : GRDI_MAX_INPUTS;
        joined[g] = join((grd_list){ count, parts.at + first }, dim);
    }
    grd_tensor *y = grdi_latched() ? NULL : grd_cat((grd_list){ groups, joined }, dim);
    grdi_free(joined, bytes);
    return y;
}

static bool needs_groups(const grd_list *parts)
{
    return parts->count > GRDI_MAX_INPUTS && grdi_recording() && any_history(parts);
}

grd_tensor *grd_cat(grd_list parts, int64_t dim)
{
    int along = 0;
    if (needs_groups(&parts))
        return grdi_may_cat(&parts, dim, &along) ? in_groups(grd_cat, parts, along) : NULL;
    grd_tensor *y = grdi_cat(&parts, dim);
    if (!y || !any_history(&parts) || !grdi_recording())
        return y;
    joint j = { .dim = dim < 0 ? dim + y->array.rank : dim };
    for (int64_t i = 0; i < parts.count; i++)
        j.start[i + 1] = j.start[i] + parts.at[i]->array.dim[j.dim].size;
    return grdi_record(&cat, y, parts.at, (int)parts.count, &j);
}

/* y = stack(parts): dparts[i] = dy at i. */
static void stack_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const int64_t dim = *(const int64_t *)grdi_attributes(node);
    for (int i = 0; i < node->count; i++)
        if (grdi_wants(node, i))
            dx[i] = grd_select(dy, dim, i);
}

static const grdi_derivative stack = {
    .op = "stack",
    .rule = "y = the inputs, side by side: each gets its part of dy",
    .attributes = sizeof(int64_t),
    .backward = stack_backward,
};

grd_tensor *grd_stack(grd_list parts, int64_t dim)
{
    int along = 0;
    if (needs_groups(&parts))
        return grdi_may_stack(&parts, dim, &along) ? in_groups(grd_stack, parts, along) : NULL;
    grd_tensor *y = grdi_stack(&parts, dim);
    if (!y || !any_history(&parts))
        return y;
    return grdi_record(&stack, y, parts.at, (int)parts.count, &dim);
}

/* y = x rolled by shift: dx = dy rolled back. */
static void roll_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    const int64_t *shift_dim = grdi_attributes(node);
    dx[0] = grd_roll(dy, shift_dim[0], shift_dim[1]);
}

static const grdi_derivative roll = {
    .op = "roll",
    .rule = "y = x, shifted around: dx = dy, shifted back",
    .attributes = 2 * sizeof(int64_t),
    .backward = roll_backward,
};

grd_tensor *grd_roll(const grd_tensor *x, int64_t shift, int64_t dim)
{
    const int64_t size = grd_tensor_size(x, dim);
    const int64_t back = size > 0 ? -(shift % size) : 0;
    return grdi_record(&roll, grdi_roll(x, shift, dim), (const grd_tensor *[]){ x }, 1,
                       (int64_t[]){ back, dim });
}
