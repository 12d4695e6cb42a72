/* Memory of a GPU. All work on it is done by one stream in order, so a block that is freed may be
 * handed out at once: what used it runs before what will. */
#include "tensor/cuda/device.h"
#include "tensor/object.h"

#include <stdlib.h>

typedef struct grdi_cuda_block {
    grdi_cu_memory at;
    size_t bytes;
    struct grdi_cuda_block *next;
} block;

/* Sizes that are near each other share their blocks: above 1 MiB all within an eighth. */
static size_t rounded(const grdi_cuda *cuda, size_t bytes)
{
    size_t step = cuda->alignment;
    while (bytes > 1 << 20 && step < bytes / 16)
        step *= 2;
    return bytes > SIZE_MAX - step ? SIZE_MAX : (bytes + step - 1) / step * step;
}

static block **list_of(grdi_cuda *cuda, size_t bytes)
{
    const uint64_t hash = bytes * UINT64_C(0x9E3779B97F4A7C15);
    return &cuda->blocks.free[hash >> 56];
}

static bool take_cached(grdi_cuda *cuda, size_t bytes, grdi_cu_memory *at)
{
    for (block **b = list_of(cuda, bytes); *b; b = &(*b)->next)
        if ((*b)->bytes == bytes) {
            block *taken = *b;
            *b = taken->next;
            *at = taken->at;
            free(taken);
            cuda->blocks.cached -= bytes;
            return true;
        }
    return false;
}

/* All that is cached, which the driver may need for another size. */
static void give_back(grdi_cuda *cuda)
{
    cuda->driver->cuStreamSynchronize(cuda->stream);
    for (int i = 0; i < 256; i++)
        for (block *b = cuda->blocks.free[i], *next; b; b = next) {
            next = b->next;
            cuda->driver->cuMemFree_v2(b->at);
            free(b);
            cuda->blocks.free[i] = next;
        }
    cuda->blocks.cached = 0;
}

static void fail_for_want(const grdi_cuda *cuda, size_t bytes)
{
    size_t left = 0, total = 0;
    const double mib = 1 << 20;
    cuda->driver->cuMemGetInfo_v2(&left, &total);
    grdi_fail(
        GRD_ERROR_MEMORY, "cuda",
        "%s has no %.1f MiB left: %.1f MiB are held by tensors, and %.1f of %.1f MiB are free",
        cuda->name, (double)bytes / mib, (double)cuda->blocks.used / mib, (double)left / mib,
        (double)total / mib);
}

static grd_status take(grdi_cuda *cuda, size_t bytes, grdi_cu_memory *at)
{
    if (take_cached(cuda, bytes, at))
        return GRD_OK;
    grd_status status = GRDI_CUDA_CALL(cuda, cuMemAlloc_v2, (at, bytes));
    if (status != GRD_ERROR_MEMORY)
        return status;
    if (!cuda->collects) {
        give_back(cuda);
        status = GRDI_CUDA_CALL(cuda, cuMemAlloc_v2, (at, bytes));
    }
    if (status == GRD_ERROR_MEMORY)
        fail_for_want(cuda, bytes);
    return status;
}

void *grdi_cuda_allocate(grd_device *device, size_t bytes)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    const size_t size = rounded(cuda, bytes);
    grdi_cu_memory at = 0;
    if (grdi_cuda_enter(cuda) != GRD_OK)
        return NULL;
    pthread_mutex_lock(&cuda->lock);
    const bool taken = take(cuda, size, &at) == GRD_OK;
    if (taken)
        cuda->blocks.used += size;
    pthread_mutex_unlock(&cuda->lock);
    return taken ? (void *)(uintptr_t)at : NULL;
}

/* Where there is no memory to note a block, it goes back to the driver; but not while a graph is
 * collected, which may have to work on it: then it is lost. */
void grdi_cuda_free(grd_device *device, void *memory, size_t bytes)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    const size_t size = rounded(cuda, bytes);
    const grdi_cu_memory at = (uintptr_t)memory;
    pthread_mutex_lock(&cuda->lock);
    cuda->blocks.used -= size;
    block *b = malloc(sizeof *b);
    if (b) {
        block **list = list_of(cuda, size);
        *b = (block){ at, size, *list };
        *list = b;
        cuda->blocks.cached += size;
    } else if (!cuda->collects && cuda->driver->cuCtxSetCurrent(cuda->context) == 0)
        cuda->driver->cuMemFree_v2(at);
    pthread_mutex_unlock(&cuda->lock);
}

void grdi_cuda_give_back(grdi_cuda *cuda)
{
    if (cuda->driver->cuCtxSetCurrent(cuda->context) != 0)
        return;
    pthread_mutex_lock(&cuda->lock);
    if (!cuda->collects)
        give_back(cuda);
    pthread_mutex_unlock(&cuda->lock);
}
