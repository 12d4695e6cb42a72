#include "tests/op_cases.h"

/* Parts of two dimensions joined along the second. */
static void join(const plain x[], int parts, plain *y)
{
    *y = (plain){ 2, { x[0].size[0], 0 }, { 0 } };
    for (int p = 0; p < parts; p++)
        y->size[1] += x[p].size[1];
    for (long i = 0, to = 0; i < y->size[0]; i++)
        for (int p = 0; p < parts; p++)
            for (long j = 0; j < x[p].size[1]; j++)
                y->value[to++] = x[p].value[i * x[p].size[1] + j];
}

static void cat_reference(const plain x[], plain *y)
{
    join(x, 3, y);
}

static grd_tensor *run_cat(const grd_tensor *const x[])
{
    return grd_cat(GRD_LIST(x[0], x[1], x[2]), -1);
}

static void rows_reference(const plain x[], plain *y)
{
    *y = (plain){ 2, { x[0].size[0] + x[1].size[0], x[0].size[1] }, { 0 } };
    for (long i = 0; i < count_of(&x[0]); i++)
        y->value[i] = x[0].value[i];
    for (long i = 0; i < count_of(&x[1]); i++)
        y->value[count_of(&x[0]) + i] = x[1].value[i];
}

static grd_tensor *run_rows(const grd_tensor *const x[])
{
    return grd_cat(GRD_LIST(x[0], x[1]), 0);
}

enum { MANY = 37 };

/* MANY parts, each the first or the second input. */
static void fill_many(const void *a, const void *b, const void *parts[MANY])
{
    for (int i = 0; i < MANY; i++)
        parts[i] = i % 3 ? a : b;
}

static void many_reference(const plain x[], plain *y)
{
    static plain parts[MANY];
    for (int i = 0; i < MANY; i++)
        parts[i] = i % 3 ? x[0] : x[1];
    join(parts, MANY, y);
}

static grd_tensor *run_many(const grd_tensor *const x[])
{
    const void *parts[MANY];
    fill_many(x[0], x[1], parts);
    return grd_cat((grd_list){ MANY, (const grd_tensor *const *)parts }, 1);
}

static void stack_reference(const plain x[], plain *y)
{
    *y = (plain){ 3, { x[0].size[0], MANY, x[0].size[1] }, { 0 } };
    for (long i = 0, to = 0; i < y->size[0]; i++)
        for (int p = 0; p < MANY; p++)
            for (long j = 0; j < y->size[2]; j++)
                y->value[to++] = x[p % 3 ? 0 : 1].value[i * y->size[2] + j];
}

static grd_tensor *run_stack(const grd_tensor *const x[])
{
    const void *parts[MANY];
    fill_many(x[0], x[1], parts);
    return grd_stack((grd_list){ MANY, (const grd_tensor *const *)parts }, -2);
}

static void pair_reference(const plain x[], plain *y)
{
    *y = x[0];
    y->size[y->rank++] = 2;
    for (long i = 0; i < count_of(&x[0]); i++) {
        y->value[2 * i] = x[0].value[i];
        y->value[2 * i + 1] = x[1].value[i];
    }
}

static grd_tensor *run_pair(const grd_tensor *const x[])
{
    return grd_stack(GRD_LIST(x[0], x[1]), -1);
}

/* The second of two dimensions rolled by one to the left. */
static void roll_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++) {
        const long row = i / y->size[1] * y->size[1];
        y->value[i] = x[0].value[row + (i + 1) % y->size[1]];
    }
}

static grd_tensor *run_roll(const grd_tensor *const x[])
{
    return grd_roll(grd_roll(x[0], -3, 1), 2, -1);
}

static grd_tensor *run_roll_around(const grd_tensor *const x[])
{
    const int64_t size = x[0] ? grd_tensor_size(x[0], 1) : 1;
    return grd_roll(x[0], INT64_MIN - INT64_MIN % size - 1 + size, 1);
}

static void same_reference(const plain x[], plain *y)
{
    *y = x[0];
}

static grd_tensor *run_roll_nothing(const grd_tensor *const x[])
{
    return grd_roll(x[0], 5, 1);
}

static grd_tensor *run_cat_of_none(const grd_tensor *const x[])
{
    return grd_cat((grd_list){ 0, x }, 0);
}

