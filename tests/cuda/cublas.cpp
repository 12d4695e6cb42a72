/* cuBLASLt without a GPU: the products that its descriptors say, in plain loops on the emulated
 * driver's stream. It refuses what makes no sense, and fails when a test asks it to. */
#include "tests/cuda/cublas.h"

#include "tensor/cuda/cublas.h"
#include "tests/cuda/emulation.h"

#include <vector>

struct grdi_cublas_handle {
    int unused;
};

struct grdi_cublas_layout {
    int type;
    int64_t rows, columns, leading, batch_stride;
    int batch;
};

struct grdi_cublas_product {
    int computed_in, scale_type, transposed[2], epilogue;
    const void *bias;
};

struct grdi_cublas_preference {
    uint64_t workspace;
    uint32_t reductions, alignment[4];
};

namespace
{

enum { INVALID = 7, WORKSPACE = 1000, MARK = 12345 };

long products, heuristics, descriptors, calls, fail_at, least_rows;
int fail_with, last_computed_in;

int begin()
{
    calls++;
    return fail_at > 0 && calls == fail_at ? fail_with : 0;
}

size_t size_of(int type)
{
    return type == GRDI_CUBLAS_F64 ? 8 : type == GRDI_CUBLAS_F32 ? 4 : 2;
}

double load(int type, const char *at)
{
    unsigned short half;
    float f32;
    double f64;
    switch (type) {
    case GRDI_CUBLAS_F64:
        memcpy(&f64, at, 8);
        return f64;
    case GRDI_CUBLAS_F32:
        memcpy(&f32, at, 4);
        return f32;
    default:
        memcpy(&half, at, 2);
        return type == GRDI_CUBLAS_F16 ? f16_to_float(half) : bf16_to_float(half);
    }
}

void store(int type, char *at, double value)
{
    const float f32 = (float)value;
    const unsigned short half = type == GRDI_CUBLAS_F16 ? float_to_f16(f32) : float_to_bf16(f32);
    memcpy(at,
           size_of(type) == 8   ? (void *)&value
           : size_of(type) == 4 ? (void *)&f32
                                : (void *)&half,
           size_of(type));
}

/* Column-major, maybe transposed. */
struct matrix {
    grdi_cublas_layout of;
    const char *at;
    bool transposed;

    double operator()(int64_t batch, int64_t i, int64_t j) const
    {
        const int64_t row = transposed ? j : i, column = transposed ? i : j;
        return load(of.type, at + (size_t)(batch * of.batch_stride + row + column * of.leading) *
                                      size_of(of.type));
    }
    int64_t rows() const
    {
        return transposed ? of.columns : of.rows;
    }
    int64_t columns() const
    {
        return transposed ? of.rows : of.columns;
    }
};

void multiply(const matrix &a, const matrix &b, const grdi_cublas_layout &d, char *to,
              const char *bias)
{
    const size_t size = size_of(d.type);
    for (int64_t n = 0; n < d.batch; n++)
        for (int64_t j = 0; j < d.columns; j++)
            for (int64_t i = 0; i < d.rows; i++) {
                double sum = bias ? load(d.type, bias + (size_t)i * size) : 0;
                for (int64_t k = 0; k < a.columns(); k++)
                    sum += a(n, i, k) * b(n, k, j);
                store(d.type, to + (size_t)(n * d.batch_stride + i + j * d.leading) * size, sum);
            }
}

bool fit(const grdi_cublas_product *p, const grdi_cublas_layout *a, const grdi_cublas_layout *b,
         const grdi_cublas_layout *d)
{
    const matrix left = { *a, nullptr, p->transposed[0] != 0 };
    const matrix right = { *b, nullptr, p->transposed[1] != 0 };
    const bool wide = d->type == GRDI_CUBLAS_F64;
    return left.rows() == d->rows && right.columns() == d->columns &&
           left.columns() == right.rows() && a->type == d->type && b->type == d->type &&
           a->batch == d->batch && b->batch == d->batch && a->leading >= a->rows &&
           b->leading >= b->rows && d->leading >= d->rows &&
           wide == (p->computed_in == GRDI_CUBLAS_IN_F64) &&
           wide == (p->scale_type == GRDI_CUBLAS_F64) &&
           (p->computed_in != GRDI_CUBLAS_IN_TF32 || d->type == GRDI_CUBLAS_F32) &&
           (p->epilogue == GRDI_CUBLAS_ADD_BIAS) == (p->bias != nullptr);
}

bool is_aligned(const void *address, const grdi_cublas_layout *x, uint32_t alignment)
{
    const uint64_t stride = x->batch > 1 ? (uint64_t)x->batch_stride * size_of(x->type) : 0;
    return alignment && alignment <= 256 &&
           ((uint64_t)(uintptr_t)address | stride) % alignment == 0;
}

} // namespace

