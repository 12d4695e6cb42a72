#include "tensor/cuda/flash_own.h"
#include "tensor/cuda/flash_attention.h"
#include "tensor/cuda/launch.h"
#include "tensor/tensor.h"

GRDI_CUDA_IMAGE(flash_attention);
GRDI_CUDA_IMAGE(flash_additive);
GRDI_CUDA_IMAGE(flash_keys);
GRDI_CUDA_IMAGE(flash_queries);

/* What is computed in, a pack of 16 bytes of it, and a tile's side (flash_attention.cuh). */
static grd_dtype computed(grd_dtype dtype)
{
    return dtype == GRD_F64 ? GRD_F64 : GRD_F32;
}

static int pack_of(grd_dtype dtype)
{
    return 16 / (int)grdi_dtype_size(computed(dtype));
}

static int side_of(grd_dtype dtype)
{
    return 16 * pack_of(dtype);
}

/* ---- What the kernels are told ---- */

static grdi_cuda_rows rows_of(const grdi_array *x)
{
    const int pack = pack_of(x->dtype);
    const grdi_dim *dim = x->dim;
    const int64_t strides = dim[0].stride | dim[1].stride | dim[2].stride;
    return (grdi_cuda_rows){ .data = x->data,
                             .sample = dim[0].stride,
                             .head = dim[1].stride,
                             .row = dim[2].stride,
                             .size = (int)dim[3].size,
                             .packed = (uintptr_t)x->data % 16 == 0 && strides % pack == 0 };
}

static grdi_cuda_pairs pairs_of(const grdi_array *x)
{
    grdi_cuda_pairs pairs = { .data = NULL };
    for (int d = 0; x && d < 4; d++)
        pairs.stride[d] = x->dim[d].stride;
    if (x)
        pairs.data = x->data;
    return pairs;
}

/* Far enough to be unlimited, near enough to be added to. */
static int64_t limited(int64_t x)
{
    const int64_t far = INT64_MAX / 8;
    return x < -far ? -far : x < far ? x : far;
}

static void set_sums(grdi_cuda_flash *f, const grdi_array *logsumexp)
{
    f->logsumexp = logsumexp->data;
    for (int d = 0; d < 3; d++)
        f->sum[d] = logsumexp->dim[d].stride;
}

static grdi_cuda_flash call_of(const grdi_flash *how, const grdi_array *query,
                               const grdi_array *key, const grdi_array *value)
{
    grdi_cuda_flash f = {
        .query = rows_of(query),
        .key = rows_of(key),
        .value = rows_of(value),
        .keep = pairs_of(how->keep),
        .additive = pairs_of(how->additive),
        .dtype = query->dtype,
        .samples = (int)query->dim[0].size,
        .heads = (int)query->dim[1].size,
        .queries = (int)query->dim[2].size,
        .keys = (int)(key->dim[2].size - how->appended),
        .appended = (int)how->appended,
        .scale = how->scale,
        .softcap = how->softcap,
        .kept = how->dropout > 0 ? 1 / (1 - how->dropout) : 0,
        .dropped = (unsigned)(how->dropout * 0x1p32),
        .draw = how->draw,
        .left = limited(how->left),
        .right = limited(how->right),
        .offset = limited(how->offset),
        .by_length = how->by_length,
    };
    f.group = key->dim[1].size ? f.heads / (int)key->dim[1].size : 1;
    if (how->lengths) {
        f.lengths = how->lengths->data;
        f.length = how->lengths->dim[0].stride;
    }
    return f;
}

static void set_gradient(grdi_cuda_flash *f, const grdi_flash_gradient *g)
{
    f->output = rows_of(g->output);
    f->doutput = rows_of(g->doutput);
    f->dadditive = pairs_of(g->dadditive);
    set_sums(f, g->logsumexp);
    if (g->dadditive)
        return;
    f->dquery = rows_of(g->dquery);
    f->dkey = rows_of(g->dkey);
    f->dvalue = rows_of(g->dvalue);
}

