#include "tensor/cuda/launch.h"
#include "tensor/object.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <stdlib.h>

/* A kernel that has run here before. */
typedef struct known {
    const char *kernel; /* NULL: the place is free */
    grd_dtype dtype;
    grdi_cu_function *function;
    unsigned shared; /* bytes that a block may have so far */
} known;

enum { ALWAYS_SHARED = 48 << 10 }; /* more has to be asked for */

typedef struct loaded {
    const grdi_cuda_image *image;
    grdi_cu_module *module;
    struct loaded *next;
} loaded;

typedef struct grdi_cuda_functions {
    known *at; /* `places`, a power of two, of which more than half are free */
    size_t places, count;
    loaded *images;
} functions;

static known *place_of(const functions *f, const char *kernel, grd_dtype dtype)
{
    const uint64_t key = (uintptr_t)kernel * 31 + (uint64_t)dtype;
    size_t place = (key * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (f->places - 1);
    while (f->at[place].kernel && (f->at[place].kernel != kernel || f->at[place].dtype != dtype))
        place = (place + 1) & (f->places - 1);
    return &f->at[place];
}

static bool grow(functions *f)
{
    functions wider = { .places = f->places ? 2 * f->places : 256 };
    wider.at = calloc(wider.places, sizeof *wider.at);
    if (!wider.at)
        return false;
    for (size_t i = 0; i < f->places; i++)
        if (f->at[i].kernel)
            *place_of(&wider, f->at[i].kernel, f->at[i].dtype) = f->at[i];
    free(f->at);
    f->at = wider.at;
    f->places = wider.places;
    return true;
}

static bool have_room(grdi_cuda *cuda)
{
    if (!cuda->functions)
        cuda->functions = calloc(1, sizeof *cuda->functions);
    functions *f = cuda->functions;
    return f && (2 * f->count < f->places || grow(f));
}

static grd_status load(grdi_cuda *cuda, const grdi_cuda_image *image, grdi_cu_module **module)
{
    functions *f = cuda->functions;
    for (loaded *l = f->images; l; l = l->next)
        if (l->image == image) {
            *module = l->module;
            return GRD_OK;
        }
    loaded *l = malloc(sizeof *l);
    if (!l)
        return GRD_ERROR_MEMORY;
    const grd_status status = GRDI_CUDA_CALL(cuda, cuModuleLoadData, (module, image->bytes));
    if (status != GRD_OK) {
        free(l);
        return status;
    }
    *l = (loaded){ image, *module, f->images };
    f->images = l;
    return GRD_OK;
}

static grd_status find(grdi_cuda *cuda, const grdi_cuda_image *image, const char *kernel,
                       grd_dtype dtype, known **found)
{
    char name[96];
    grdi_cu_module *module;
    grdi_cu_function *function;
    if (!have_room(cuda))
        return GRD_ERROR_MEMORY;
    known *place = *found = place_of(cuda->functions, kernel, dtype);
    if (place->kernel)
        return GRD_OK;
    snprintf(name, sizeof name, "%s_%s", kernel, grdi_dtype_name(dtype));
    const grd_status status = load(cuda, image, &module);
    if (status != GRD_OK)
        return status;
    const int result = cuda->driver->cuModuleGetFunction(&function, module, name);
    if (result != 0)
        return result == GRDI_CU_NOT_FOUND ? GRD_ERROR_UNSUPPORTED
                                           : grdi_cuda_status(cuda, "cuModuleGetFunction", result);
    *place = (known){ kernel, dtype, function, ALWAYS_SHARED };
    cuda->functions->count++;
    return GRD_OK;
}

static grd_status find_for(grdi_cuda *cuda, const grdi_cuda_image *image, const char *kernel,
                           grd_dtype dtype, unsigned shared, grdi_cu_function **function)
{
    known *found;
    grd_status status = find(cuda, image, kernel, dtype, &found);
    if (status != GRD_OK)
        return status;
    *function = found->function;
    if (shared <= found->shared)
        return GRD_OK;
    status =
        GRDI_CUDA_CALL(cuda, cuFuncSetAttribute, (*function, GRDI_CU_DYNAMIC_SHARED, (int)shared));
    if (status == GRD_OK)
        found->shared = shared;
    return status;
}

grd_status grdi_cuda_launch(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                            grd_dtype dtype, grdi_cuda_size size, void *arguments[])
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    grdi_cu_function *function = NULL;
    grd_status status = grdi_cuda_enter(cuda);
    if (size.blocks == 0 || status != GRD_OK)
        return status;
    pthread_mutex_lock(&cuda->lock);
    status = find_for(cuda, image, kernel, dtype, size.shared, &function);
    pthread_mutex_unlock(&cuda->lock);
    if (status != GRD_OK)
        return status;
    return GRDI_CUDA_CALL(cuda, cuLaunchKernel,
                          (function, size.blocks, 1, 1, size.threads, 1, 1, size.shared,
                           cuda->stream, arguments, NULL));
}

unsigned grdi_cuda_blocks_for(grd_device *device, int64_t wanted)
{
    const int64_t most = (int64_t)grdi_cuda_of(device)->multiprocessors * 16;
    return (unsigned)(wanted < most ? wanted : most);
}

grdi_cuda_size grdi_cuda_size_for(grd_device *device, int64_t n, int64_t each)
{
    const int64_t of_block = GRDI_CUDA_THREADS * each;
    return (grdi_cuda_size){ grdi_cuda_blocks_for(device, (n + of_block - 1) / of_block),
                             GRDI_CUDA_THREADS, 0 };
}