#define BEGIN                                                                                      \
    const int failed = begin();                                                                    \
    if (failed)                                                                                    \
    return failed

extern "C" {

long emulated_products(void)
{
    return products;
}

long emulated_heuristics(void)
{
    return heuristics;
}

long emulated_descriptors(void)
{
    return descriptors;
}

int emulated_computed_in(void)
{
    return last_computed_in;
}

void emulated_cublas_fail(long after, int status)
{
    fail_at = after > 0 ? calls + after : 0;
    fail_with = status;
}

void emulated_cublas_least_rows(long rows)
{
    least_rows = rows;
}

int cublasLtCreate(grdi_cublas_handle **handle)
{
    static grdi_cublas_handle only;
    BEGIN;
    *handle = &only;
    return 0;
}

int cublasLtMatmulDescCreate(grdi_cublas_product **product, int computed_in, int scale_type)
{
    BEGIN;
    *product = new grdi_cublas_product{ computed_in, scale_type, { 0, 0 }, 1, nullptr };
    descriptors++;
    return 0;
}

int cublasLtMatmulDescSetAttribute(grdi_cublas_product *product, int attribute, const void *value,
                                   size_t bytes)
{
    BEGIN;
    const bool pointer = attribute == GRDI_CUBLAS_BIAS_POINTER;
    void *to = attribute == GRDI_CUBLAS_TRANSPOSE_A   ? &product->transposed[0]
               : attribute == GRDI_CUBLAS_TRANSPOSE_B ? &product->transposed[1]
               : attribute == GRDI_CUBLAS_EPILOGUE    ? &product->epilogue
               : pointer                              ? (void *)&product->bias
                                                      : nullptr;
    if (!to || bytes != (pointer ? sizeof(void *) : sizeof(int)))
        return INVALID;
    memcpy(to, value, bytes);
    return 0;
}

int cublasLtMatmulDescDestroy(grdi_cublas_product *product)
{
    delete product;
    descriptors--;
    return 0;
}

int cublasLtMatrixLayoutCreate(grdi_cublas_layout **layout, int type, uint64_t rows,
                               uint64_t columns, int64_t leading)
{
    BEGIN;
    *layout = new grdi_cublas_layout{ type, (int64_t)rows, (int64_t)columns, leading, 0, 1 };
    descriptors++;
    return 0;
}

int cublasLtMatrixLayoutSetAttribute(grdi_cublas_layout *layout, int attribute, const void *value,
                                     size_t bytes)
{
    BEGIN;
    const bool stride = attribute == GRDI_CUBLAS_BATCH_STRIDE;
    if ((!stride && attribute != GRDI_CUBLAS_BATCH) || bytes != (stride ? 8 : 4))
        return INVALID;
    memcpy(stride ? (void *)&layout->batch_stride : &layout->batch, value, bytes);
    return 0;
}

int cublasLtMatrixLayoutDestroy(grdi_cublas_layout *layout)
{
    delete layout;
    descriptors--;
    return 0;
}

int cublasLtMatmulPreferenceCreate(grdi_cublas_preference **preference)
{
    BEGIN;
    *preference = new grdi_cublas_preference{ 0, 7, { 256, 256, 256, 256 } };
    descriptors++;
    return 0;
}

int cublasLtMatmulPreferenceSetAttribute(grdi_cublas_preference *preference, int attribute,
                                         const void *value, size_t bytes)
{
    BEGIN;
    const bool workspace = attribute == GRDI_CUBLAS_MOST_WORKSPACE;
    if (bytes != (workspace ? 8 : 4))
        return INVALID;
    void *to = workspace                             ? (void *)&preference->workspace
               : attribute == GRDI_CUBLAS_REDUCTIONS ? &preference->reductions
               : attribute >= GRDI_CUBLAS_ALIGNMENT_A && attribute <= GRDI_CUBLAS_ALIGNMENT_D
                   ? &preference->alignment[attribute - GRDI_CUBLAS_ALIGNMENT_A]
                   : nullptr;
    if (!to)
        return INVALID;
    memcpy(to, value, bytes);
    return 0;
}

int cublasLtMatmulPreferenceDestroy(grdi_cublas_preference *preference)
{
    delete preference;
    descriptors--;
    return 0;
}

/* The algorithm holds the alignments that it was chosen for, as those of the library do. */
int cublasLtMatmulAlgoGetHeuristic(grdi_cublas_handle *, grdi_cublas_product *product,
                                   grdi_cublas_layout *a, grdi_cublas_layout *b,
                                   grdi_cublas_layout *c, grdi_cublas_layout *d,
                                   grdi_cublas_preference *preference, int wanted,
                                   grdi_cublas_choice choices[], int *count)
{
    BEGIN;
    heuristics++;
    *count = 0;
    if (wanted < 1 || c != d || !fit(product, a, b, d) || preference->reductions != 2)
        return INVALID;
    if (d->columns < least_rows)
        return GRDI_CUBLAS_NOT_SUPPORTED;
    choices[0] = {};
    choices[0].workspace = d->columns > 8 && preference->workspace >= WORKSPACE ? WORKSPACE : 0;
    choices[0].algorithm.data[0] = MARK;
    for (int i = 0; i < 4; i++)
        choices[0].algorithm.data[i + 1] = preference->alignment[i];
    *count = 1;
    return 0;
}

int cublasLtMatmul(grdi_cublas_handle *, grdi_cublas_product *product, const void *alpha,
                   const void *a, grdi_cublas_layout *of_a, const void *b, grdi_cublas_layout *of_b,
                   const void *beta, const void *c, grdi_cublas_layout *of_c, void *d,
                   grdi_cublas_layout *of_d, const grdi_cublas_algorithm *algorithm,
                   void *workspace, size_t bytes, grdi_cu_stream *)
{
    BEGIN;
    const int scale = product->scale_type;
    const uint64_t *chosen = algorithm->data;
    if (load(scale, (const char *)alpha) != 1 || load(scale, (const char *)beta) != 0 || c != d ||
        of_c != of_d || !fit(product, of_a, of_b, of_d) || chosen[0] != MARK ||
        (of_d->columns > 8) != (bytes == WORKSPACE && workspace))
        return INVALID;
    if (!is_aligned(a, of_a, (uint32_t)chosen[1]) || !is_aligned(b, of_b, (uint32_t)chosen[2]) ||
        !is_aligned(d, of_d, (uint32_t)chosen[4]))
        return INVALID;
    products++;
    last_computed_in = product->computed_in;
    const matrix left = { *of_a, (const char *)a, product->transposed[0] != 0 };
    const matrix right = { *of_b, (const char *)b, product->transposed[1] != 0 };
    const grdi_cublas_layout to = *of_d;
    const char *bias = (const char *)product->bias;
    emulation::enqueue("cublasLtMatmul", [=] {
        if (workspace)
            memset(workspace, 1, bytes);
        multiply(left, right, to, (char *)d, bias);
    });
    return 0;
}

} // extern "C"
