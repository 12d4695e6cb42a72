/* Copies between host and GPU, through memory that the GPU reads and writes by itself. An upload
 * returns once `from` is read, a download once all work before it is done. */
#include "tensor/cuda/device.h"

#include <string.h>

static size_t piece(size_t bytes)
{
    return bytes < GRDI_CUDA_STAGE_BYTES ? bytes : GRDI_CUDA_STAGE_BYTES;
}

/* The next stage, once what was put there before is copied. */
static grd_status free_stage(grdi_cuda *cuda, grdi_cuda_stage **stage)
{
    *stage = &cuda->stage[cuda->next_stage++ % GRDI_CUDA_STAGES];
    return GRDI_CUDA_CALL(cuda, cuEventSynchronize, ((*stage)->copied));
}

static grd_status upload_piece(grdi_cuda *cuda, grdi_cu_memory to, const void *from, size_t bytes)
{
    grdi_cuda_stage *stage;
    grd_status status = free_stage(cuda, &stage);
    if (status != GRD_OK)
        return status;
    memcpy(stage->memory, from, bytes);
    status = GRDI_CUDA_CALL(cuda, cuMemcpyHtoDAsync_v2, (to, stage->memory, bytes, cuda->stream));
    return status == GRD_OK ? GRDI_CUDA_CALL(cuda, cuEventRecord, (stage->copied, cuda->stream))
                            : status;
}

static grd_status download_piece(grdi_cuda *cuda, void *to, grdi_cu_memory from, size_t bytes)
{
    grdi_cuda_stage *stage;
    grd_status status = free_stage(cuda, &stage);
    if (status == GRD_OK)
        status =
            GRDI_CUDA_CALL(cuda, cuMemcpyDtoHAsync_v2, (stage->memory, from, bytes, cuda->stream));
    if (status == GRD_OK)
        status = GRDI_CUDA_CALL(cuda, cuStreamSynchronize, (cuda->stream));
    if (status == GRD_OK)
        memcpy(to, stage->memory, bytes);
    return status;
}

grd_status grdi_cuda_upload(grd_device *device, void *to, const void *from, size_t bytes)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    grd_status status = grdi_cuda_enter(cuda);
    pthread_mutex_lock(&cuda->lock);
    for (size_t at = 0; at < bytes && status == GRD_OK; at += piece(bytes - at))
        status = upload_piece(cuda, (uintptr_t)to + at, (const char *)from + at, piece(bytes - at));
    pthread_mutex_unlock(&cuda->lock);
    return status;
}

grd_status grdi_cuda_download(grd_device *device, void *to, const void *from, size_t bytes)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    grd_status status = grdi_cuda_enter(cuda);
    pthread_mutex_lock(&cuda->lock);
    for (size_t at = 0; at < bytes && status == GRD_OK; at += piece(bytes - at))
        status = download_piece(cuda, (char *)to + at, (uintptr_t)from + at, piece(bytes - at));
    pthread_mutex_unlock(&cuda->lock);
    return status;
}
