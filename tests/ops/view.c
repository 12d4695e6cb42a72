#include "tests/op_cases.h"

/* y[i, j, k] = x[at(i, j, k)]: y has rank 3 (sizes of 1 where it has fewer), and `from` gives the
 * position in x. */
static void pick(const plain *x, plain *y, long (*from)(const plain *x, const long index[3]))
{
    long size[3] = { 1, 1, 1 };
    for (int d = 0; d < y->rank; d++)
        size[3 - y->rank + d] = y->size[d];
    for (long i = 0, flat = 0; i < size[0]; i++)
        for (long j = 0; j < size[1]; j++)
            for (long k = 0; k < size[2]; k++)
                y->value[flat++] = x->value[from(x, (long[]){ i, j, k })];
}

/* Dimensions 0 and 1 of three swapped, as one vector. */
static void copy_reference(const plain x[], plain *y)
{
    const long *size = x[0].size;
    *y = (plain){ .rank = 1, .size = { count_of(&x[0]) } };
    for (long i = 0; i < y->size[0]; i++) {
        const long d2 = i % size[2], d0 = i / size[2] % size[0], d1 = i / size[2] / size[0];
        y->value[i] = x[0].value[(d0 * size[1] + d1) * size[2] + d2];
    }
}

static grd_tensor *run_copy(const grd_tensor *const x[])
{
    return grd_reshape(grd_transpose(x[0], 0, 1), GRD_SHAPE(-1));
}

static void fill_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] *= 3;
}

static grd_tensor *run_fill(const grd_tensor *const x[])
{
    return grd_mul(x[0], grd_cast(grd_scalar(3), grd_tensor_dtype(x[0])));
}

static void cast_reference(const plain x[], plain *y)
{
    *y = x[0];
    for (long i = 0; i < count_of(y); i++)
        y->value[i] += y->value[i];
}

/* Differentiable in both dtypes: f64 is the case's own where differences are taken. */
static grd_tensor *run_cast(const grd_tensor *const x[])
{
    const grd_tensor *y = grd_cast(x[0], GRD_F64);
    return grd_cast(grd_add(y, y), grd_tensor_dtype(x[0]));
}

static void same_reference(const plain x[], plain *y)
{
    *y = x[0];
}

static grd_tensor *run_clone(const grd_tensor *const x[])
{
    return grd_clone(x[0]);
}

static grd_tensor *run_contiguous(const grd_tensor *const x[])
{
    return grd_contiguous(x[0]);
}

/* There and back, where there are two devices. */
static grd_tensor *run_to_device(const grd_tensor *const x[])
{
    return grd_to_device(grd_to_device(x[0], grd_cpu()), grd_tensor_device(x[0]));
}

static grd_tensor *run_same_shape(const grd_tensor *const x[])
{
    return grd_reshape(x[0], grd_tensor_shape(x[0]));
}

static void rows_reference(const plain x[], plain *y)
{
    *y = x[0];
    y->rank = 2;
    y->size[0] = x[0].size[0] * x[0].size[1];
    y->size[1] = x[0].size[2];
}

/* Dimensions that lie in one stride can be seen as one, and be cut again. */
static grd_tensor *run_view(const grd_tensor *const x[])
{
    const grd_shape s = grd_tensor_shape(x[0]);
    const grd_tensor *y = grd_view(grd_permute(grd_contiguous(x[0]), GRD_DIMS(2, 0, 1)),
                                   GRD_SHAPE(s.size[2], 1, s.size[0] * s.size[1], 1));
    y = grd_view(y, GRD_SHAPE(s.size[2], s.size[0], 1, -1));
    return grd_reshape(grd_permute(y, GRD_DIMS(1, -1, 2, 0)),
                       GRD_SHAPE(s.size[0] * s.size[1], s.size[2]));
}

static long from_permuted(const plain *x, const long i[3])
{
    return (i[1] * x->size[1] + i[2]) * x->size[2] + i[0];
}

static void permute_reference(const plain x[], plain *y)
{
    *y = (plain){ 3, { x[0].size[2], x[0].size[0], x[0].size[1] }, { 0 } };
    pick(&x[0], y, from_permuted);
}

static grd_tensor *run_permute(const grd_tensor *const x[])
{
    return grd_permute(x[0], GRD_DIMS(-1, 0, 1));
}

