/* Loss scaling by the rules of PyTorch's GradScaler, for gradients that f16 would round to 0. */
#include "nn/grad_scaler.h"
#include "autograd/node.h"
#include "nn/optimizer.h"
#include "tensor/front.h"

#include <inttypes.h>
#include <math.h>

static const double least_scale = 0x1p-24; /* f16's least number: what overflows then is no f16 */

static void scaler_destroy(void *object)
{
    grdi_free(object, sizeof(grd_grad_scaler));
}

static const grdi_type scaler_type = { "grad_scaler", scaler_destroy };

static bool check(const char *op, const grd_grad_scaler_options *o)
{
    if (!(o->init_scale >= least_scale && isfinite((float)o->init_scale)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "init_scale is %g", o->init_scale);
    if (!(o->growth_factor > 1 && isfinite(o->growth_factor)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "growth_factor is %g: it must be above 1",
                         o->growth_factor);
    if (!(o->backoff_factor > 0 && o->backoff_factor < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "backoff_factor is %g, not in (0, 1)",
                         o->backoff_factor);
    return o->growth_interval > 0 ||
           grdi_fail(GRD_ERROR_ARGUMENT, op, "growth_interval is %" PRId64 ": it must be above 0",
                     o->growth_interval);
}

static grd_grad_scaler_options completed(const grd_grad_scaler_options *options)
{
    grd_grad_scaler_options o = options ? *options : (grd_grad_scaler_options){ 0 };
    o.init_scale = o.init_scale != 0 ? o.init_scale : 65536;
    o.growth_factor = o.growth_factor != 0 ? o.growth_factor : 2;
    o.backoff_factor = o.backoff_factor != 0 ? o.backoff_factor : 0.5;
    o.growth_interval = o.growth_interval != 0 ? o.growth_interval : 2000;
    return o;
}

grd_grad_scaler *grd_grad_scaler_create(const grd_grad_scaler_options *options)
{
    const char *op = "grad_scaler_create";
    const grd_grad_scaler_options chosen = completed(options);
    if (!grdi_may_make(op) || !check(op, &chosen))
        return NULL;
    grd_grad_scaler *self = grdi_allocate(sizeof *self);
    if (!self)
        return grdi_fail_memory(op, sizeof *self);
    *self = (grd_grad_scaler){ .options = chosen, .scale = (float)chosen.init_scale };
    grdi_object_init(&self->object, &scaler_type);
    grdi_scope_own(&self->object);
    return self;
}

grd_tensor *grd_grad_scaler_scale(const grd_grad_scaler *self, const grd_tensor *loss)
{
    if (!self || !loss)
        return grdi_fail_null("grad_scaler_scale");
    if (loss->array.dtype == GRD_F16)
        return grdi_fail(GRD_ERROR_DTYPE, "grad_scaler_scale",
                         "the loss is f16, which ends at 65504: grd_cast logits to f32 before it");
    return grd_mul_scalar(loss, self->scale);
}

double grd_grad_scaler_get_scale(const grd_grad_scaler *self)
{
    if (!self)
        grdi_fail_null("grad_scaler_get_scale");
    return self ? self->scale : NAN;
}

int64_t grd_grad_scaler_skipped_steps(const grd_grad_scaler *self)
{
    return self ? self->skipped_steps : 0;
}

/* ---- Unscaling ---- */

static int64_t count_gradients(const grd_optimizer *optimizer, grd_device **device)
{
    int64_t count = 0;
    for (int64_t i = 0; i < optimizer->num_slots; i++) {
        const grd_tensor *gradient = grd_tensor_grad(optimizer->slots[i].parameter);
        if (gradient && !count++)
            *device = grdi_device(gradient);
    }
    return count;
}

/* In f32 where it has 16 bits, which would lose what the scale was for. */
static grd_tensor *unscaled(const grd_tensor *gradient, double factor)
{
    const grd_dtype dtype = grdi_summed_in(gradient->array.dtype);
    grd_tensor *wide =
        gradient->array.dtype == dtype ? (grd_tensor *)gradient : grdi_cast(gradient, dtype);
    return wide && grd_mul_scalar_(wide, factor) == GRD_OK ? wide : NULL;
}

/* Row n of sums, of the n-th gradient there is, tells how many of its elements are not finite. */
static bool unscale_all(const grd_optimizer *optimizer, double factor, grd_tensor *sums)
{
    for (int64_t i = 0, row = 0; i < optimizer->num_slots; i++) {
        grd_tensor *parameter = optimizer->slots[i].parameter;
        const grd_tensor *gradient = grd_tensor_grad(parameter);
        grd_tensor *wide = gradient ? unscaled(gradient, factor) : NULL;
        if (gradient && (!wide || !grdi_square_sum(sums, row++, wide)))
            return false;
        if (wide)
            grdi_leaf_set_grad(parameter, wide);
    }
    return true;
}

static void drop_gradients(const grd_optimizer *optimizer)
{
    for (int64_t i = 0; i < optimizer->num_slots; i++)
        grd_zero_grad(optimizer->slots[i].parameter);
}

/* False after a failure; what is half unscaled must not be stepped with. */
static bool unscale(const char *op, const grd_grad_scaler *self, const grd_optimizer *optimizer,
                    bool *found_inf)
{
    grd_device *device = NULL;
    const int64_t count = count_gradients(optimizer, &device);
    if (!count)
        return grdi_fail(GRD_ERROR_STATE, op,
                         "no parameter of %s has a gradient (call grd_backward first)",
                         grdi_module_text(optimizer->module).chars);
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    grd_tensor *sums = grdi_tensor_create(op, &(grd_shape){ 2, { count, 2 } }, GRD_F64, device);
    const double bad = sums && unscale_all(optimizer, 1. / self->scale, sums)
                           ? grd_item(grd_sum(grd_select(sums, 1, 1)))
                           : 0;
    *found_inf = bad > 0;
    const bool done = grd_scope_end(&scope) == GRD_OK;
    if (!done || *found_inf)
        drop_gradients(optimizer);
    return done;
}

/* What the optimizer has come to in this round. */
static grdi_unscaled *noted(grd_grad_scaler *self, grd_optimizer *optimizer)
{
    grdi_unscaled *note = &optimizer->unscaled;
    if (note->by != self || note->round != self->round) {
        grdi_retain(self);
        grdi_release(note->by);
        *note = (grdi_unscaled){ .by = self, .round = self->round };
    }
    return note;
}

static bool unscale_once(const char *op, grd_grad_scaler *self, grd_optimizer *optimizer)
{
    grdi_unscaled *note = noted(self, optimizer);
    if (note->done)
        return true;
    if (!unscale(op, self, optimizer, &note->found_inf))
        return false;
    note->done = self->looked = true;
    self->found_inf |= note->found_inf;
    return true;
}

static bool fail_twice(const char *op, const char *what)
{
    return grdi_fail(GRD_ERROR_STATE, op,
                     "%s since the last grd_grad_scaler_update: call that after each step", what);
}

grd_status grd_grad_scaler_unscale(grd_grad_scaler *self, grd_optimizer *optimizer)
{
    const char *op = "grad_scaler_unscale";
    if (!self || !optimizer)
        grdi_fail_null(op);
    if (grdi_latched())
        return grdi_self.latched;
    if (noted(self, optimizer)->done)
        fail_twice(op, "these gradients were unscaled already");
    else
        unscale_once(op, self, optimizer);
    return grdi_self.latched;
}

/* ---- Stepping ---- */

grd_status grd_grad_scaler_step(grd_grad_scaler *self, grd_optimizer *optimizer, double lr)
{
    const char *op = "grad_scaler_step";
    if (!self || !optimizer)
        grdi_fail_null(op);
    if (grdi_latched())
        return grdi_self.latched;
    grdi_unscaled *note = noted(self, optimizer);
    if (note->stepped)
        fail_twice(op, "this optimizer was stepped already");
    else if (unscale_once(op, self, optimizer))
        note->stepped = note->found_inf || grd_optimizer_step(optimizer, lr) == GRD_OK;
    self->skipped_steps += !grdi_latched() && note->found_inf;
    return grdi_self.latched;
}

static bool back_off(grd_grad_scaler *self)
{
    const double scale = self->scale * self->options.backoff_factor;
    if (scale < least_scale)
        return grdi_fail(GRD_ERROR_NOT_FINITE, "grad_scaler_update",
                         "gradients are not finite although the loss was scaled by %g only: the "
                         "model's values overflow, not the scaled gradients",
                         self->scale);
    self->scale = (float)scale;
    self->growth_tracker = 0;
    return true;
}

static bool grow(grd_grad_scaler *self)
{
    const float scale = (float)(self->scale * self->options.growth_factor);
    if (++self->growth_tracker < self->options.growth_interval)
        return true;
    self->growth_tracker = 0;
    if (isfinite(scale))
        self->scale = scale;
    return true;
}

grd_status grd_grad_scaler_update(grd_grad_scaler *self)
{
    if (!self)
        grdi_fail_null("grad_scaler_update");
    else if (!grdi_latched() && !self->looked)
        grdi_fail(GRD_ERROR_STATE, "grad_scaler_update",
                  "no gradients were looked at since the last update: it comes after "
                  "grd_grad_scaler_step");
    if (grdi_latched() || !(self->found_inf ? back_off(self) : grow(self)))
        return grdi_self.latched;
    self->looked = self->found_inf = false;
    self->round++;
    return GRD_OK;
}
