#include "tensor/cuda/device.h"
#include "tensor/cuda/cudnn_flash.h"
#include "tensor/cuda/products.h"
#include "tensor/object.h"

#include <stdio.h>
#include <stdlib.h>

enum { MOST_DEVICES = 64 };

static void *fail_lasting(const grdi_cuda *cuda, const char *call, const char *text)
{
    return grdi_fail(
        GRD_ERROR_DEVICE, "cuda",
        "%s (%s) is lost: %s says %s; nothing on it can be used any more by this process",
        cuda->name, cuda->model, call, text);
}

static bool is_lasting(int result)
{
    return (result >= GRDI_CU_FIRST_LASTING && result <= GRDI_CU_LAST_LASTING) ||
           (result >= GRDI_CU_FIRST_FAULT && result <= GRDI_CU_LAST_FAULT);
}

grd_status grdi_cuda_status(const grdi_cuda *cuda, const char *call, int result)
{
    const char *text = NULL;
    if (result == 0)
        return GRD_OK;
    if (result == GRDI_CU_OUT_OF_MEMORY)
        return GRD_ERROR_MEMORY;
    if (cuda->driver->cuGetErrorString(result, &text) != 0 || !text)
        text = "an error that it has no words for";
    if (is_lasting(result))
        fail_lasting(cuda, call, text);
    else if (result == GRDI_CU_NO_IMAGE || result == GRDI_CU_BAD_IMAGE)
        grdi_fail(GRD_ERROR_DEVICE, "cuda",
                  "this library holds no kernels for %s (%s, compute capability %d.%d): build it "
                  "with nvcc for that GPU",
                  cuda->name, cuda->model, cuda->major, cuda->minor);
    else
        grdi_fail(GRD_ERROR_DEVICE, "cuda", "%s: %s says %s (%d)", cuda->name, call, text, result);
    return GRD_ERROR_DEVICE;
}

grd_status grdi_cuda_enter(const grdi_cuda *cuda)
{
    return GRDI_CUDA_CALL(cuda, cuCtxSetCurrent, (cuda->context));
}

static grd_status read_attribute(const grdi_cuda *cuda, int attribute, int *value)
{
    return GRDI_CUDA_CALL(cuda, cuDeviceGetAttribute, (value, attribute, cuda->handle));
}

static grd_status describe(grdi_cuda *cuda)
{
    int alignment = 0;
    grd_status status = GRDI_CUDA_CALL(cuda, cuDeviceGet, (&cuda->handle, cuda->ordinal));
    if (status == GRD_OK)
        status =
            GRDI_CUDA_CALL(cuda, cuDeviceGetName, (cuda->model, sizeof cuda->model, cuda->handle));
    if (status == GRD_OK)
        status = read_attribute(cuda, GRDI_CU_MAJOR, &cuda->major);
    if (status == GRD_OK)
        status = read_attribute(cuda, GRDI_CU_MINOR, &cuda->minor);
    if (status == GRD_OK)
        status = read_attribute(cuda, GRDI_CU_MULTIPROCESSORS, &cuda->multiprocessors);
    if (status == GRD_OK)
        status = read_attribute(cuda, GRDI_CU_ALIGNMENT, &alignment);
    cuda->alignment = (size_t)(alignment > 0 ? alignment : 1);
    return status;
}

static grd_status start_stages(grdi_cuda *cuda)
{
    grd_status status = GRD_OK;
    for (int i = 0; i < GRDI_CUDA_STAGES && status == GRD_OK; i++) {
        grdi_cuda_stage *stage = &cuda->stage[i];
        status = GRDI_CUDA_CALL(cuda, cuMemHostAlloc, (&stage->memory, GRDI_CUDA_STAGE_BYTES, 0));
        if (status == GRD_OK)
            status = GRDI_CUDA_CALL(cuda, cuEventCreate, (&stage->copied, GRDI_CU_DISABLE_TIMING));
    }
    return status;
}

