#include "nn/attention.h"

/* ---- Projections ---- */

enum { QUERY, KEY, VALUE };
static const char *const names[] = { "query", "key", "value" };
static const char *const weight_names[] = { "q_proj_weight", "k_proj_weight", "v_proj_weight" };

/* The weights of the three, and their biases (NULL: none). */
typedef struct projections {
    const grd_tensor *weight[3], *bias[3];
} projections;

static bool fail_weights(const char *problem)
{
    return grdi_fail(GRD_ERROR_ARGUMENT, "project_qkv",
                     "%s: give in_proj_weight, or all of q_proj_weight, k_proj_weight and "
                     "v_proj_weight",
                     problem);
}

static bool check_weight(const char *name, const grd_tensor *weight, int64_t rows, int64_t columns)
{
    if (grdi_has_shape(&weight->array, &(grd_shape){ 2, { rows, columns } }))
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, "project_qkv", "%s is %s, expected [%lld, %lld]", name,
                     grdi_size_text(weight).chars, (long long)rows, (long long)columns);
}

static int64_t features(const grd_tensor *x)
{
    return grd_tensor_size(x, -1);
}

/* Rows i E to (i + 1) E. */
static const grd_tensor *third(const grd_tensor *packed, int i)
{
    const int64_t rows = grd_tensor_size(packed, 0) / 3;
    return packed ? grd_slice(packed, 0, i * rows, (i + 1) * rows, 1) : NULL;
}

static bool check_packed(const grd_in_projection *p, const grd_tensor *const inputs[3])
{
    if (p->q_proj_weight || p->k_proj_weight || p->v_proj_weight)
        return fail_weights("packed and separate weights are given");
    const int64_t width = features(inputs[QUERY]);
    for (int i = 0; i < 3; i++)
        if (features(inputs[i]) != width)
            return grdi_fail(GRD_ERROR_SHAPE, "project_qkv",
                             "the packed weight takes inputs of one size: query is %s, %s is %s "
                             "(use separate weights)",
                             grdi_size_text(inputs[QUERY]).chars, names[i],
                             grdi_size_text(inputs[i]).chars);
    return check_weight("in_proj_weight", p->in_proj_weight, 3 * width, width);
}

static bool check_separate(const grd_tensor *const weights[3], const grd_tensor *const inputs[3])
{
    if (!weights[QUERY] || !weights[KEY] || !weights[VALUE])
        return fail_weights("a weight is missing");
    const int64_t width = grd_tensor_size(weights[QUERY], 0);
    for (int i = 0; i < 3; i++)
        if (!check_weight(weight_names[i], weights[i], width, features(inputs[i])))
            return false;
    return true;
}

static bool check_bias(const grd_tensor *bias, int64_t size)
{
    if (!bias || grdi_has_shape(&bias->array, &(grd_shape){ 1, { size } }))
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, "project_qkv", "in_proj_bias is %s, expected [%lld]",
                     grdi_size_text(bias).chars, (long long)size);
}

/* One product for all three, of which they are slices. */
static grd_qkv project_together(const grd_tensor *x, const grd_in_projection *p)
{
    const grd_tensor *packed = grd_linear(x, p->in_proj_weight, p->in_proj_bias);
    const int64_t width = features(packed) / 3;
    if (!packed)
        return (grd_qkv){ 0 };
    return (grd_qkv){ grd_slice(packed, -1, 0, width, 1),
                      grd_slice(packed, -1, width, 2 * width, 1),
                      grd_slice(packed, -1, 2 * width, 3 * width, 1) };
}

static grd_qkv project_apart(const grd_tensor *const inputs[3], const grd_tensor *const weights[3],
                             const grd_tensor *bias)
{
    grd_tensor *projected[3];
    for (int i = 0; i < 3; i++)
        projected[i] = grd_linear(inputs[i], weights[i], third(bias, i));
    return (grd_qkv){ projected[QUERY], projected[KEY], projected[VALUE] };
}

grd_qkv grd_project_qkv(const grd_tensor *query, const grd_tensor *key, const grd_tensor *value,
                        const grd_in_projection *p)
{
    const grd_tensor *const inputs[] = { query, key, value };
    const grd_qkv failed = { 0 };
    if (!query || !key || !value || !p)
        return grdi_fail_null("project_qkv"), failed;
    const grd_tensor *weights[] = { p->q_proj_weight, p->k_proj_weight, p->v_proj_weight };
    if (!(p->in_proj_weight ? check_packed(p, inputs) : check_separate(weights, inputs)))
        return failed;
    const int64_t width =
        grd_tensor_size(p->in_proj_weight ? query : weights[QUERY], p->in_proj_weight ? -1 : 0);
    if (!check_bias(p->in_proj_bias, 3 * width))
        return failed;

    const bool same = query == key && key == value;
    if (p->in_proj_weight && same)
        return project_together(query, p);
    for (int i = 0; p->in_proj_weight && i < 3; i++)
        weights[i] = third(p->in_proj_weight, i);
    return project_apart(inputs, weights, p->in_proj_bias);
}

grd_qkv grd_at_qkv(grd_qkv result, const char *file, int line)
{
    grd_tensor *made[] = { grd_at(result.query, file, line), grd_at(result.key, file, line),
                           grd_at(result.value, file, line) };
    return (grd_qkv){ made[QUERY], made[KEY], made[VALUE] };
}

/* ---- Heads ---- */

grd_tensor *grd_split_heads(const grd_tensor *x, int64_t num_heads)
{
    if (!x)
        return grdi_fail_null("split_heads");
    grd_shape shape = grd_tensor_shape(x);
    if (shape.rank < 2 || shape.rank == GRD_MAX_RANK)
        return grdi_fail(GRD_ERROR_SHAPE, "split_heads", "x is %s, expected (..., T, E)",
                         grdi_size_text(x).chars);
    const int64_t width = shape.size[shape.rank - 1];
    if (num_heads < 1 || width % num_heads)
        return grdi_fail(GRD_ERROR_ARGUMENT, "split_heads",
                         "%lld heads do not divide the last size of x %s", (long long)num_heads,
                         grdi_size_text(x).chars);
    shape.size[shape.rank - 1] = num_heads;
    shape.size[shape.rank++] = width / num_heads;
    return grd_transpose(grd_reshape(x, shape), -2, -3);
}

grd_tensor *grd_merge_heads(const grd_tensor *x)
{
    if (!x)
        return grdi_fail_null("merge_heads");
    if (grd_tensor_rank(x) < 3)
        return grdi_fail(GRD_ERROR_SHAPE, "merge_heads", "x is %s, expected (..., H, T, D)",
                         grdi_size_text(x).chars);
    const grd_tensor *rows = grd_transpose(x, -2, -3);
    grd_shape shape = grd_tensor_shape(rows);
    if (!rows)
        return NULL;
    shape.rank--;
    shape.size[shape.rank - 1] *= shape.size[shape.rank];
    return grd_reshape(rows, shape);
}
