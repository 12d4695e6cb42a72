#include "tests/op_cases.h"

long count_of(const plain *x)
{
    long count = 1;
    for (int d = 0; d < x->rank; d++)
        count *= x->size[d];
    return count;
}

double stretched(const plain *x, const plain *y, long flat)
{
    long at = 0, stride = 1;
    for (int back = 1; back <= y->rank; back++) {
        const long index = flat % y->size[y->rank - back];
        flat /= y->size[y->rank - back];
        if (back > x->rank)
            continue;
        const long size = x->size[x->rank - back];
        at += size == 1 ? 0 : index * stride;
        stride *= size;
    }
    return x->value[at];
}

void stretch(const plain *a, const plain *b, plain *y)
{
    y->rank = a->rank > b->rank ? a->rank : b->rank;
    for (int back = 1; back <= y->rank; back++) {
        const long of_a = back <= a->rank ? a->size[a->rank - back] : 1;
        const long of_b = back <= b->rank ? b->size[b->rank - back] : 1;
        y->size[y->rank - back] = of_a == 1 ? of_b : of_a;
    }
}

/* clang-format off */
const op_family *const op_families[] = {
    &activation_family,
    &anomaly_family,
    &attention_family,
    &binary_family,
    &cat_family,
    &compare_family,
    &cross_entropy_family,
    &cumsum_family,
    &extreme_family,
    &flash_attention_family,
    &index_family,
    &make_family,
    &matmul_family,
    &norm_family,
    &optimizer_family,
    &random_family,
    &scalar_family,
    &softmax_family,
    &sum_family,
    &unary_family,
    &view_family,
    &where_family,
};
/* clang-format on */
const int op_family_count = sizeof op_families / sizeof op_families[0];
