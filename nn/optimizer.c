/* What all optimizers share: slots for parameters, groups, and the checks before a step. */
#include "nn/optimizer.h"
#include "tensor/front.h"

#include <math.h>
#include <string.h>

static void optimizer_destroy(void *object)
{
    grd_optimizer *self = object;
    for (int64_t i = 0; i < self->num_slots; i++) {
        grdi_release(self->slots[i].master);
        for (int m = 0; m < self->num_moments; m++)
            grdi_release(self->slots[i].moment[m]);
    }
    grdi_release(self->unscaled.by);
    grdi_release(self->module);
    grdi_free(self, self->bytes);
}

static const grdi_type optimizer_type = { "optimizer", optimizer_destroy };

/* ---- Groups ---- */

static bool check_group(const char *op, const grd_module *module, const grd_group *group)
{
    grdi_nearest nearest = { .wanted = group->names };
    bool matched = false;
    if (!(group->lr_factor >= 0 && isfinite(group->lr_factor)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "group \"%.80s\": lr_factor is %g", group->names,
                         group->lr_factor);
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const char *name = grd_module_parameter_at(module, i).name;
        matched |= grdi_matches(group->names, name);
        grdi_nearest_try(&nearest, name);
    }
    return matched || grdi_fail(GRD_ERROR_ARGUMENT, op,
                                "group \"%.80s\" matches no parameter of %s%s", group->names,
                                grdi_module_text(module).chars, grdi_nearest_text(&nearest).chars);
}

static bool check_groups(const char *op, const grd_module *module, const grd_group groups[])
{
    for (int i = 0; i < GRD_MAX_GROUPS && groups[i].names; i++)
        if (!check_group(op, module, &groups[i]))
            return false;
    return true;
}

/* The first group that the name matches; an empty one if none does. */
static grd_group group_of(const grd_group groups[], const char *name)
{
    for (int i = 0; i < GRD_MAX_GROUPS && groups[i].names; i++)
        if (grdi_matches(groups[i].names, name))
            return groups[i];
    return (grd_group){ 0 };
}

/* ---- Making ---- */

static bool is_trained(const grd_tensor *parameter)
{
    return grd_tensor_requires_grad(parameter);
}

/* Counts what will be trained, and the characters of its names. */
static bool measure(const char *op, const grd_module *module, int64_t *slots, size_t *chars)
{
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_named parameter = grd_module_parameter_at(module, i);
        if (!is_trained(parameter.tensor))
            continue;
        *chars += strlen(parameter.name) + 1;
        ++*slots;
    }
    return *slots || grdi_fail(GRD_ERROR_STATE, op,
                               "%s has nothing to train: it has no parameters, or all are frozen",
                               grdi_module_text(module).chars);
}

/* Steps are too small for 16 bits, which would round most of them away. */
static grd_tensor *master_of(grd_tensor *parameter)
{
    const grd_dtype dtype = grdi_summed_in(parameter->array.dtype);
    return parameter->array.dtype == dtype ? parameter : grdi_cast(parameter, dtype);
}

static bool fill_slot(const grd_optimizer *self, grdi_slot *slot, const grdi_grouping *grouping)
{
    const grd_group group = group_of(grouping->groups, slot->name);
    const grdi_array *x = &slot->parameter->array;
    const grd_shape shape = grdi_array_shape(x);
    const bool decays = !group.no_decay && (!grouping->decay_matrices_only || x->rank >= 2);
    slot->lr_factor = group.lr_factor > 0 ? group.lr_factor : 1;
    slot->weight_decay = decays ? grouping->weight_decay : 0;
    slot->dtype = x->dtype;
    slot->device = grdi_device(slot->parameter);
    slot->master = grdi_retain(master_of(slot->parameter));
    for (int m = 0; slot->master && m < self->num_moments; m++) {
        slot->moment[m] = grdi_retain(
            grdi_full(self->algorithm->name, &shape, 0, slot->master->array.dtype, slot->device));
        if (!slot->moment[m])
            return false;
    }
    return slot->master;
}

static bool fill_slots(grd_optimizer *self, char *chars, const grdi_grouping *grouping)
{
    for (int64_t i = 0, slot = 0; slot < self->num_slots; i++) {
        const grd_named parameter = grd_module_parameter_at(self->module, i);
        if (!is_trained(parameter.tensor))
            continue;
        grdi_slot *filled = &self->slots[slot++];
        filled->name = strcpy(chars, parameter.name);
        filled->parameter = parameter.tensor;
        chars += strlen(chars) + 1;
        if (!fill_slot(self, filled, grouping))
            return false;
    }
    return true;
}

grd_optimizer *grdi_optimizer_create(const grdi_algorithm *algorithm, int num_moments,
                                     grd_module *module, const double options[],
                                     const grdi_grouping *grouping)
{
    const char *op = algorithm->name;
    int64_t slots = 0;
    size_t chars = 0;
    if (!grdi_may_make(op) || !measure(op, module, &slots, &chars) ||
        !check_groups(op, module, grouping->groups))
        return NULL;
    const size_t bytes = sizeof(grd_optimizer) + (size_t)slots * sizeof(grdi_slot) + chars;
    grd_optimizer *self = grdi_allocate(bytes);
    if (!self)
        return grdi_fail_memory(op, bytes);

    memset(self, 0, bytes);
    grdi_object_init(&self->object, &optimizer_type);
    self->algorithm = algorithm;
    self->module = grdi_retain(module);
    self->bytes = bytes;
    memcpy(self->option, options, sizeof self->option);
    self->num_moments = num_moments;
    self->num_slots = slots;
    grdi_scope_own(&self->object);
    return fill_slots(self, (char *)(self->slots + slots), grouping) ? self : NULL;
}

