/* Work that a device collects and then starts as one: the object; the device does the rest. */
#include "tensor/backend.h"
#include "tensor/object.h"

struct grd_cuda_graph {
    grdi_object object;
    grd_device *device;
    void *kept; /* the device's, from one launch to the next */
    bool begun;
};

static void graph_destroy(void *object)
{
    grd_cuda_graph *self = object;
    if (self->begun)
        self->device->graphs->abandon(self->device);
    if (self->kept)
        self->device->graphs->free(self->device, self->kept);
    grdi_free(self, sizeof *self);
}

static const grdi_type graph_type = { "graph", graph_destroy };

grd_cuda_graph *grd_cuda_graph_create(grd_device *device)
{
    const char *op = "cuda_graph_create";
    if (!device)
        return grdi_fail_null(op);
    if (!device->graphs)
        return grdi_fail(GRD_ERROR_UNSUPPORTED, op, "%s has no graphs: only GPUs have (grd_cuda)",
                         device->name);
    if (!grdi_may_make(op))
        return NULL;
    grd_cuda_graph *self = grdi_allocate(sizeof *self);
    if (!self)
        return grdi_fail_memory(op, sizeof *self);
    *self = (grd_cuda_graph){ .device = device };
    grdi_object_init(&self->object, &graph_type);
    grdi_scope_own(&self->object);
    return self;
}

static void check(const char *op, const grd_device *device, grd_status status)
{
    if (status != GRD_OK)
        grdi_fail(status, op, "failed on %s", device->name);
}

grd_status grd_cuda_graph_begin(grd_cuda_graph *self)
{
    const char *op = "cuda_graph_begin";
    if (!self)
        grdi_fail_null(op);
    else if (self->begun)
        grdi_fail(GRD_ERROR_STATE, op, "it was begun before, and not launched");
    if (grdi_latched())
        return grdi_self.latched;
    check(op, self->device, self->device->graphs->begin(self->device));
    self->begun = !grdi_latched();
    return grdi_self.latched;
}

grd_status grd_cuda_graph_launch(grd_cuda_graph *self)
{
    const char *op = "cuda_graph_launch";
    if (!self)
        grdi_fail_null(op);
    else if (!self->begun)
        grdi_fail(GRD_ERROR_STATE, op, "it was not begun (grd_cuda_graph_begin)");
    else if (grdi_latched())
        self->device->graphs->abandon(self->device);
    else
        check(op, self->device, self->device->graphs->launch(self->device, &self->kept));
    if (self)
        self->begun = false;
    return grdi_self.latched;
}
