/* A GPU: its memory, its stream, and how kernels are launched on it. One stream does all its work,
 * in the order of the calls; host threads may share it. */
#ifndef GRDI_CUDA_DEVICE_H
#define GRDI_CUDA_DEVICE_H

#include "tensor/backend.h"
#include "tensor/cuda/driver.h"

#include <pthread.h>

/* What nvcc made of one .cu file, for all GPUs. */
typedef struct grdi_cuda_image {
    const char *name;
    const unsigned char *bytes;
} grdi_cuda_image;

typedef struct grdi_cuda_blocks {
    struct grdi_cuda_block *free[256]; /* by their size's hash */
    size_t used, cached;
} grdi_cuda_blocks;

/* Memory of the host that the GPU copies from and to while the host goes on. */
enum { GRDI_CUDA_STAGES = 4, GRDI_CUDA_STAGE_BYTES = 1 << 20 };

typedef struct grdi_cuda_stage {
    void *memory;
    grdi_cu_event *copied; /* what was put there last */
} grdi_cuda_stage;

typedef struct grdi_cuda {
    grd_device device;
    char name[16];
    char model[96];
    int ordinal, handle;
    int major, minor; /* of its compute capability */
    int multiprocessors;
    bool tf32; /* products of f32 may take their factors as TF32 */
    size_t alignment; /* of blocks */
    const grdi_driver *driver;
    grdi_cu_context *context;
    grdi_cu_stream *stream;
    pthread_mutex_t lock; /* for what follows */
    grdi_cuda_blocks blocks;
    grdi_cuda_stage stage[GRDI_CUDA_STAGES];
    unsigned next_stage;
    struct grdi_cuda_functions *functions;
    struct grdi_cuda_cudnn *cudnn;       /* NULL: not asked for so far */
    struct grdi_cuda_products *products; /* products.c: made when first asked for */
} grdi_cuda;

static inline grdi_cuda *grdi_cuda_of(grd_device *device)
{
    return (grdi_cuda *)device->state;
}

/* GRD_OK, or the status of a driver's result, with what it means latched. */
grd_status grdi_cuda_status(const grdi_cuda *cuda, const char *call, int result);

/* Calls the driver on this device: GRDI_CUDA_CALL(cuda, cuStreamSynchronize, (cuda->stream)). */
#define GRDI_CUDA_CALL(cuda, call, arguments)                                                      \
    grdi_cuda_status(cuda, #call, (cuda)->driver->call arguments)

/* Makes this thread's calls go to the device. */
grd_status grdi_cuda_enter(const grdi_cuda *cuda);

/* blocks.c: memory, kept by size when it is freed, since the driver takes long to give it. */
void *grdi_cuda_allocate(grd_device *device, size_t bytes);
void grdi_cuda_free(grd_device *device, void *memory, size_t bytes);

/* Gives what is cached back to the driver; the other of every device that was made. */
void grdi_cuda_give_back(grdi_cuda *cuda);
void grdi_cuda_trim(void);

/* transfer.c */
grd_status grdi_cuda_upload(grd_device *device, void *to, const void *from, size_t bytes);
grd_status grdi_cuda_download(grd_device *device, void *to, const void *from, size_t bytes);

#define KERNEL(name, parameters, arguments) grd_status grdi_cuda_##name parameters;
#include "tensor/kernels.def"
#undef KERNEL

#endif
