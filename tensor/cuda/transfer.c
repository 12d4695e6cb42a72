/* Copies between host and GPU, through memory that the GPU reads and writes by itself. An upload
 * returns once `from` is read, a download once all work before it is done. */
#include "tensor/cuda/device.h"
#include "tensor/object.h"

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

grd_status grdi_cuda_note_staged(grdi_cuda *cuda)
{
    grd_status status = GRD_OK;
    for (; cuda->staged > 0 && status == GRD_OK; cuda->staged--) {
        const unsigned at = (cuda->next_stage - cuda->staged) % GRDI_CUDA_STAGES;
        status = GRDI_CUDA_CALL(cuda, cuEventRecord, (cuda->stage[at].copied, cuda->stream));
    }
    return status;
}

/* A graph copies when it is launched: until then its stages are not used again. */
static grd_status collect_stage(grdi_cuda *cuda)
{
    if (cuda->staged++ < GRDI_CUDA_STAGES)
        return GRD_OK;
    grdi_fail(GRD_ERROR_STATE, "cuda",
              "%s: a graph can take %d uploads, of %d MiB at most, and this is one more: upload "
              "before grd_cuda_graph_begin",
              cuda->name, GRDI_CUDA_STAGES, GRDI_CUDA_STAGE_BYTES >> 20);
    return GRD_ERROR_STATE;
}

static grd_status upload_piece(grdi_cuda *cuda, grdi_cu_memory to, const void *from, size_t bytes)
{
    grdi_cuda_stage *stage;
    grd_status status = cuda->collects ? collect_stage(cuda) : GRD_OK;
    if (status == GRD_OK)
        status = free_stage(cuda, &stage);
    if (status != GRD_OK)
        return status;
    memcpy(stage->memory, from, bytes);
    status = GRDI_CUDA_CALL(cuda, cuMemcpyHtoDAsync_v2, (to, stage->memory, bytes, cuda->stream));
    if (status != GRD_OK || cuda->collects)
        return status;
    return GRDI_CUDA_CALL(cuda, cuEventRecord, (stage->copied, cuda->stream));
}

/* What a kernel has refused since the host waited last. */
static grd_status tell_refused(grdi_cuda *cuda)
{
    const grdi_refusal refused = *cuda->letter;
    if (refused.position < 0)
        return GRD_OK;
    cuda->letter->position = -1;
    grdi_refuse_late(&refused);
    return refused.status;
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
        status = tell_refused(cuda);
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

static bool may_wait(const grdi_cuda *cuda)
{
    return !cuda->collects ||
           grdi_fail(GRD_ERROR_STATE, "cuda",
                     "%s: values are read between grd_cuda_graph_begin and grd_cuda_graph_launch, "
                     "but are computed after it",
                     cuda->name);
}

grd_status grdi_cuda_download(grd_device *device, void *to, const void *from, size_t bytes)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    grd_status status = may_wait(cuda) ? grdi_cuda_enter(cuda) : GRD_ERROR_STATE;
    pthread_mutex_lock(&cuda->lock);
    for (size_t at = 0; at < bytes && status == GRD_OK; at += piece(bytes - at))
        status = download_piece(cuda, (char *)to + at, (uintptr_t)from + at, piece(bytes - at));
    pthread_mutex_unlock(&cuda->lock);
    return status;
}
