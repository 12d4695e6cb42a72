#include "tensor/cuda/map.cuh"

/* Far from overflow, and past every key: for what is added to positions. */
__device__ inline int64_t clamped(int64_t position)
{
    const int64_t far = INT64_MAX / 8;
    return position > far ? far : position < -far ? -far : position;
}

/* One row of a part of the mask; at: NULL if there is no such part. */
template <class T> struct part {
    const T *at;
    int64_t stride;

    __device__ part(const grdi_array &x, int64_t row)
        : at(x.data ? (const T *)x.data + offset_of_row(x, row) : NULL),
          stride(x.data ? x.dim[x.rank - 1].stride : 0)
    {
    }

    /* Whether key j is not hidden by elements of which `hides` holds. */
    template <class Hides> __device__ bool shows(int64_t j, Hides hides) const
    {
        return !at || !hides(number(at[j * stride]));
    }
};

/* Only keys first..last - 1 may be seen. */
struct range {
    int64_t first, last;
};

__device__ inline range range_of(const grdi_mask &mask, int64_t row, int64_t query, int64_t keys)
{
    int64_t length = keys, diagonal = query + clamped(mask.offset);
    if (mask.lengths.data)
        length = clamped(((const int64_t *)mask.lengths.data)[offset_of_row(mask.lengths, row)]);
    if (mask.by_length)
        diagonal += length;
    const int64_t first = diagonal - clamped(mask.left), end = diagonal + clamped(mask.right) + 1;
    const int64_t last = end < length ? end : length;
    return { first > 0 ? first : 0, last < keys ? last : keys };
}

/* The whole block does a row. */
template <class T>
__device__ inline void fill_row(const grdi_mask &mask, bool *y, int64_t row, int64_t query,
                                int64_t keys)
{
    typedef number_of<T> N;
    const range r = range_of(mask, row, query, keys);
    const part<bool> attend(mask.attend, row), ignore(mask.ignore, row);
    const part<bool> key_ignore(mask.key_ignore, row);
    const part<T> additive(mask.additive, row);
    for (int64_t j = threadIdx.x; j < keys + mask.appended; j += blockDim.x) {
        bool shown = j >= keys;
        if (r.first <= j && j < r.last)
            shown = attend.shows(j, [](bool sees) { return !sees; }) &&
                    ignore.shows(j, [](bool hides) { return hides; }) &&
                    key_ignore.shows(j, [](bool hides) { return hides; }) &&
                    additive.shows(j, [](N x) { return x == -(N)INFINITY; });
        y[j] = shown;
    }
}

/* Each of the dtype of what is additive. */
#define ATTENTION_MASK(dtype, type, ...)                                                           \
    GRDI_KERNEL(attention_mask_##dtype, int64_t rows, grdi_array y, grdi_mask mask)                \
    {                                                                                              \
        const int64_t queries = y.dim[y.rank - 2].size, length = y.dim[y.rank - 1].size;           \
        for (int64_t i = blockIdx.x; i < rows; i += gridDim.x)                                     \
            fill_row<type>(mask, (bool *)y.data + i * length, i, divided(i, queries).rest,         \
                           length - mask.appended);                                                \
    }
KERNELS_OF_FLOATS(ATTENTION_MASK, )
