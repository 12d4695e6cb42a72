/* What changes every parameter of a tree: freezing, moving. */
#include "autograd/node.h"
#include "nn/module.h"

grd_status grd_module_freeze(grd_module *self)
{
    if (!self)
        grdi_fail_null("module_freeze");
    for (int64_t i = 0; !grdi_latched() && i < grd_module_num_parameters(self); i++)
        grdi_leaf_forget(grd_module_parameter_at(self, i).tensor);
    return grdi_self.latched;
}

grd_status grd_module_unfreeze(grd_module *self)
{
    if (!self)
        grdi_fail_null("module_unfreeze");
    for (int64_t i = 0; !grdi_latched() && i < grd_module_num_parameters(self); i++)
        grd_require_grad(grd_module_parameter_at(self, i).tensor);
    return grdi_self.latched;
}

void grd_module_zero_grad(grd_module *self)
{
    for (int64_t i = 0; i < grd_module_num_parameters(self); i++)
        grd_zero_grad(grd_module_parameter_at(self, i).tensor);
}

/* ---- Moving ---- */

/* x as it will be, x itself where nothing changes; NULL with an error latched. */
static grd_tensor *moved(grd_tensor *x, grd_device *device, grd_dtype dtype)
{
    grd_tensor *y = x;
    if (dtype && dtype != x->array.dtype && grdi_is_floating(x->array.dtype))
        y = grdi_cast(y, dtype);
    if (y && device && device != grdi_device(x))
        y = grdi_to_device(y, device);
    return !y || y == x || !x->history ? y : grd_require_grad(y);
}

/* Gives x the memory and the history of y, and the other way round. The version goes on counting,
 * so that what a graph saved of x shows that it changed. */
static void exchange(grd_tensor *x, grd_tensor *y)
{
    const grd_tensor old = *x;
    y->storage->version = x->storage->version + 1;
    x->storage = y->storage;
    x->history = y->history;
    x->array = y->array;
    y->storage = old.storage;
    y->history = old.history;
    y->array = old.array;
}

/* First makes every new tensor, then exchanges them, so that failing changes nothing. */
static void move_all(grd_module *self, grd_device *device, grd_dtype dtype, grd_tensor *replaced[])
{
    const int64_t count = grdi_module_num_states(self);
    for (int64_t i = 0; i < count; i++)
        if (!(replaced[i] = moved(grdi_module_state(self, i).tensor, device, dtype)))
            return;
    for (int64_t i = 0; i < count; i++)
        if (replaced[i] != grdi_module_state(self, i).tensor)
            exchange(grdi_module_state(self, i).tensor, replaced[i]);
}

grd_status grd_module_to(grd_module *self, grd_device *device, grd_dtype dtype)
{
    const char *op = "module_to";
    if (!self)
        grdi_fail_null(op);
    else if ((unsigned)dtype >= GRD_DTYPE_COUNT || (dtype && !grdi_is_floating(dtype)))
        grdi_fail(GRD_ERROR_DTYPE, op, "a module's dtype is f32, f64, f16 or bf16");
    const size_t bytes = (size_t)grdi_module_num_states(self) * sizeof(grd_tensor *);
    if (grdi_latched() || !bytes)
        return grdi_self.latched;
    grd_tensor **replaced = grdi_allocate(bytes);
    if (!replaced)
        grdi_fail_memory(op, bytes);
    grd_scope scope;
    grdi_scope_open(&scope);
    if (replaced)
        move_all(self, device, dtype, replaced);
    grdi_free(replaced, bytes);
    return grd_scope_end(&scope);
}