/* Gives back what a start that failed had got so far. */
static void stop(grdi_cuda *cuda)
{
    const grdi_driver *d = cuda->driver;
    for (int i = 0; i < GRDI_CUDA_STAGES; i++) {
        if (cuda->stage[i].copied)
            d->cuEventDestroy_v2(cuda->stage[i].copied);
        if (cuda->stage[i].memory)
            d->cuMemFreeHost(cuda->stage[i].memory);
    }
    if (cuda->stream)
        d->cuStreamDestroy_v2(cuda->stream);
    if (cuda->context)
        d->cuDevicePrimaryCtxRelease_v2(cuda->handle);
    pthread_mutex_destroy(&cuda->lock);
    free(cuda);
}

static grd_status start(grdi_cuda *cuda)
{
    grd_status status = describe(cuda);
    if (status == GRD_OK)
        status = GRDI_CUDA_CALL(cuda, cuDevicePrimaryCtxRetain, (&cuda->context, cuda->handle));
    if (status == GRD_OK)
        status = grdi_cuda_enter(cuda);
    if (status == GRD_OK)
        status = GRDI_CUDA_CALL(cuda, cuStreamCreate, (&cuda->stream, GRDI_CU_NON_BLOCKING));
    return status == GRD_OK ? start_stages(cuda) : status;
}

static const grdi_kernels kernels = {
#define KERNEL(name, parameters, arguments) .name = grdi_cuda_##name,
#include "tensor/kernels.def"
#undef KERNEL
};

static grdi_cuda *make(const grdi_driver *driver, int n)
{
    grdi_cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda)
        return grdi_fail_memory("cuda", sizeof *cuda);
    cuda->driver = driver;
    cuda->ordinal = n;
    pthread_mutex_init(&cuda->lock, NULL);
    snprintf(cuda->name, sizeof cuda->name, "cuda:%d", n);
    cuda->device = (grd_device){ .name = cuda->name,
                                 .kernels = &kernels,
                                 .allocate = grdi_cuda_allocate,
                                 .free = grdi_cuda_free,
                                 .upload = grdi_cuda_upload,
                                 .download = grdi_cuda_download,
                                 .allow_tf32 = grdi_cuda_allow_tf32,
                                 .attention_library = &grdi_cuda_cudnn,
                                 .state = cuda };
    if (start(cuda) == GRD_OK)
        return cuda;
    grdi_fail(GRD_ERROR_MEMORY, "cuda", "%s has no memory left for a context", cuda->name);
    stop(cuda);
    return NULL;
}

bool grd_cuda_available(void)
{
    const char *why;
    return grdi_cuda_driver(&why);
}

/* Made when first asked for, and kept: tensors point at their device. */
static grdi_cuda *made[MOST_DEVICES];
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

grd_device *grd_cuda(int n)
{
    const char *why;
    const grdi_driver *driver = grdi_cuda_driver(&why);
    if (grdi_latched())
        return NULL;
    if (!driver)
        return grdi_fail(GRD_ERROR_DEVICE, "cuda", "GPU %d is out of reach: %s", n, why);
    const int count = driver->devices < MOST_DEVICES ? driver->devices : MOST_DEVICES;
    if (n < 0 || n >= count)
        return grdi_fail(GRD_ERROR_DEVICE, "cuda", "there is no GPU %d: there %s %d, from 0 on", n,
                         count == 1 ? "is" : "are", count);
    pthread_mutex_lock(&making);
    if (!made[n])
        made[n] = make(driver, n);
    grdi_cuda *cuda = made[n];
    pthread_mutex_unlock(&making);
    return cuda ? &cuda->device : NULL;
}

void grdi_cuda_trim(void)
{
    pthread_mutex_lock(&making);
    for (int n = 0; n < MOST_DEVICES; n++)
        if (made[n])
            grdi_cuda_give_back(made[n]);
    pthread_mutex_unlock(&making);
}
