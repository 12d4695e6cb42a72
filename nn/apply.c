/* What changes every parameter of a tree: freezing, moving, initialising. */
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