static long from_columns(const plain *x, const long i[3])
{
    return i[1] * x->size[1] + 1 + 2 * i[2];
}

/* Columns 1, 3, ..., without the last. */
static void slice_reference(const plain x[], plain *y)
{
    *y = (plain){ 2, { x[0].size[0], (x[0].size[1] - 1) / 2 }, { 0 } };
    pick(&x[0], y, from_columns);
}

static grd_tensor *run_slice(const grd_tensor *const x[])
{
    return grd_slice(x[0], 1, 1, -1, 2);
}

static grd_tensor *run_wide_slice(const grd_tensor *const x[])
{
    return grd_slice(x[0], 0, INT64_MIN, GRD_END, 1);
}

static void empty_reference(const plain x[], plain *y)
{
    *y = (plain){ 2, { x[0].size[0], 0 }, { 0 } };
}

static grd_tensor *run_empty_slice(const grd_tensor *const x[])
{
    return grd_slice(x[0], -1, 3, 2, INT64_MAX);
}

static grd_tensor *run_slice_past_the_end(const grd_tensor *const x[])
{
    return grd_slice(grd_slice(x[0], 1, 100, GRD_END, 1), 1, -100, GRD_END, INT64_MAX);
}

static void first_column_reference(const plain x[], plain *y)
{
    *y = (plain){ 2, { x[0].size[0], 1 }, { 0 } };
    for (long i = 0; i < y->size[0]; i++)
        y->value[i] = x[0].value[i * x[0].size[1]];
}

static grd_tensor *run_long_step(const grd_tensor *const x[])
{
    return grd_slice(x[0], 1, 0, GRD_END, INT64_MAX);
}

static long from_last_column(const plain *x, const long i[3])
{
    return i[2] * x->size[1] + x->size[1] - 1;
}

static void select_reference(const plain x[], plain *y)
{
    *y = (plain){ 1, { x[0].size[0] }, { 0 } };
    pick(&x[0], y, from_last_column);
}

static grd_tensor *run_select(const grd_tensor *const x[])
{
    return grd_select(x[0], 1, -1);
}

static void unsqueeze_reference(const plain x[], plain *y)
{
    *y = x[0];
    *y = (plain){ 3, { x[0].size[0], x[0].size[1], 1 }, { 0 } };
    for (long i = 0; i < count_of(y); i++)
        y->value[i] = x[0].value[i];
}

static grd_tensor *run_unsqueeze(const grd_tensor *const x[])
{
    return grd_unsqueeze(x[0], -1);
}

static grd_tensor *run_squeeze(const grd_tensor *const x[])
{
    const grd_tensor *y = grd_unsqueeze(grd_unsqueeze(x[0], 0), 2);
    return grd_squeeze(grd_squeeze(grd_squeeze(y, 1), 0), -2);
}

/* The product of three parts of two columns. */
static void parts_reference(const plain x[], plain *y)
{
    *y = (plain){ 2, { x[0].size[0], 2 }, { 0 } };
    for (long i = 0; i < count_of(y); i++) {
        const double *row = &x[0].value[i / 2 * 6 + i % 2];
        y->value[i] = row[0] * row[2] * row[4];
    }
}

static grd_tensor *product(grd_status status, grd_tensor *const parts[3])
{
    return status == GRD_OK ? grd_mul(grd_mul(parts[0], parts[1]), parts[2]) : NULL;
}

static grd_tensor *run_chunk(const grd_tensor *const x[])
{
    grd_tensor *parts[3];
    return product(grd_chunk(x[0], 3, -1, parts), parts);
}

static grd_tensor *run_split(const grd_tensor *const x[])
{
    grd_tensor *parts[4];
    return product(grd_split(x[0], (int64_t[]){ 2, 2, 2, 0 }, 4, 1, parts), parts);
}

static grd_tensor *run_wrong_reshape(const grd_tensor *const x[])
{
    return grd_reshape(x[0], GRD_SHAPE(5));
}

static grd_tensor *run_wrong_rest(const grd_tensor *const x[])
{
    return grd_reshape(x[0], GRD_SHAPE(4, -1));
}

static grd_tensor *run_two_rests(const grd_tensor *const x[])
{
    return grd_reshape(x[0], GRD_SHAPE(-1, -1));
}

