/* cuBLASLt's matrices are column-major: to it y is its transpose, [N, M], the product of b's and
 * a's, so that b comes first. */
#include "tensor/cuda/products.h"
#include "tensor/cuda/cublas.h"
#include "tensor/object.h"
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

enum { PLACES = 256, MOST_PLANS = 4096, MOST_CALLS = 16 };
enum { MOST_WORKSPACE = 32 << 20 }; /* bytes: what Hopper's best algorithms ask for */

/* A matrix as memory has it, column by column. */
typedef struct side {
    int64_t rows, columns, leading, batch_stride;
    int transposed;
    unsigned alignment; /* of its address, at most 256 */
} side;

/* What a plan depends on: all of its bytes are compared. */
typedef struct shape {
    int64_t batch;
    side first, second, result;
    int type, computed_in, scale_type;
    unsigned bias; /* its alignment; 0: there is none */
} shape;
_Static_assert(sizeof(side) == 40 && sizeof(shape) == 144, "no bytes between members");

typedef struct plan {
    shape of;
    grdi_cublas_product *product;
    grdi_cublas_layout *first, *second, *result;
    grdi_cublas_choice choice;
    bool usable;
    struct plan *next;
} plan;

typedef struct grdi_cuda_products {
    pthread_mutex_t lock;
    grdi_cublas_handle *handle; /* NULL: the library gave none */
    plan *at[PLACES];
    int count;
} products;

/* ---- Plans ---- */

static void destroy(const grdi_cublas *lt, plan *p)
{
    if (p->product)
        lt->cublasLtMatmulDescDestroy(p->product);
    grdi_cublas_layout *layouts[] = { p->first, p->second, p->result };
    for (int i = 0; i < 3; i++)
        if (layouts[i])
            lt->cublasLtMatrixLayoutDestroy(layouts[i]);
    free(p);
}

static void forget_all(const grdi_cublas *lt, products *all)
{
    for (int i = 0; i < PLACES; i++)
        for (plan *p = all->at[i], *next; p; p = next) {
            next = p->next;
            destroy(lt, p);
        }
    memset(all->at, 0, sizeof all->at);
    all->count = 0;
}

static bool set_int(const grdi_cublas *lt, plan *p, int attribute, int value)
{
    return lt->cublasLtMatmulDescSetAttribute(p->product, attribute, &value, sizeof value) == 0;
}

static bool set_bias(const grdi_cublas *lt, plan *p, const void *bias)
{
    return lt->cublasLtMatmulDescSetAttribute(p->product, GRDI_CUBLAS_BIAS_POINTER, &bias,
                                              sizeof bias) == 0;
}

static bool describe_product(const grdi_cublas *lt, plan *p, const void *bias)
{
    const shape *of = &p->of;
    return lt->cublasLtMatmulDescCreate(&p->product, of->computed_in, of->scale_type) == 0 &&
           (!of->first.transposed ||
            set_int(lt, p, GRDI_CUBLAS_TRANSPOSE_A, GRDI_CUBLAS_TRANSPOSED)) &&
           (!of->second.transposed ||
            set_int(lt, p, GRDI_CUBLAS_TRANSPOSE_B, GRDI_CUBLAS_TRANSPOSED)) &&
           (!of->bias ||
            (set_int(lt, p, GRDI_CUBLAS_EPILOGUE, GRDI_CUBLAS_ADD_BIAS) && set_bias(lt, p, bias)));
}

static bool describe_side(const grdi_cublas *lt, const shape *of, const side *s,
                          grdi_cublas_layout **layout)
{
    const int batch = (int)of->batch;
    if (lt->cublasLtMatrixLayoutCreate(layout, of->type, (uint64_t)s->rows, (uint64_t)s->columns,
                                       s->leading) != 0)
        return false;
    return batch == 1 ||
           (lt->cublasLtMatrixLayoutSetAttribute(*layout, GRDI_CUBLAS_BATCH, &batch,
                                                 sizeof batch) == 0 &&
            lt->cublasLtMatrixLayoutSetAttribute(*layout, GRDI_CUBLAS_BATCH_STRIDE,
                                                 &s->batch_stride, sizeof s->batch_stride) == 0);
}

