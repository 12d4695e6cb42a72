#include "tensor/cuda/index.h"
#include "tensor/cuda/map.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(index);

grd_status grdi_cuda_index_select(grd_device *device, const grdi_array *y, const grdi_array *x,
                                  const grdi_array *index)
{
    return grdi_cuda_map(device, &grdi_cuda_image_index, "index_select", y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, (void *)x, (void *)index });
}

grd_status grdi_cuda_gather(grd_device *device, const grdi_array *y, const grdi_array *x,
                            grdi_dim along, const grdi_array *index)
{
    return grdi_cuda_map(device, &grdi_cuda_image_index, "gather", y->dtype, grdi_count(y),
                         (void *[]){ NULL, (void *)y, (void *)x, &along, (void *)index });
}

/* A kernel's names by what it adds; what it adds to is the launch's dtype. */
typedef const char *const by_source[GRD_DTYPE_COUNT];
#define BY_SOURCE(name)                                                                            \
    {                                                                                              \
        [GRD_F32] = name "_f32", [GRD_F64] = name "_f64", [GRD_F16] = name "_f16",                 \
        [GRD_BF16] = name "_bf16", [GRD_I64] = name "_i64", [GRD_BOOL] = name "_bool",             \
    }

static grd_status launch(grd_device *device, by_source names, grd_dtype dtype, grd_dtype source,
                         int64_t blocks, void *arguments[])
{
    return grdi_cuda_launch(device, &grdi_cuda_image_index, names[source], dtype,
                            (grdi_cuda_size){ (unsigned)blocks, GRDI_CUDA_ADDERS, 0 }, arguments);
}

/* Blocks that share the targets of one walk when there are `walks` of n indices: as many as keep
 * the GPU busy, and no more than can find something. */
static unsigned classes_of(grd_device *device, int64_t walks, int64_t n, int64_t most)
{
    int64_t classes = 16 * (int64_t)grdi_cuda_of(device)->multiprocessors / walks;
    classes = classes < n ? classes : n;
    classes = classes < most ? classes : most;
    return classes < 1 ? 1 : (unsigned)classes;
}

static bool can_be_wide(const grdi_array *y, const grdi_array *x, int64_t width)
{
    const size_t bytes = (size_t)width * grdi_dtype_size(x->dtype);
    return y->dim[2].size % width == 0 && (uintptr_t)y->data % 16 == 0 &&
           (uintptr_t)x->data % bytes == 0;
}

grd_status grdi_cuda_index_add(grd_device *device, const grdi_array *y, const grdi_array *x,
                               const grdi_array *index)
{
    static by_source single = BY_SOURCE("index_add"), wide = BY_SOURCE("index_add_wide");
    const int64_t most = 16 / (int64_t)grdi_dtype_size(y->dtype), n = x->dim[1].size;
    const bool is_wide = can_be_wide(y, x, most);
    const int64_t columns = y->dim[0].size * y->dim[2].size;
    const int64_t units = is_wide ? columns / most : columns;
    const int64_t walks = (units + GRDI_CUDA_ADDERS - 1) / GRDI_CUDA_ADDERS;
    if (grdi_count(x) == 0)
        return GRD_OK;
    unsigned classes = classes_of(device, walks, n, y->dim[1].size);
    return launch(device, is_wide ? wide : single, y->dtype, x->dtype, walks * classes,
                  (void *[]){ (void *)y, (void *)x, (void *)index, &classes });
}

/* x without its last dimension but one. */
static grdi_array across(const grdi_array *x)
{
    grdi_array rest = *x;
    rest.dim[x->rank - 2] = x->dim[x->rank - 1];
    rest.rank--;
    return rest;
}

/* Where there are many sequences, or short ones, a thread has one to itself. */
grd_status grdi_cuda_scatter_add(grd_device *device, const grdi_array *y, const grdi_array *x,
                                 grdi_dim along, const grdi_array *index)
{
    static by_source each = BY_SOURCE("scatter_each"), shared = BY_SOURCE("scatter_classes");
    const int rows = index->rank - 2;
    grdi_cuda_scatter s = { across(y), across(x), across(index), .along = along };
    s.count = index->dim[rows].size;
    s.sequences = grdi_count(&s.index);
    s.x_stride = x->dim[rows].stride;
    s.index_stride = index->dim[rows].stride;
    if (grdi_count(index) == 0)
        return GRD_OK;
    const int64_t many = 1024 * (int64_t)grdi_cuda_of(device)->multiprocessors;
    if (s.count <= 64 || s.sequences >= many) {
        const int64_t blocks = (s.sequences + GRDI_CUDA_ADDERS - 1) / GRDI_CUDA_ADDERS;
        return launch(device, each, y->dtype, x->dtype, blocks < many ? blocks : many,
                      (void *[]){ &s });
    }
    unsigned classes = classes_of(device, s.sequences, s.count / GRDI_CUDA_TILE, INT64_MAX);
    return launch(device, shared, y->dtype, x->dtype, s.sequences * classes,
                  (void *[]){ &s, &classes });
}
