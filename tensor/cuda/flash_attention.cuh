/* Attention without its weights in memory, tile by tile: a block of threads owns the rows of one
 * side, queries or keys, and walks along those of the other. 16 threads share a row of a tile, so
 * that what they tell each other of it stays within a warp. Sums run in one order: of a query with
 * one key, the weight's gradient and `delta` are the same bits, and their difference 0.
 *
 * What is hidden has the weight -0, and is multiplied all the same, unless a tile holds what is not
 * finite. */
#ifndef GRDI_CUDA_FLASH_ATTENTION_CUH
#define GRDI_CUDA_FLASH_ATTENTION_CUH

#include "tensor/cuda/flash_products.cuh"
#include "tensor/philox.h"

const double LOG2_E = 1.4426950408889634, LN_2 = 0.69314718055994531;

__device__ __forceinline__ bool is_wanted(const grdi_cuda_flash &f)
{
    return !f.only_if || *f.only_if;
}

/* ---- Which pairs there are ---- */

/* Of one head. Query i sees key j before `keys` where low <= j - i <= high, and `keep` holds; and
 * those from first_appended to `end`. A row of random words has one for each of all keys. */
struct head_pairs {
    int queries, keys, first_appended, end, low, high, row_words;
    const bool *keep;
    int64_t keep_row, keep_column;
    int64_t additive; /* where its first element lies */
    uint64_t first_word;
};

__device__ __forceinline__ int near(int64_t x)
{
    const int far = 1 << 29; /* no two rows are so far from each other */
    return (int)(x < -far ? -far : x < far ? x : far);
}

__device__ __forceinline__ int64_t head_at(const grdi_cuda_pairs &x, int b, int h)
{
    return b * x.stride[0] + h * x.stride[1];
}

__device__ __forceinline__ head_pairs pairs_of(const grdi_cuda_flash &f, int b, int h)
{
    head_pairs p;
    p.queries = f.queries;
    p.keys = f.lengths ? (int)f.lengths[b * f.length] : f.keys;
    p.first_appended = f.keys;
    p.row_words = p.end = f.keys + f.appended;
    const int64_t diagonal = f.offset + (f.by_length ? p.keys : 0);
    p.low = near(diagonal - f.left);
    p.high = near(diagonal + f.right);
    p.keep = f.keep.data ? (const bool *)f.keep.data + head_at(f.keep, b, h) : nullptr;
    p.keep_row = f.keep.stride[2];
    p.keep_column = f.keep.stride[3];
    p.additive = head_at(f.additive, b, h);
    p.first_word = (uint64_t)((int64_t)(b * f.heads + h) * f.queries * p.row_words);
    return p;
}

__device__ __forceinline__ bool sees(const head_pairs &p, int i, int j)
{
    if (i >= p.queries || j >= p.end)
        return false;
    if (j >= p.keys)
        return j >= p.first_appended;
    return j - i >= p.low && j - i <= p.high &&
           (!p.keep || p.keep[i * p.keep_row + j * p.keep_column]);
}

/* Keys from `first` to last - 1. */
struct stretch {
    int first, last;
};

__device__ __forceinline__ int clipped(int x, int most)
{
    return x < 0 ? 0 : x < most ? x : most;
}

/* The same of keys in the band alone, part 0, or of appended ones, part 1. */
__device__ __forceinline__ head_pairs part_of(head_pairs p, int part)
{
    if (part == 0)
        p.end = p.first_appended;
    return p;
}

/* Those keys that any of `count` queries sees. A tile starts where one of all keys would, so that
 * random words lie as they are drawn. */
__device__ __forceinline__ stretch keys_of(const head_pairs &p, int query, int count, int side,
                                           int part)
{
    if (part == 1)
        return { p.first_appended, p.end };
    return { clipped(query + p.low, p.keys) / side * side,
             clipped(query + count + p.high, p.keys) };
}

/* Those queries that see any of the keys of a tile. */
__device__ __forceinline__ stretch queries_of(const head_pairs &p, int key, int side)
{
    if (key + side > p.first_appended)
        return { 0, p.queries };
    const int last = key + side < p.keys ? key + side : p.keys;
    if (key >= last)
        return { 0, 0 };
    return { clipped(key - p.high, p.queries) / side * side, clipped(last - p.low, p.queries) };
}

/* The first pair of a tile. */
struct corner {
    int query, key;
};

/* Whether the band has no pair in a tile. */
__device__ __forceinline__ bool none_seen(const head_pairs &p, corner at, int side)
{
    return at.key >= p.keys || at.key + side - 1 - at.query < p.low ||
           at.key - (at.query + side - 1) > p.high;
}

/* Whether all keys of a tile are there, and seen by all of its queries that are. */
__device__ __forceinline__ bool all_seen(const head_pairs &p, corner at, int side)
{
    if (at.key >= p.first_appended)
        return at.key + side <= p.end;
    return !p.keep && at.key + side <= p.keys && at.key - (at.query + side - 1) >= p.low &&
           at.key + side - 1 - at.query <= p.high;
}

/* A thread's pair e: row e / PACK of it, and column e % PACK. KEYS_DOWN: rows are keys. */
template <class T, int R, bool KEYS_DOWN>
__device__ __forceinline__ corner pair_at(corner at, int e)
{
    constexpr int P = tile_of<T>::PACK;
    const int down = row_of<T, R>(e / P), across = column_of<T>() + e % P;
    return { at.query + (KEYS_DOWN ? across : down), at.key + (KEYS_DOWN ? down : across) };
}