/* No reduction by atomics, and none in f16: the same bits each time, and f32's sums. */
static bool prefer(const grdi_cublas *lt, const shape *of, grdi_cublas_preference *preference)
{
    const uint64_t workspace = MOST_WORKSPACE;
    const struct {
        int attribute;
        uint32_t value;
    } of_32_bits[] = {
        { GRDI_CUBLAS_REDUCTIONS, GRDI_CUBLAS_REDUCE_COMPUTED },
        { GRDI_CUBLAS_ALIGNMENT_A, of->first.alignment },
        { GRDI_CUBLAS_ALIGNMENT_B, of->second.alignment },
        { GRDI_CUBLAS_ALIGNMENT_C, of->result.alignment },
        { GRDI_CUBLAS_ALIGNMENT_D, of->result.alignment },
    };
    bool set = lt->cublasLtMatmulPreferenceSetAttribute(preference, GRDI_CUBLAS_MOST_WORKSPACE,
                                                        &workspace, sizeof workspace) == 0;
    for (size_t i = 0; i < sizeof of_32_bits / sizeof of_32_bits[0]; i++)
        set &= lt->cublasLtMatmulPreferenceSetAttribute(preference, of_32_bits[i].attribute,
                                                        &of_32_bits[i].value,
                                                        sizeof of_32_bits[i].value) == 0;
    return set;
}

static bool choose(const grdi_cublas *lt, grdi_cublas_handle *handle, plan *p)
{
    grdi_cublas_preference *preference;
    int count = 0;
    if (lt->cublasLtMatmulPreferenceCreate(&preference) != 0)
        return false;
    const bool chosen =
        prefer(lt, &p->of, preference) &&
        lt->cublasLtMatmulAlgoGetHeuristic(handle, p->product, p->first, p->second, p->result,
                                           p->result, preference, 1, &p->choice, &count) == 0;
    lt->cublasLtMatmulPreferenceDestroy(preference);
    return chosen && count == 1 && p->choice.status == 0;
}

static plan *make(const grdi_cublas *lt, products *all, const shape *of, const void *bias)
{
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->of = *of;
    p->usable = describe_product(lt, p, bias) && describe_side(lt, of, &of->first, &p->first) &&
                describe_side(lt, of, &of->second, &p->second) &&
                describe_side(lt, of, &of->result, &p->result) && choose(lt, all->handle, p);
    return p;
}

