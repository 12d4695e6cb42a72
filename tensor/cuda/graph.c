/* Work of the stream that is collected as a CUDA graph and then started as one. It is collected
 * anew each time: where it is of the same calls as before, the graph that was made ready then takes
 * over the new ones' arguments, which is much faster than to make another ready.
 *
 * Memory may be asked for meanwhile, and kernels loaded, since neither is work of the stream; but
 * the stream cannot be waited for, nor memory given back on which it has yet to work. */
#include "tensor/cuda/device.h"
#include "tensor/object.h"

static grd_status begin(grd_device *device)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    grd_status status = grdi_cuda_enter(cuda);
    if (status != GRD_OK)
        return status;
    pthread_mutex_lock(&cuda->lock);
    if (cuda->collects) {
        grdi_fail(GRD_ERROR_STATE, "cuda", "%s: another graph was begun, and not launched",
                  cuda->name);
        status = GRD_ERROR_STATE;
    } else {
        status =
            GRDI_CUDA_CALL(cuda, cuStreamBeginCapture_v2, (cuda->stream, GRDI_CU_CAPTURE_RELAXED));
        cuda->collects = status == GRD_OK;
        cuda->staged = 0;
    }
    pthread_mutex_unlock(&cuda->lock);
    return status;
}

static void release(const grdi_cuda *cuda, void *graph)
{
    if (graph)
        cuda->driver->cuGraphExecDestroy(graph);
}

/* Makes `ready` one that does what was collected. */
static grd_status prepare(const grdi_cuda *cuda, grdi_cu_graph *collected, void **ready)
{
    grdi_cu_update why;
    grdi_cu_executable *made = NULL;
    if (*ready) {
        const int result = cuda->driver->cuGraphExecUpdate_v2(*ready, collected, &why);
        if (result == 0)
            return GRD_OK;
        if (result != GRDI_CU_NOT_UPDATED)
            return grdi_cuda_status(cuda, "cuGraphExecUpdate", result);
    }
    release(cuda, *ready);
    *ready = NULL;
    const grd_status status =
        GRDI_CUDA_CALL(cuda, cuGraphInstantiateWithFlags, (&made, collected, 0));
    *ready = status == GRD_OK ? made : NULL;
    return status;
}

static grd_status end(grdi_cuda *cuda, void **ready)
{
    grdi_cu_graph *collected = NULL;
    cuda->collects = false;
    grd_status status = GRDI_CUDA_CALL(cuda, cuStreamEndCapture, (cuda->stream, &collected));
    if (status == GRD_OK)
        status = prepare(cuda, collected, ready);
    if (collected)
        cuda->driver->cuGraphDestroy(collected);
    if (status == GRD_OK)
        status = GRDI_CUDA_CALL(cuda, cuGraphLaunch, (*ready, cuda->stream));
    return status == GRD_OK ? grdi_cuda_note_staged(cuda) : status;
}

static void abandon(grd_device *device)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    grdi_cu_graph *collected = NULL;
    cuda->driver->cuCtxSetCurrent(cuda->context);
    pthread_mutex_lock(&cuda->lock);
    cuda->collects = false;
    cuda->driver->cuStreamEndCapture(cuda->stream, &collected);
    if (collected)
        cuda->driver->cuGraphDestroy(collected);
    pthread_mutex_unlock(&cuda->lock);
}

static grd_status launch(grd_device *device, void **ready)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    const grd_status entered = grdi_cuda_enter(cuda);
    if (entered != GRD_OK) {
        abandon(device);
        return entered;
    }
    pthread_mutex_lock(&cuda->lock);
    const grd_status status = end(cuda, ready);
    pthread_mutex_unlock(&cuda->lock);
    return status;
}

static void free_graph(grd_device *device, void *ready)
{
    const grdi_cuda *cuda = grdi_cuda_of(device);
    cuda->driver->cuCtxSetCurrent(cuda->context);
    release(cuda, ready);
}

const grdi_graphs grdi_cuda_graphs = { begin, launch, abandon, free_graph };
