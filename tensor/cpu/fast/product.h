/* A product of matrices that lie in the first caches: rows and vectors of a tile are literals, so
 * that its sums are registers. */
#ifndef GRDI_CPU_FAST_PRODUCT_H
#define GRDI_CPU_FAST_PRODUCT_H

#include "tensor/cpu/fast/vector.h"

/* c [rows, width] = scale [row] ((keep ? factor [row] c : 0) + a [rows, depth] b [depth, width]);
 * rows of b and c are contiguous; factor or scale NULL: 1. Of row i of a only the columns
 * i + low <= l < i + high are not 0, and others may be left out. */
typedef struct product {
    const real *a, *b, *factor, *scale;
    real *c;
    int64_t a_row, a_column, b_row, c_row;
    int64_t depth, width, low, high;
    bool keep;
} product;

static inline int64_t clipped(int64_t x, int64_t most)
{
    return x < 0 ? 0 : x < most ? x : most;
}

/* The last vector has `part` elements. Two steps a turn: of a short sum the loop's own instructions
 * are a part that counts. */
static inline __attribute__((always_inline)) void
tile(const int rows, const int vectors, const product *p, int64_t i, int64_t d, const int64_t part)
{
    vec sum[12][4];
    const real *a = p->a + i * p->a_row, *b = p->b + d;
    const int64_t c_row = p->c_row;
    real *c = p->c + i * c_row + d;
    const int64_t last = clipped(i + rows - 1 + p->high, p->depth);
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[r][v] = all(0);
    if (p->keep)
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) {
                const real *from = c + r * c_row + v * LANES;
                sum[r][v] = part < LANES ? load_part(from, part, all(0)) : load(from);
            }
    if (p->keep && p->factor)
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[r][v] *= all(p->factor[i + r]);
#pragma GCC unroll 2
    for (int64_t l = clipped(i + p->low, p->depth); l < last; l++) {
        vec of_b[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            of_b[v] = part < LANES ? load_part(b + l * p->b_row, part, all(0))
                                   : load(b + l * p->b_row + v * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const vec factor = all(a[r * p->a_row + l * p->a_column]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[r][v] = mul_add(factor, of_b[v], sum[r][v]);
        }
    }
    if (p->scale)
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[r][v] *= all(p->scale[i + r]);
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            real *to = c + r * c_row + v * LANES;
            if (part < LANES)
                store_part(to, part, sum[r][v]);
            else
                store(to, sum[r][v]);
        }
}

/* All rows of `vectors` vectors' width: as many at a time as the registers hold, but 8 as 4 + 4,
 * since 6 + 2 would wait for the sums of the 2. */
static inline __attribute__((always_inline)) void column(const int most, const int vectors,
                                                         const product *p, int64_t rows, int64_t d,
                                                         const int64_t part)
{
    int64_t i = 0;
    for (; rows - i >= most && (most != 6 || rows - i != 8); i += most)
        tile(most, vectors, p, i, d, part);
    for (; rows - i >= 4; i += 4)
        tile(4, vectors, p, i, d, part);
    for (; rows - i >= 2; i += 2)
        tile(2, vectors, p, i, d, part);
    for (; i < rows; i++)
        tile(1, vectors, p, i, d, part);
}

static void multiply(const product *p, int64_t rows)
{
    int64_t d = 0;
    for (; REGISTERS == 32 && p->width - d >= 4 * LANES; d += 4 * LANES)
        column(6, 4, p, rows, d, LANES);
    for (; p->width - d >= 2 * LANES && (REGISTERS == 32 || p->width - d != 3 * LANES);
         d += 2 * LANES)
        column(REGISTERS == 32 ? 12 : 6, 2, p, rows, d, LANES);
    for (; REGISTERS == 16 && p->width - d >= 3 * LANES; d += 3 * LANES)
        column(4, 3, p, rows, d, LANES);
    for (; p->width - d >= LANES; d += LANES)
        column(8, 1, p, rows, d, LANES);
    if (d < p->width)
        column(8, 1, p, rows, d, p->width - d);
}

#endif