static grd_tensor *run_cat_of_null(const grd_tensor *const x[])
{
    return grd_cat(GRD_LIST(x[0], x[0], NULL), 0);
}

static grd_tensor *run_cat_of_types(const grd_tensor *const x[])
{
    return grd_cat(GRD_LIST(x[0], grd_cast(x[1], GRD_F64)), 0);
}

static grd_tensor *run_wrong_stack(const grd_tensor *const x[])
{
    return grd_stack(GRD_LIST(x[0], x[1]), 0);
}

static grd_tensor *run_cat_past(const grd_tensor *const x[])
{
    return grd_cat(GRD_LIST(x[0], x[1]), 2);
}

static grd_tensor *run_stack_past(const grd_tensor *const x[])
{
    return grd_stack(GRD_LIST(x[0], x[0]), 3);
}

/* The 36th of 37 does not fit, and a graph is recorded in groups of fewer. */
static grd_tensor *run_wrong_in_many(const grd_tensor *const x[])
{
    const void *parts[MANY];
    fill_many(grd_require_grad((grd_tensor *)x[0]), x[0], parts);
    parts[35] = x[1];
    return grd_cat((grd_list){ MANY, (const grd_tensor *const *)parts }, 0);
}

static grd_tensor *run_huge_cat(const grd_tensor *const x[])
{
    const grd_tensor *wide = grd_expand(x[0], GRD_SHAPE(0, INT64_MAX / 8));
    const grd_tensor *parts[9];
    for (int i = 0; i < 9; i++)
        parts[i] = wide;
    return grd_cat((grd_list){ 9, parts }, 1);
}

/* clang-format off */
static const op_case cases[] = {
    { "cat", "copy", run_cat, cat_reference, 3, { S2(3, 2), S2(3, 4), S2(3, 1) } },
    { "cat with an empty part", "copy", run_cat, cat_reference, 3, { S2(3, 2), S2(3, 0), S2(3, 1) } },
    { "cat of nothing", "copy", run_cat, cat_reference, 3, { S2(0, 2), S2(0, 4), S2(0, 1) } },
    { "cat of rows", "copy", run_rows, rows_reference, 2, { S2(3, 4), S2(2, 4) } },
    { "cat of many", "copy", run_many, many_reference, 2, { S2(2, 1), S2(2, 3) } },
    { "stack of many", "copy", run_stack, stack_reference, 2, { S2(3, 2), S2(3, 2) } },
    { "stack", "copy", run_pair, pair_reference, 2, { S2(3, 2), S2(3, 2) } },
    { "stack of scalars", "copy", run_pair, pair_reference, 2, { S0, S0 } },
    { "roll", "copy", run_roll, roll_reference, 1, { S2(3, 5) } },
    { "roll around", "copy", run_roll_around, roll_reference, 1, { S2(3, 5) } },
    { "roll of nothing", "copy", run_roll_nothing, same_reference, 1, { S2(3, 0) } },
};

static const bad_case bad[] = {
    { "cat: there are no parts to join", run_cat_of_none, { S2(2, 3) } },
    { "cat: part 2 is NULL", run_cat_of_null, { S2(2, 3) } },
    { "cat: part 1 is f64, part 0 is f32", run_cat_of_types, { S2(2, 3), S2(2, 3) } },
    { "cat: part 1 is [2, 4], which does not fit part 0, [2, 3]", run_rows, { S2(2, 3), S2(2, 4) } },
    { "cat: dimension 2 does not exist in [2, 3]", run_cat_past, { S2(2, 3), S2(2, 3) } },
    { "cat: part 35 is [2], which does not fit part 0, [1, 1]", run_wrong_in_many, { S2(1, 1), S1(2) } },
    { "cat: the 9 parts are too large together", run_huge_cat, { S2(0, 1) } },
    { "stack: part 1 is [3, 2], which does not fit part 0, [2, 3]", run_wrong_stack, { S2(2, 3), S2(3, 2) } },
    { "stack: a new dimension 3 has no place in [2, 3] (-3 to 2)", run_stack_past, { S2(2, 3) } },
};
/* clang-format on */

const op_family cat_family = OP_FAMILY(cases, bad);
