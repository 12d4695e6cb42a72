/* CUDA's words for a compiler of the processor: put before a .cu file, it makes of every kernel a
 * function that the emulated driver finds by its name. */
#ifndef TESTS_CUDA_EMULATION_H
#define TESTS_CUDA_EMULATION_H

#include "tests/cuda/fibers.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>

#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

#define threadIdx (emulation::thread_index())
#define blockIdx (emulation::block_index())
#define blockDim (emulation::block_size())
#define gridDim (emulation::grid_size())

namespace emulation
{

/* A call of a kernel with the arguments that a launch points at, copied: it runs later. */
typedef std::function<void()> call;
typedef call binder(void (*kernel)(), void **arguments);

template <class... A, size_t... I>
call bind_with(void (*kernel)(A...), void **arguments, std::index_sequence<I...>)
{
    const std::tuple<A...> copied(*(A *)arguments[I]...);
    return [kernel, copied] { std::apply(kernel, copied); };
}

template <class... A> binder *binder_of(void (*)(A...))
{
    return [](void (*kernel)(), void **arguments) {
        return bind_with((void (*)(A...))kernel, arguments, std::index_sequence_for<A...>());
    };
}

/* What the driver knows a kernel by. */
struct kernel {
    const char *name;
    void (*function)();
    binder *bind;
    kernel *next;

    template <class... A>
    kernel(const char *name, void (*function)(A...))
        : name(name), function((void (*)())function), bind(binder_of(function)), next(all())
    {
        all() = this;
    }

    static kernel *&all();
};

/* Has the stream do the work of another library than the driver. */
void enqueue(const char *name, const call &work);

/* What `source` lane shows; all of `mask` call it. */
template <class T> T shuffle(unsigned mask, T value, unsigned source)
{
    T seen;
    static_assert(sizeof value <= 64, "it fits");
    memcpy(exchange_of(lane()), &value, sizeof value);
    wait_for_warp(mask);
    memcpy(&seen, exchange_of(source), sizeof seen);
    wait_for_warp(mask);
    return seen;
}

} // namespace emulation

#define GRDI_KERNEL(name, ...)                                                                     \
    static void name(__VA_ARGS__);                                                                 \
    static emulation::kernel kernel_##name(#name, name);                                           \
    static void name(__VA_ARGS__)
#define GRDI_KERNEL_OF(threads, name, ...) GRDI_KERNEL(name, __VA_ARGS__)
#define GRDI_SHARED(type, name, count)                                                             \
    static const char site_##name = 0;                                                             \
    type *name = (type *)emulation::shared_of(&site_##name, sizeof(type) * (count))
#define GRDI_SHARED_REST(type, name) type *name = (type *)emulation::shared_rest()

inline void __syncthreads()
{
    emulation::wait_for_block();
}

/* Whether any thread of the block says so. */
inline int __syncthreads_or(int value)
{
    return emulation::any_of_block(value != 0);
}

inline void __syncwarp(unsigned mask = ~0u)
{
    emulation::wait_for_warp(mask);
}

template <class T> T __shfl_sync(unsigned mask, T value, int source)
{
    return emulation::shuffle(mask, value, (unsigned)source % 32);
}

template <class T> T __shfl_xor_sync(unsigned mask, T value, int bits)
{
    return emulation::shuffle(mask, value, emulation::lane() ^ (unsigned)bits);
}

template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned delta)
{
    const unsigned from = emulation::lane() + delta;
    return emulation::shuffle(mask, value, from < 32 ? from : emulation::lane());
}

template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned delta)
{
    const unsigned lane = emulation::lane();
    return emulation::shuffle(mask, value, lane >= delta ? lane - delta : lane);
}

/* What tensor cores do (tensor/cuda/flash_tensor.cuh). TF32: to the nearest of 10 bits of fraction,
 * halves away from 0. */
inline unsigned tf32_of(float x)
{
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return std::isfinite(x) ? (bits + 0x1000) & ~0x1fffu : bits;
}

inline float float_of(unsigned bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline void add_products(float (&sum)[4], const unsigned (&a)[4], const unsigned (&b)[2])
{
    const unsigned lane = emulation::lane(), group = lane / 4;
    unsigned mine[6];
    memcpy(mine, a, sizeof a);
    memcpy(mine + 4, b, sizeof b);
    memcpy(emulation::exchange_of(lane), mine, sizeof mine);
    emulation::wait_for_warp(~0u);
    for (unsigned k = 0; k < 8; k++)
        for (unsigned c = 0; c < 4; c++) {
            unsigned row[6], column[6];
            memcpy(row, emulation::exchange_of(group * 4 + k % 4), sizeof row);
            memcpy(column, emulation::exchange_of((lane % 4 * 2 + c % 2) * 4 + k % 4),
                   sizeof column);
            sum[c] += float_of(row[c / 2 + k / 4 * 2]) * float_of(column[4 + k / 4]);
        }
    emulation::wait_for_warp(~0u);
}

inline unsigned __ballot_sync(unsigned mask, bool value)
{
    unsigned seen = 0;
    memcpy(emulation::exchange_of(emulation::lane()), &value, sizeof value);
    emulation::wait_for_warp(mask);
    for (unsigned l = 0; l < 32; l++)
        if ((mask & emulation::alive()) >> l & 1 && *(bool *)emulation::exchange_of(l))
            seen |= 1u << l;
    emulation::wait_for_warp(mask);
    return seen;
}

template <class T> T atomicAdd(T *to, T value)
{
    const T before = *to;
    *to = before + value;
    return before;
}

template <class T> T atomicMin(T *to, T value)
{
    const T before = *to;
    if (value < before)
        *to = value;
    return before;
}

template <class T> T atomicMax(T *to, T value)
{
    const T before = *to;
    if (before < value)
        *to = value;
    return before;
}

template <class T> T __ldg(const T *from)
{
    return *from;
}

inline unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

inline uint64_t __umul64hi(uint64_t a, uint64_t b)
{
    return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* As exact as a GPU's: whole quarters of a turn are taken off before pi rounds. */
inline void sincospi(double x, double *sine, double *cosine)
{
    const double quarters = std::nearbyint(2 * x);
    const double rest = (x - quarters / 2) * 3.14159265358979323846;
    const double turned[4] = { std::sin(rest), std::cos(rest), -std::sin(rest), -std::cos(rest) };
    *sine = turned[(int)quarters & 3];
    *cosine = turned[((int)quarters + 1) & 3];
}

inline int __popc(unsigned bits)
{
    return __builtin_popcount(bits);
}

inline int __ffs(unsigned bits)
{
    return __builtin_ffs((int)bits);
}

using std::abs;
using std::cos;
using std::erf;
using std::erfc;
using std::exp;
using std::exp2;
using std::fabs;
using std::fma;
using std::fmax;
using std::fmin;
using std::isfinite;
using std::isnan;
using std::log;
using std::log2;
using std::pow;
using std::sin;
using std::sqrt;
using std::tanh;

/* The numbers of 16 bits; kernel.cuh declares their types after this. */
float f16_to_float(unsigned short bits);
float bf16_to_float(unsigned short bits);
unsigned short float_to_f16(float x);
unsigned short float_to_bf16(float x);

#endif