/* Where places of rows and columns fit an int. */
static bool fits(const grdi_array *query, const grdi_array *key, const grdi_array *value)
{
    const int64_t most = 1 << 28;
    return query->dim[2].size <= most && key->dim[2].size <= most && query->dim[3].size <= most &&
           value->dim[3].size <= most;
}

/* ---- Launches ---- */

static int64_t ceiling(int64_t n, int64_t step)
{
    return (n + step - 1) / step;
}

/* f32 goes to tensor cores if its products may be of TF32. */
static bool by_tensor_cores(grd_device *device, const grdi_cuda_flash *f)
{
    return f->dtype == GRD_F32 && grdi_cuda_of(device)->tf32;
}

/* Which of the kernels for 1, 2 and 4 sides of columns takes `columns` of them: the last one with
 * more blocks, if need be. */
static int width_of(const grdi_cuda_flash *f, int columns)
{
    const int side = side_of(f->dtype);
    return columns <= side ? 0 : columns <= 2 * side ? 1 : 2;
}

static int64_t slabs_of(const grdi_cuda_flash *f, int columns)
{
    return columns ? ceiling(columns, (int64_t)side_of(f->dtype) << width_of(f, columns)) : 1;
}

/* Of `blocks` with `tiles` in shared memory, each thread with so many of the rows of one. */
static grd_status launch(grd_device *device, const grdi_cuda_image *image, const char *kernel,
                         grdi_cuda_flash *f, int64_t blocks, int rows, int tiles)
{
    const grd_dtype dtype = computed(f->dtype);
    const int side = side_of(dtype), row = side + pack_of(dtype);
    const size_t bytes = (size_t)(tiles * side * row) * grdi_dtype_size(dtype);
    if (blocks > INT32_MAX)
        return GRD_ERROR_UNSUPPORTED;
    return grdi_cuda_launch(
        device, image, kernel, dtype,
        (grdi_cuda_size){ (unsigned)blocks, (unsigned)(side / rows * 16), (unsigned)bytes },
        (void *[]){ f });
}

grd_status grdi_cuda_own_attention(grd_device *device, const grdi_flash *how,
                                   const grdi_array *output, const grdi_array *logsumexp,
                                   const grdi_array *query, const grdi_array *key,
                                   const grdi_array *value, const int *only_if)
{
    static const char *const names[2][3] = {
        { "flash_attention_1", "flash_attention_2", "flash_attention_4" },
        { "tf32_attention_1", "tf32_attention_2", "tf32_attention_4" },
    };
    if (!fits(query, key, value))
        return GRD_ERROR_UNSUPPORTED;
    grdi_cuda_flash f = call_of(how, query, key, value);
    f.only_if = only_if;
    f.output = rows_of(output);
    set_sums(&f, logsumexp);
    const int width = width_of(&f, f.value.size), side = side_of(f.dtype);
    const int64_t blocks = (int64_t)f.samples * f.heads * ceiling(f.queries, side);
    const int rows = f.dtype == GRD_F64 || width == 2 ? 4 : 8;
    const int tiles = f.query.size > side && f.query.size <= 2 * side ? 4 : 3;
    return launch(device, &grdi_cuda_image_flash_attention,
                  names[by_tensor_cores(device, &f)][width], &f,
                  blocks * slabs_of(&f, f.value.size), rows, tiles);
}

/* ---- Backward ---- */

/* The numbers of each query, which all kernels of backward read; to be freed. */
static grd_status prepare(grd_device *device, grdi_cuda_flash *f, size_t *bytes)
{
    const grd_dtype dtype = computed(f->dtype);
    const int64_t rows = (int64_t)f->samples * f->heads * f->queries;
    *bytes = 3 * (size_t)rows * grdi_dtype_size(dtype);
    if (rows == 0)
        return GRD_OK;
    f->sides = grdi_cuda_allocate(device, *bytes);
    if (!f->sides)
        return GRD_ERROR_MEMORY;
    return grdi_cuda_launch(device, &grdi_cuda_image_flash_queries, "flash_sides", dtype,
                            grdi_cuda_size_for(device, rows, 1), (void *[]){ f });
}

/* What is freed is handed out to later work alone. */
static void release(grd_device *device, const grdi_cuda_flash *f, size_t bytes)
{
    if (f->sides)
        grdi_cuda_free(device, f->sides, bytes);
}

