/* Four floats in what any processor with vectors has, by the compiler's own vector types: included
 * by vector.h. Only what sources for every set use. */
#ifndef GRDI_CPU_FAST_VECTOR_ANY_H
#define GRDI_CPU_FAST_VECTOR_ANY_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { LANES = 4, REGISTERS = 16 };
typedef float vec __attribute__((vector_size(16)));
typedef int32_t whole_vec __attribute__((vector_size(16)));

static inline vec all(float x)
{
    return (vec){ x, x, x, x };
}

static inline vec load(const float *from)
{
    vec x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline void store(float *to, vec x)
{
    memcpy(to, &x, sizeof x);
}

static inline vec load_part(const float *from, int64_t n, vec rest)
{
    memcpy(&rest, from, (size_t)n * sizeof(float));
    return rest;
}

static inline void store_part(float *to, int64_t n, vec x)
{
    memcpy(to, &x, (size_t)n * sizeof(float));
}

static inline vec mul_add(vec a, vec b, vec c)
{
    return a * b + c;
}

/* a where the bits are set, else b. */
static inline vec chosen(whole_vec where, vec a, vec b)
{
    return (vec)((where & (whole_vec)a) | (~where & (whole_vec)b));
}

typedef whole_vec lanes;

static inline lanes first_lanes(int64_t n)
{
    const int32_t count = n < LANES ? (int32_t)n : LANES;
    return (whole_vec){ 0, 1, 2, 3 } < (whole_vec){ count, count, count, count };
}

static inline vec choose(lanes where, vec a, vec b)
{
    return chosen(where, a, b);
}

static inline vec max(vec a, vec b)
{
    return chosen(a > b, a, b);
}

static inline vec min(vec a, vec b)
{
    return chosen(a < b, a, b);
}

/* Of |x| < 2^22: adding this leaves no room for a fraction. */
static inline vec nearest(vec x)
{
    const vec far = all(12582912.0f);
    return (x + far) - far;
}

/* As in AVX2: 0 where 2^n is no normal number, from -127 down. */
static inline vec scale(vec x, vec n)
{
    const whole_vec exponent = __builtin_convertvector(n, whole_vec) + 127;
    const whole_vec kept = exponent & (exponent > 0);
    return x * (vec)(kept << 23);
}

/* As in AVX2. */
static inline vec shifted(vec y)
{
    return y + all(12582912.0f + 127);
}

static inline vec unshifted(vec n)
{
    return n - all(12582912.0f + 127);
}

static inline vec scale_shifted(vec x, vec n)
{
    return x * (vec)((whole_vec)n << 23);
}

static inline vec scale_far(vec x, vec n)
{
    const vec half = nearest(n * all(0.5f));
    return scale(scale(x, half), n - half);
}

static inline float sum_of(vec x)
{
    return (x[0] + x[2]) + (x[1] + x[3]);
}

static inline void transpose_four(float *to, int64_t to_row, const float *from, int64_t from_row)
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            to[j * to_row + i] = from[i * from_row + j];
}

#endif