static grd_tensor *run_any_rest(const grd_tensor *const x[])
{
    return grd_view(x[0], GRD_SHAPE(0, -1));
}

static grd_tensor *run_huge_rest(const grd_tensor *const x[])
{
    return grd_reshape(x[0], GRD_SHAPE(INT64_MAX, INT64_MAX, -1));
}

static grd_tensor *run_wrong_view(const grd_tensor *const x[])
{
    return grd_view(grd_transpose(x[0], 0, 1), GRD_SHAPE(-1));
}

static grd_tensor *run_wrong_expand(const grd_tensor *const x[])
{
    return grd_expand(x[0], GRD_SHAPE(2, 4));
}

static grd_tensor *run_huge(const grd_tensor *const x[])
{
    (void)x;
    return grd_full(GRD_SHAPE(INT64_MAX, 2), 0);
}

static grd_tensor *run_long_names(const grd_tensor *const x[])
{
    const int64_t most = INT64_MAX;
    return grd_expand(x[0], GRD_SHAPE(most, most, most, most, most, most, most, most));
}

static grd_tensor *run_few_dims(const grd_tensor *const x[])
{
    return grd_permute(x[0], GRD_DIMS(1));
}

static grd_tensor *run_dims_twice(const grd_tensor *const x[])
{
    return grd_permute(x[0], GRD_DIMS(1, -1));
}

static grd_tensor *run_backwards(const grd_tensor *const x[])
{
    return grd_slice(x[0], 0, 0, GRD_END, -1);
}

static grd_tensor *run_slice_of_no_dim(const grd_tensor *const x[])
{
    return grd_slice(x[0], 2, 0, 1, 1);
}

static grd_tensor *run_select_past(const grd_tensor *const x[])
{
    return grd_select(x[0], -1, 3);
}

static grd_tensor *run_unsqueeze_past(const grd_tensor *const x[])
{
    return grd_unsqueeze(x[0], 3);
}

static grd_tensor *run_ninth(const grd_tensor *const x[])
{
    return grd_unsqueeze(grd_reshape(x[0], GRD_SHAPE(1, 1, 1, 1, 1, 1, 1, -1)), 0);
}

static grd_tensor *run_uneven_chunk(const grd_tensor *const x[])
{
    grd_tensor *parts[2] = { (grd_tensor *)x[0], (grd_tensor *)x[0] };
    grd_chunk(x[0], 2, 1, parts);
    return parts[0] ? parts[0] : parts[1];
}

static grd_tensor *run_no_chunk(const grd_tensor *const x[])
{
    grd_tensor *part = NULL;
    grd_chunk(x[0], 0, 1, &part);
    return part;
}

static grd_tensor *run_short_split(const grd_tensor *const x[])
{
    grd_tensor *parts[2] = { (grd_tensor *)x[0], (grd_tensor *)x[0] };
    grd_split(x[0], (int64_t[]){ 1, 1 }, 2, 1, parts);
    return parts[0] ? parts[0] : parts[1];
}

static grd_tensor *run_negative_split(const grd_tensor *const x[])
{
    grd_tensor *parts[2] = { (grd_tensor *)x[0], (grd_tensor *)x[0] };
    grd_split(x[0], (int64_t[]){ 4, -1 }, 2, 1, parts);
    return parts[0] ? parts[0] : parts[1];
}

static grd_tensor *run_to_nowhere(const grd_tensor *const x[])
{
    return grd_to_device(x[0], NULL);
}