/* Bit e: whether pair e is seen. */
template <class T, int R, bool KEYS_DOWN>
__device__ __forceinline__ unsigned seen_bits(const head_pairs &p, corner at)
{
    unsigned bits = 0;
    if (all_seen(p, at, tile_of<T>::SIDE))
        return ~0u;
#pragma unroll 1
    for (int e = 0; e < R * tile_of<T>::PACK; e++) {
        const corner pair = pair_at<T, R, KEYS_DOWN>(at, e);
        bits |= (unsigned)sees(p, pair.query, pair.key) << e;
    }
    return bits;
}

/* ---- Dropout ---- */

/* Bit w: whether word w of a block of four keeps its pair. */
__device__ __forceinline__ unsigned kept_of_four(const grdi_cuda_flash &f, uint64_t number)
{
    uint32_t words[4] = { (uint32_t)number, (uint32_t)(number >> 32), GRDI_HIGH, GRDI_USE_DRAW };
    unsigned bits = 0;
    grdi_philox(words, f.draw.key);
#pragma unroll
    for (int w = 0; w < 4; w++)
        bits |= (unsigned)(words[w] >= f.dropped) << w;
    return bits;
}

/* Bit n: whether the pair of a query and key + n is kept; n < count, at most four. */
__device__ __forceinline__ unsigned kept_of(const grdi_cuda_flash &f, const head_pairs &p,
                                            corner pair, int count)
{
    const uint64_t first = p.first_word + (uint64_t)((int64_t)pair.query * p.row_words + pair.key);
    const unsigned before = (unsigned)(first % 4);
    unsigned bits = kept_of_four(f, f.draw.counter + first / 4) >> before;
    if ((int)before + count > 4)
        bits |= kept_of_four(f, f.draw.counter + first / 4 + 1) << (4 - before);
    return bits & ((1u << count) - 1);
}

/* Bit e: whether the weight of pair e is kept. */
template <class T, int R, bool KEYS_DOWN>
__device__ __forceinline__ unsigned kept_bits(const grdi_cuda_flash &f, const head_pairs &p,
                                              corner at)
{
    constexpr int P = tile_of<T>::PACK, FEW = R < 4 ? R : 4;
    unsigned bits = 0;
    if (f.kept == 0)
        return ~0u;
    if constexpr (!KEYS_DOWN) {
#pragma unroll 1
        for (int i = 0; i < R; i++)
            bits |= kept_of(f, p, pair_at<T, R, false>(at, i * P), P) << (i * P);
    } else {
#pragma unroll 1
        for (int e = 0; e < R / FEW * P; e++) {
            const int first = e / P * FEW * P + e % P;
            const unsigned few = kept_of(f, p, pair_at<T, R, true>(at, first), FEW);
#pragma unroll
            for (int k = 0; k < FEW; k++)
                bits |= (few >> k & 1) << (first + k * P);
        }
    }
    return bits;
}

template <class T> __device__ __forceinline__ T multiplier_of(const grdi_cuda_flash &f)
{
    return f.kept > 0 ? (T)f.kept : 1;
}

/* ---- Scores ---- */

/* What products are multiplied by, for scores in units of log2 or, if capped, of the cap. */
template <class T> __device__ __forceinline__ T factor_of(const grdi_cuda_flash &f)
{
    return (T)(f.softcap > 0 ? f.scale / f.softcap : f.scale * LOG2_E);
}

/* Caps, and adds what is additive, one pair after another by way of `tile`; slopes, unless NULL,
 * get the derivatives of the capped. Each thread sees its own alone. */
template <class T, int R, bool KEYS_DOWN>
__device__ __forceinline__ void bend(const grdi_cuda_flash &f, const head_pairs &p, corner at,
                                     unsigned seen, T *tile, T *slopes)
{
    constexpr int P = tile_of<T>::PACK;
    const T cap = (T)(f.softcap * LOG2_E);
#pragma unroll 1
    for (int e = 0; e < R * P; e++) {
        const int place = row_of<T, R>(e / P) * tile_of<T>::ROW + column_of<T>() + e % P;
        const corner pair = pair_at<T, R, KEYS_DOWN>(at, e);
        T score = tile[place], added = 0;
        if (cap > 0) {
            const T t = tanh(score);
            score = cap * t;
            if (slopes)
                slopes[place] = seen >> e & 1 ? 1 - t * t : 0;
        }
        if (f.additive.data && (seen >> e & 1) && pair.key < p.first_appended)
            read_element(f, f.additive.data,
                         p.additive + pair.query * f.additive.stride[2] +
                             pair.key * f.additive.stride[3],
                         &added);
        tile[place] = fma((T)LOG2_E, added, score);
    }
}

/* Products become scores in units of log2, -infinity where hidden. */
template <class T, int R, bool KEYS_DOWN>
__device__ __forceinline__ void score(const grdi_cuda_flash &f, const head_pairs &p, corner at,
                                      unsigned seen, T (&scores)[R][tile_of<T>::PACK], T *tile,
                                      T *slopes)
{
    constexpr int P = tile_of<T>::PACK;
    const T factor = factor_of<T>(f);
#pragma unroll
    for (int e = 0; e < R * P; e++)
        scores[e / P][e % P] *= factor;
    if (f.softcap > 0 || f.additive.data) {
        show<T, R>(tile, scores);
        bend<T, R, KEYS_DOWN>(f, p, at, seen, tile, slopes);
        look<T, R>(tile, scores);
    }
#pragma unroll
    for (int e = 0; e < R * P; e++)
        if (!(seen >> e & 1))
            scores[e / P][e % P] = -INFINITY;
}

#endif