/* ---- Stepping ---- */

/* Whether what is kept for the parameter still fits it. */
static bool check_slot(const grdi_slot *slot)
{
    const grd_tensor *x = slot->parameter;
    if (x->array.dtype == slot->dtype && grdi_device(x) == slot->device)
        return true;
    return grdi_fail(GRD_ERROR_STATE, "optimizer_step",
                     "%s was moved from %s on %s to %s on %s after this optimizer was made: make "
                     "it after grd_module_to",
                     slot->name, grdi_dtype_name(slot->dtype), slot->device->name,
                     grdi_dtype_name(x->array.dtype), grdi_device(x)->name);
}

static bool has_slot(const grd_optimizer *self, const grd_tensor *parameter)
{
    for (int64_t i = 0; i < self->num_slots; i++)
        if (self->slots[i].parameter == parameter)
            return true;
    return false;
}

static bool fail_unknown(const grd_optimizer *self)
{
    for (int64_t i = 0; i < grd_module_num_parameters(self->module); i++) {
        const grd_named parameter = grd_module_parameter_at(self->module, i);
        if (grd_tensor_grad(parameter.tensor) && !has_slot(self, parameter.tensor))
            return grdi_fail(GRD_ERROR_STATE, "optimizer_step",
                             "%s was added or unfrozen after this optimizer was made",
                             parameter.name);
    }
    return false;
}

/* Everything that can be wrong, before anything changes. */
static bool may_step(const grd_optimizer *self, double lr)
{
    int64_t gradients = 0, mine = 0;
    if (!(lr >= 0 && isfinite(lr)))
        return grdi_fail(GRD_ERROR_ARGUMENT, "optimizer_step", "the learning rate is %g", lr);
    grdi_gradient_norm("optimizer_step", self->module, &(grdi_norm_parts){ 0 }, &gradients);
    if (grdi_latched())
        return false;
    if (!gradients)
        return grdi_fail(GRD_ERROR_STATE, "optimizer_step",
                         "no parameter of %s has a gradient (call grd_backward first)",
                         grdi_module_text(self->module).chars);
    for (int64_t i = 0; i < self->num_slots; i++) {
        mine += grd_tensor_grad(self->slots[i].parameter) != NULL;
        if (!check_slot(&self->slots[i]))
            return false;
    }
    return mine == gradients || fail_unknown(self);
}

static bool step_slot(const grd_optimizer *self, grdi_slot *slot, double lr,
                      const grd_tensor *gradient)
{
    const grd_dtype dtype = slot->master->array.dtype;
    if (gradient->array.dtype != dtype && !(gradient = grdi_cast(gradient, dtype)))
        return false;
    slot->steps++;
    if (!self->algorithm->step(self, slot, lr * slot->lr_factor, gradient) ||
        (slot->master != slot->parameter && grd_copy_(slot->parameter, slot->master) != GRD_OK))
        return false;
    grd_zero_grad(slot->parameter);
    return true;
}

static void step(grd_optimizer *self, double lr)
{
    for (int64_t i = 0; i < self->num_slots; i++) {
        grdi_slot *slot = &self->slots[i];
        const grd_tensor *gradient = grd_tensor_grad(slot->parameter);
        if (gradient && !step_slot(self, slot, lr, gradient))
            return;
    }
}

grd_status grd_optimizer_step(grd_optimizer *self, double lr)
{
    if (!self)
        grdi_fail_null("optimizer_step");
    if (grdi_latched() || !may_step(self, lr))
        return grdi_self.latched;
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    step(self, lr);
    return grd_scope_end(&scope);
}

/* ---- For checkpoints ---- */

static int64_t kept_in(const grd_optimizer *self, const grdi_slot *slot)
{
    return self->num_moments + (slot->master != slot->parameter);
}

int64_t grdi_optimizer_num_moments(const grd_optimizer *self)
{
    int64_t count = 0;
    for (int64_t i = 0; self && i < self->num_slots; i++)
        count += kept_in(self, &self->slots[i]);
    return count;
}

grdi_moment grdi_optimizer_moment(const grd_optimizer *self, int64_t i)
{
    const grdi_slot *slot = self ? self->slots : NULL, *end = slot ? slot + self->num_slots : NULL;
    for (; slot < end && i >= kept_in(self, slot); slot++)
        i -= kept_in(self, slot);
    if (slot == end || i < 0)
        return (grdi_moment){ 0 };
    const bool is_master = i == self->num_moments;
    return (grdi_moment){ is_master ? "master" : self->algorithm->moments[i], slot->name,
                          is_master ? slot->master : slot->moment[i], (int64_t *)&slot->steps };
}

const char *grdi_optimizer_algorithm(const grd_optimizer *self)
{
    return self->algorithm->name;
}

grdi_option grdi_optimizer_option(const grd_optimizer *self, int i)
{
    if (i < 0 || i >= GRDI_MAX_OPTIONS || !self->algorithm->options[i])
        return (grdi_option){ 0 };
    return (grdi_option){ self->algorithm->options[i], self->option[i] };
}