/* A call of backward, with those numbers. */
static grd_status begin_backward(grd_device *device, grdi_cuda_flash *f, const grdi_flash *how,
                                 const grdi_flash_gradient *gradient, const grdi_array *query,
                                 const grdi_array *key, const grdi_array *value, const int *only_if,
                                 size_t *bytes)
{
    *f = call_of(how, query, key, value);
    f->only_if = only_if;
    set_gradient(f, gradient);
    return prepare(device, f, bytes);
}

static int backward_rows(const grdi_cuda_flash *f)
{
    return side_of(f->dtype) / 16;
}

static int backward_tiles(const grdi_cuda_flash *f)
{
    return f->softcap > 0 ? 5 : 4;
}

static grd_status of_keys(grd_device *device, grdi_cuda_flash *f)
{
    static const char *const names[2][3] = { { "flash_keys_1", "flash_keys_2", "flash_keys_4" },
                                             { "tf32_keys_1", "tf32_keys_2", "tf32_keys_4" } };
    const int size = f->query.size > f->value.size ? f->query.size : f->value.size;
    const int64_t tiles = ceiling(f->keys + f->appended, side_of(f->dtype));
    const int64_t heads = (int64_t)f->samples * (f->heads / f->group);
    return launch(device, &grdi_cuda_image_flash_keys,
                  names[by_tensor_cores(device, f)][width_of(f, size)], f,
                  heads * tiles * slabs_of(f, size), backward_rows(f), backward_tiles(f));
}

static grd_status of_queries(grd_device *device, grdi_cuda_flash *f)
{
    static const char *const names[2][3] = {
        { "flash_queries_1", "flash_queries_2", "flash_queries_4" },
        { "tf32_queries_1", "tf32_queries_2", "tf32_queries_4" },
    };
    const int size = f->query.size;
    const int64_t tiles = ceiling(f->queries, side_of(f->dtype));
    const int64_t heads = (int64_t)f->samples * f->heads;
    return launch(device, &grdi_cuda_image_flash_queries,
                  names[by_tensor_cores(device, f)][width_of(f, size)], f,
                  heads * tiles * slabs_of(f, size), backward_rows(f), backward_tiles(f));
}

grd_status grdi_cuda_own_attention_backward(grd_device *device, const grdi_flash *how,
                                            const grdi_flash_gradient *gradient,
                                            const grdi_array *query, const grdi_array *key,
                                            const grdi_array *value, const int *only_if)
{
    grdi_cuda_flash f;
    size_t bytes;
    if (!fits(query, key, value))
        return GRD_ERROR_UNSUPPORTED;
    grd_status status =
        begin_backward(device, &f, how, gradient, query, key, value, only_if, &bytes);
    if (status == GRD_OK)
        status = of_keys(device, &f);
    if (status == GRD_OK)
        status = of_queries(device, &f);
    release(device, &f, bytes);
    return status;
}

/* How many blocks share a dimension of what is additive. */
static int64_t shares(const grdi_array *x, int d, int step)
{
    return x->dim[d].stride ? ceiling(x->dim[d].size, step) : 1;
}

grd_status grdi_cuda_own_attention_additive(grd_device *device, const grdi_flash *how,
                                            const grdi_flash_gradient *gradient,
                                            const grdi_array *query, const grdi_array *key,
                                            const grdi_array *value, const int *only_if)
{
    grdi_cuda_flash f;
    size_t bytes;
    const grdi_array *x = gradient->dadditive;
    const int side = side_of(x->dtype);
    if (!fits(query, key, value))
        return GRD_ERROR_UNSUPPORTED;
    grd_status status =
        begin_backward(device, &f, how, gradient, query, key, value, only_if, &bytes);
    if (status == GRD_OK)
        status = launch(device, &grdi_cuda_image_flash_additive, "flash_additive", &f,
                        shares(x, 0, 1) * shares(x, 1, 1) * shares(x, 2, side) * shares(x, 3, side),
                        backward_rows(&f), backward_tiles(&f));
    release(device, &f, bytes);
    return status;
}
