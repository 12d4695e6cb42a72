#include "tensor/front.h"

/* Whether all parts are there, and of one dtype, device and rank. */
static bool are_alike(const char *op, const grd_list *parts)
{
    if (parts->count < 1 || !parts->at)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "there are no parts to join");
    const grd_tensor *first = parts->at[0];
    for (int64_t i = 0; i < parts->count; i++) {
        const grd_tensor *part = parts->at[i];
        if (!part)
            return grdi_fail(GRD_ERROR_ARGUMENT, op, "part %lld is NULL", (long long)i);
        if (part->array.dtype != first->array.dtype)
            return grdi_fail(GRD_ERROR_DTYPE, op, "part %lld is %s, part 0 is %s", (long long)i,
                             grdi_dtype_name(part->array.dtype),
                             grdi_dtype_name(first->array.dtype));
        if (grdi_device(part) != grdi_device(first))
            return grdi_fail(GRD_ERROR_DEVICE, op, "part %lld is on %s, part 0 on %s", (long long)i,
                             grdi_device(part)->name, grdi_device(first)->name);
    }
    return true;
}

/* Whether the sizes are equal in all dimensions but `except` (-1: in all). */
static bool fits(const grdi_array *a, const grdi_array *b, int except)
{
    bool equal = a->rank == b->rank;
    for (int d = 0; equal && d < a->rank; d++)
        equal = d == except || a->dim[d].size == b->dim[d].size;
    return equal;
}

static bool all_fit(const char *op, const grd_list *parts, int except)
{
    for (int64_t i = 1; i < parts->count; i++)
        if (!fits(&parts->at[i]->array, &parts->at[0]->array, except))
            return grdi_fail(GRD_ERROR_SHAPE, op, "part %lld is %s, which does not fit part 0, %s",
                             (long long)i, grdi_size_text(parts->at[i]).chars,
                             grdi_size_text(parts->at[0]).chars);
    return true;
}

/* The size of all parts along `dim`; -1 if there is no such number. */
static int64_t whole_size(const grd_list *parts, int dim)
{
    int64_t size = 0;
    for (int64_t i = 0; i < parts->count; i++)
        if (__builtin_add_overflow(size, parts->at[i]->array.dim[dim].size, &size))
            return -1;
    return size;
}

bool grdi_may_cat(const grd_list *parts, int64_t dim, int *along)
{
    if (!are_alike("cat", parts) || !grdi_resolve_dim("cat", parts->at[0], dim, along) ||
        !all_fit("cat", parts, *along))
        return false;
    if (whole_size(parts, *along) >= 0)
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, "cat", "the %lld parts are too large together",
                     (long long)parts->count);
}

grd_tensor *grdi_cat(const grd_list *parts, int64_t dim)
{
    grdi_range range = { .step = 1 };
    if (!grdi_may_cat(parts, dim, &range.dim))
        return NULL;
    const grd_tensor *first = parts->at[0];
    grd_shape shape = grdi_array_shape(&first->array);
    shape.size[range.dim] = whole_size(parts, range.dim);
    grd_tensor *y = grdi_tensor_create("cat", &shape, first->array.dtype, grdi_device(first));
    for (int64_t i = 0; y && i < parts->count; i++) {
        range.size = parts->at[i]->array.dim[range.dim].size;
        const grdi_array part = grdi_array_slice(&y->array, &range);
        if (!grdi_copy_to("cat", &part, parts->at[i]))
            return NULL;
        range.start += range.size;
    }
    return y;
}

bool grdi_may_stack(const grd_list *parts, int64_t dim, int *along)
{
    return are_alike("stack", parts) && all_fit("stack", parts, -1) &&
           grdi_resolve_new_dim("stack", parts->at[0], dim, along);
}

grd_tensor *grdi_stack(const grd_list *parts, int64_t dim)
{
    grdi_range range = { .step = 1, .size = 1 };
    if (!grdi_may_stack(parts, dim, &range.dim))
        return NULL;
    const grd_tensor *first = parts->at[0];
    grd_shape shape = grdi_array_shape(&first->array);
    for (int64_t d = shape.rank++; d > range.dim; d--)
        shape.size[d] = shape.size[d - 1];
    shape.size[range.dim] = parts->count;
    grd_tensor *y = grdi_tensor_create("stack", &shape, first->array.dtype, grdi_device(first));
    for (; y && range.start < parts->count; range.start++) {
        grdi_array part = grdi_array_slice(&y->array, &range);
        grdi_drop_dim(&part, range.dim);
        if (!grdi_copy_to("stack", &part, parts->at[range.start]))
            return NULL;
    }
    return y;
}

/* Copies `size` elements of x along dim, from position `from` on, to position `to` of y. */
static bool move(grd_tensor *y, const grd_tensor *x, int dim, int64_t from, int64_t to,
                 int64_t size)
{
    const grdi_range source = { dim, from, 1, size }, target = { dim, to, 1, size };
    const grdi_array there = grdi_array_slice(&y->array, &target);
    const grd_tensor *part = grdi_slice(x, &source);
    return part && grdi_copy_to("roll", &there, part);
}

grd_tensor *grdi_roll(const grd_tensor *x, int64_t shift, int64_t dim)
{
    int along = 0;
    if (!x)
        return grdi_fail_null("roll");
    if (!grdi_resolve_dim("roll", x, dim, &along))
        return NULL;
    const grd_shape shape = grdi_array_shape(&x->array);
    grd_tensor *y = grdi_tensor_create("roll", &shape, x->array.dtype, grdi_device(x));
    const int64_t size = shape.size[along];
    if (!y || !size)
        return y;
    const int64_t rest = shift % size, first = rest < 0 ? rest + size : rest;
    const bool done =
        move(y, x, along, 0, first, size - first) && move(y, x, along, size - first, 0, first);
    return done ? y : NULL;
}