static plan **place_of(products *all, const shape *of)
{
    uint64_t hash = 0, word;
    for (size_t i = 0; i + sizeof word <= sizeof *of; i += sizeof word) {
        memcpy(&word, (const char *)of + i, sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
        hash ^= hash >> 29;
    }
    return &all->at[hash >> 56];
}

/* The plan of a shape, made when it is first met; NULL: out of memory. */
static plan *find(const grdi_cublas *lt, products *all, const shape *of, const void *bias)
{
    for (plan *p = *place_of(all, of); p; p = p->next)
        if (memcmp(&p->of, of, sizeof *of) == 0)
            return p;
    if (all->count == MOST_PLANS)
        forget_all(lt, all);
    plan *p = make(lt, all, of, bias);
    if (p) {
        plan **place = place_of(all, of);
        p->next = *place;
        *place = p;
        all->count++;
    }
    return p;
}

/* ---- Calls ---- */

typedef struct addresses {
    const char *first, *second, *bias;
    char *result;
} addresses;

static unsigned alignment_of(const void *address, int64_t batch_stride, size_t size)
{
    const uint64_t bits =
        (uint64_t)(uintptr_t)address | (uint64_t)batch_stride * (uint64_t)size | 256;
    return (unsigned)(bits & (~bits + 1));
}

/* Runs a plan; *done is false, and the plan not asked again, if the library refuses it. */
static grd_status run(grd_device *device, const grdi_cublas *lt, plan *p, const addresses *at,
                      bool *done)
{
    static const float one_f32 = 1, zero_f32 = 0;
    static const double one_f64 = 1, zero_f64 = 0;
    const bool wide = p->of.scale_type == GRDI_CUBLAS_F64;
    grdi_cuda *cuda = grdi_cuda_of(device);
    const size_t bytes = p->choice.workspace;
    void *workspace = bytes ? grdi_cuda_allocate(device, bytes) : NULL;
    if (bytes && !workspace)
        return GRD_ERROR_MEMORY;
    int status = GRDI_CUBLAS_NOT_SUPPORTED;
    if (!at->bias || set_bias(lt, p, at->bias))
        status = lt->cublasLtMatmul(
            cuda->products->handle, p->product, wide ? (const void *)&one_f64 : &one_f32, at->first,
            p->first, at->second, p->second, wide ? (const void *)&zero_f64 : &zero_f32, at->result,
            p->result, at->result, p->result, &p->choice.algorithm, workspace, bytes, cuda->stream);
    if (bytes)
        grdi_cuda_free(device, workspace, bytes);
    *done = status == 0;
    p->usable = *done;
    if (status != GRDI_CUBLAS_EXECUTION_FAILED && status != GRDI_CUBLAS_INTERNAL_ERROR)
        return GRD_OK;
    grdi_fail(GRD_ERROR_DEVICE, "cuda", "%s: cublasLtMatmul fails with status %d", cuda->name,
              status);
    return GRD_ERROR_DEVICE;
}

static grd_status run_shape(grd_device *device, const grdi_cublas *lt, const shape *of,
                            const addresses *at, bool *done)
{
    products *all = grdi_cuda_of(device)->products;
    pthread_mutex_lock(&all->lock);
    plan *p = find(lt, all, of, at->bias);
    const grd_status status = !p          ? GRD_ERROR_MEMORY
                              : p->usable ? run(device, lt, p, at, done)
                                          : GRD_OK;
    pthread_mutex_unlock(&all->lock);
    return status;
}

/* ---- Shapes ---- */

/* A row-major matrix of dense rows is a column-major transpose; one of dense columns is itself. */
static side side_of(const grdi_array *x)
{
    const grdi_dim row = x->dim[x->rank - 2], column = x->dim[x->rank - 1];
    const bool by_rows = column.stride == 1 && row.stride >= column.size;
    return by_rows ? (side){ .rows = column.size, .columns = row.size, .leading = row.stride }
                   : (side){ .rows = row.size,
                             .columns = column.size,
                             .leading = column.stride,
                             .transposed = true };
}

/* The last of the batch's dimensions, from `from` on, as one: its stride; false: they are not
 * evenly spaced. */
static bool one_stride(const grdi_array *x, int from, int64_t *stride)
{
    int64_t reach = -1;
    *stride = 0;
    for (int d = x->rank - 3; d >= from; d--) {
        const grdi_dim dim = x->dim[d];
        if (dim.size == 1)
            continue;
        if (reach < 0)
            *stride = dim.stride;
        else if (dim.stride != reach)
            return false;
        reach = dim.stride * dim.size;
    }
    return true;
}

typedef struct call {
    const grdi_array *y, *a, *b, *bias;
    shape of;
    int outer; /* dimensions of the batch that are walked over; the rest is one call's */
    int64_t calls;
} call;

static bool divide_batch(call *c)
{
    const int batch = c->y->rank - 2;
    int64_t *strides[] = { &c->of.first.batch_stride, &c->of.second.batch_stride };
    while (!one_stride(c->b, c->outer, strides[0]) || !one_stride(c->a, c->outer, strides[1]))
        c->outer++;
    c->calls = c->of.batch = 1;
    for (int d = 0; d < batch; d++)
        *(d < c->outer ? &c->calls : &c->of.batch) *= c->y->dim[d].size;
    c->of.result.batch_stride = c->y->dim[batch].size * c->y->dim[batch + 1].size;
    return c->calls <= MOST_CALLS && c->of.batch <= INT32_MAX;
}

static void set_types(shape *of, grd_dtype dtype, bool tf32)
{
    static const int types[GRD_DTYPE_COUNT] = { [GRD_F32] = GRDI_CUBLAS_F32,
                                                [GRD_F64] = GRDI_CUBLAS_F64,
                                                [GRD_F16] = GRDI_CUBLAS_F16,
                                                [GRD_BF16] = GRDI_CUBLAS_BF16 };
    of->type = types[dtype];
    of->scale_type = dtype == GRD_F64 ? GRDI_CUBLAS_F64 : GRDI_CUBLAS_F32;
    of->computed_in = dtype == GRD_F64           ? GRDI_CUBLAS_IN_F64
                      : dtype == GRD_F32 && tf32 ? GRDI_CUBLAS_IN_TF32
                                                 : GRDI_CUBLAS_IN_F32;
}

/* Where the nth call's matrices start. */
static addresses addresses_of(const call *c, int64_t n)
{
    const size_t size = grdi_dtype_size(c->y->dtype);
    int64_t a = 0, b = 0;
    const int64_t y = n * c->of.batch * c->of.result.batch_stride;
    for (int d = c->outer - 1; d >= 0; d--) {
        const int64_t at = n % c->y->dim[d].size;
        a += at * c->a->dim[d].stride;
        b += at * c->b->dim[d].stride;
        n /= c->y->dim[d].size;
    }
    return (addresses){ .first = (const char *)c->b->data + (size_t)b * size,
                        .second = (const char *)c->a->data + (size_t)a * size,
                        .bias = c->bias ? c->bias->data : NULL,
                        .result = (char *)c->y->data + (size_t)y * size };
}

static void set_alignments(shape *of, const addresses *at, size_t size)
{
    of->first.alignment = alignment_of(at->first, of->first.batch_stride, size);
    of->second.alignment = alignment_of(at->second, of->second.batch_stride, size);
    of->result.alignment = alignment_of(at->result, of->result.batch_stride, size);
}

static products *started(grdi_cuda *cuda, const grdi_cublas *lt)
{
    pthread_mutex_lock(&cuda->lock);
    if (!cuda->products && (cuda->products = calloc(1, sizeof *cuda->products))) {
        pthread_mutex_init(&cuda->products->lock, NULL);
        if (!lt || lt->cublasLtCreate(&cuda->products->handle) != 0)
            cuda->products->handle = NULL;
    }
    pthread_mutex_unlock(&cuda->lock);
    return cuda->products;
}

/* False: it is none for one call, nor for a few. */
static bool describe(call *c, bool tf32)
{
    c->of.first = side_of(c->b);
    c->of.second = side_of(c->a);
    c->of.result = side_of(c->y);
    c->of.bias = c->bias ? alignment_of(c->bias->data, 0, 1) : 0;
    set_types(&c->of, c->y->dtype, tf32);
    return divide_batch(c);
}

grd_status grdi_cuda_product(grd_device *device, const grdi_array *y, const grdi_array *a,
                             const grdi_array *b, const grdi_array *bias, bool *done)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    const grdi_cublas *lt = grdi_cuda_cublas();
    grd_status status = grdi_cuda_enter(cuda);
    *done = false;
    if (status != GRD_OK || !lt || grdi_count(y) == 0 || grdi_count(a) == 0)
        return status;
    const products *all = started(cuda, lt);
    call c = { .y = y, .a = a, .b = b, .bias = bias };
    if (!all)
        return GRD_ERROR_MEMORY;
    if (!all->handle || !describe(&c, cuda->tf32))
        return GRD_OK;
    for (int64_t n = 0; n < c.calls && status == GRD_OK && (n == 0 || *done); n++) {
        const addresses at = addresses_of(&c, n);
        set_alignments(&c.of, &at, grdi_dtype_size(y->dtype));
        status = run_shape(device, lt, &c.of, &at, done);
    }
    return status;
}

void grdi_cuda_allow_tf32(grd_device *device, bool allow)
{
    grdi_cuda_of(device)->tf32 = allow;
}