/* clang-format off */
static const op_case cases[] = {
    { "reshape of transpose", "copy", run_copy, copy_reference, 1, { S3(2, 3, 4) } },
    { "reshape to the same", "copy", run_same_shape, same_reference, 1, { S2(2, 3) } },
    { "reshape of nothing", "copy", run_same_shape, same_reference, 1, { S2(0, 3) } },
    { "view", "copy", run_view, rows_reference, 1, { S3(2, 3, 4) } },
    { "cast", "copy", run_cast, cast_reference, 1, { S2(2, 3) } },
    { "full", "fill", run_fill, fill_reference, 1, { S2(2, 2) } },
    { "clone", "copy", run_clone, same_reference, 1, { S2(2, 3) } },
    { "clone of nothing", "copy", run_clone, same_reference, 1, { S2(2, 0) } },
    { "contiguous", "copy", run_contiguous, same_reference, 1, { S2(2, 3) } },
    { "to_device", "copy", run_to_device, same_reference, 1, { S2(2, 3) } },
    { "to_device of nothing", "copy", run_to_device, same_reference, 1, { S2(0, 3) } },
    { "permute", "copy", run_permute, permute_reference, 1, { S3(2, 3, 4) } },
    { "slice", "copy", run_slice, slice_reference, 1, { S2(3, 8) } },
    { "slice of no rows", "copy", run_slice, slice_reference, 1, { S2(0, 8) } },
    { "slice of all", "copy", run_wide_slice, same_reference, 1, { S2(3, 4) } },
    { "slice of nothing", "copy", run_empty_slice, empty_reference, 1, { S2(3, 4) } },
    { "slice past the end", "copy", run_slice_past_the_end, empty_reference, 1, { S2(3, 4) } },
    { "slice with a long step", "copy", run_long_step, first_column_reference, 1, { S2(3, 4) } },
    { "select", "copy", run_select, select_reference, 1, { S2(3, 4) } },
    { "select of no rows", "copy", run_select, select_reference, 1, { S2(0, 4) } },
    { "unsqueeze", "copy", run_unsqueeze, unsqueeze_reference, 1, { S2(3, 4) } },
    { "squeeze", "copy", run_squeeze, same_reference, 1, { S2(3, 4) } },
    { "chunk", "copy", run_chunk, parts_reference, 1, { S2(3, 6) } },
    { "split", "copy", run_split, parts_reference, 1, { S2(3, 6) } },
};

static const bad_case bad[] = {
    { "reshape: element counts differ: [2, 3] to [5]", run_wrong_reshape, { S2(2, 3) } },
    { "reshape: element counts differ: [2, 3] to [4, -1]", run_wrong_rest, { S2(2, 3) } },
    { "reshape: only one size may be -1: [-1, -1]", run_two_rests, { S2(2, 3) } },
    { "reshape: [9223372036854775807, 9223372036854775807, 1] is too large", run_huge_rest, { S2(2, 3) } },
    { "view: -1 could be any size beside a 0: [0, -1]", run_any_rest, { S2(0, 3) } },
    { "view: [3, 2], which is not contiguous, cannot be seen as [6] without a copy (use grd_reshape)",
      run_wrong_view, { S2(2, 3) } },
    { "expand: [2, 3] does not broadcast to [2, 4]", run_wrong_expand, { S2(2, 3) } },
    { "full: [9223372036854775807, 2] is too large", run_huge, { S0 } },
    { "expand: [9223372036854775807, 9223372036854775807, 9223372036854775807, "
      "9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807, "
      "9223372036854775807] is too large", run_long_names, { S0 } },
    { "permute: 1 dimensions are given for [2, 3]", run_few_dims, { S2(2, 3) } },
    { "permute: dimension -1 is given twice", run_dims_twice, { S2(2, 3) } },
    { "slice: step is -1 and should be positive", run_backwards, { S2(2, 3) } },
    { "slice: dimension 2 does not exist in [2, 3]", run_slice_of_no_dim, { S2(2, 3) } },
    { "select: index 3 is outside dimension 1 of [2, 3] (-3 to 2)", run_select_past, { S2(2, 3) } },
    { "unsqueeze: a new dimension 3 has no place in [2, 3] (-3 to 2)", run_unsqueeze_past, { S2(2, 3) } },
    { "unsqueeze: [1, 1, 1, 1, 1, 1, 1, 6] has all the dimensions that there can be", run_ninth, { S2(2, 3) } },
    { "chunk: 2 parts do not divide dimension 1 of [2, 3]", run_uneven_chunk, { S2(2, 3) } },
    { "chunk: 0 parts of [2, 3]", run_no_chunk, { S2(2, 3) } },
    { "split: the 2 sizes are no parts of dimension 1 of [2, 3]: they should add up to 3", run_short_split, { S2(2, 3) } },
    { "split: the 2 sizes are no parts of dimension 1 of [2, 3]: they should add up to 3", run_negative_split, { S2(2, 3) } },
    { "to_device: an argument is NULL", run_to_nowhere, { S2(2, 3) } },
};
/* clang-format on */

const op_family view_family = OP_FAMILY(cases, bad);
