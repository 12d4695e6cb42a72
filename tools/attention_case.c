#include "tools/attention_case.h"
#include "tools/setup.h"
#include "tools/tools.h"

#include <math.h>
#include <string.h>

/* ---- Options ---- */

static int index_of(const char *name, const char *const names[])
{
    int i = 0;
    while (names[i] && strcmp(name, names[i]) != 0)
        i++;
    return i;
}

grd_align align_named(const char *name)
{
    static const char *const names[] = { "top_left", "bottom_right", "key_lengths", "offset",
                                         NULL };
    return name ? (grd_align)(GRD_ALIGN_TOP_LEFT + index_of(name, names)) : GRD_ALIGN_UNSTATED;
}

static bool read_attributes(attention_case *c)
{
    static const char *const modules[] = { "scaled_dot_product_attention", "multihead_attention",
                                           NULL };
    static const char *const required[] = { "embed-dim", "num-heads", "layout" };
    const int module = case_module(c->file, modules);
    c->module = module == 0 ? SDPA_CASE : MHA_CASE;
    if (module < 0 || !case_attributes(c->file, c->module, &c->o))
        return false;
    for (int i = 0; i < 3 && c->module == MHA_CASE; i++)
        if (!case_requires(c->file, &c->o, required[i], MHA_CASE))
            return false;
    return !c->o.align || strcmp(c->o.align, "offset") != 0 ||
           case_requires(c->file, &c->o, "offset", c->module);
}

/* ---- Datasets ---- */

static bool is_unbatched(const attention_case *c)
{
    return c->module == MHA_CASE && layout_named(c->o.layout) == GRD_UNBATCHED;
}

/* What a dataset's numbers are. */
typedef enum numbers { FLOATING, TRUTHS, INTEGERS } numbers;

static bool is_kind(grd_dtype dtype, numbers kind)
{
    return kind == TRUTHS     ? dtype == GRD_BOOL
           : kind == INTEGERS ? dtype == GRD_I64
                              : dtype != GRD_BOOL && dtype != GRD_I64;
}

static bool check_array(const attention_case *c, const grdi_value *e, numbers kind, int64_t rank)
{
    static const char *const words[] = {
        [FLOATING] = "floating numbers",
        [TRUTHS] = "bool (h5py writes numpy's bool as an enum of FALSE and TRUE)",
        [INTEGERS] = "int64",
    };
    if (!is_kind(e->dtype, kind))
        return case_refuse(c->file, "%s is %s, expected %s", e->path, grdi_dtype_name(e->dtype),
                           words[kind]);
    return e->shape.rank == rank ||
           case_refuse(c->file, "%s is %s, expected %lld dimensions", e->path,
                       grdi_shape_text(&e->shape).chars, (long long)rank);
}

/* Floating ones in the type to compute with. NULL, without an error, if it is not there. */
static grd_tensor *read_array(const attention_case *c, const char *path, numbers kind, int64_t rank)
{
    const grdi_value *e = grdi_find(c->file, path, GRDI_ARRAY);
    if (!e || !check_array(c, e, kind, rank))
        return NULL;
    grd_tensor *x = grdi_value_tensor(c->file, e);
    return kind == FLOATING ? grd_cast(x, c->dtype) : x;
}

/* The same as something that gets a gradient if any is wanted. */
static grd_tensor *read_leaf(const attention_case *c, const char *path, int64_t rank)
{
    grd_tensor *x = read_array(c, path, FLOATING, rank);
    return x && c->backward ? grd_require_grad(x) : x;
}

static int64_t input_rank(const attention_case *c)
{
    return c->module == SDPA_CASE ? 4 : is_unbatched(c) ? 2 : 3;
}

static bool read_inputs(attention_case *c)
{
    const int64_t rank = input_rank(c);
    c->query = read_leaf(c, "inputs/query", rank);
    c->key = read_leaf(c, "inputs/key", rank);
    c->value = read_leaf(c, "inputs/value", rank);
    if (grdi_latched())
        return false;
    if (!c->key != !c->value)
        return case_refuse(c->file,
                           "inputs/%s is missing (self-attention has neither key nor value)",
                           c->key ? "value" : "key");
    if (!c->key)
        c->key = c->value = c->query;
    return true;
}

grd_shape attention_case_scores(const attention_case *c)
{
    const grd_shape q = grd_tensor_shape(c->query), k = grd_tensor_shape(c->key);
    if (c->module == SDPA_CASE)
        return GRD_SHAPE(q.size[0], q.size[1], q.size[2], k.size[2]);
    if (is_unbatched(c))
        return GRD_SHAPE(c->o.num_heads, q.size[0], k.size[0]);
    const int time = layout_named(c->o.layout) == GRD_BATCH_FIRST ? 1 : 0;
    return GRD_SHAPE(q.size[1 - time], c->o.num_heads, q.size[time], k.size[time]);
}

/* A window that the attributes do not state has no limit. */
static grd_maybe_int window(const attention_case *c, const char *name, int64_t value)
{
    return (grd_maybe_int){ value, case_states(&c->o, name, c->module) };
}

static bool check_align(const attention_case *c)
{
    const grd_shape scores = attention_case_scores(c);
    const int64_t queries = scores.size[scores.rank - 2], keys = scores.size[scores.rank - 1];
    const grd_align align = c->mask.align;
    if (align == GRD_ALIGN_UNSTATED && queries != keys)
        return case_refuse(c->file,
                           "attribute align is missing: %lld queries over %lld keys have no one "
                           "diagonal (top_left is PyTorch's, bottom_right FlashAttention's)",
                           (long long)queries, (long long)keys);
    if (align == GRD_ALIGN_KEY_LENGTHS && !c->mask.key_lengths)
        return case_refuse(c->file, "masks/key_lengths is missing: align is key_lengths");
    return align == GRD_ALIGN_OFFSET || !c->mask.offset ||
           case_refuse(c->file, "offset is %lld, but align is not offset",
                       (long long)c->mask.offset);
}

/* Where the diagonal lies means nothing without causal or a window. */
static bool read_band(attention_case *c)
{
    const options *o = &c->o;
    grd_mask *mask = &c->mask;
    mask->causal = o->causal == 1;
    mask->window_left = window(c, "window-left", o->window_left);
    mask->window_right = window(c, "window-right", o->window_right);
    if (!mask->causal && !mask->window_left.set && !mask->window_right.set)
        return true;
    mask->align = align_named(o->align);
    mask->offset = o->offset;
    return check_align(c);
}

static bool read_mask(attention_case *c)
{
    const int64_t samples = is_unbatched(c) ? 0 : 1;
    c->mask = (grd_mask){
        .additive = read_leaf(c, "masks/additive", 4),
        .attend = read_array(c, "masks/attend", TRUTHS, 4),
        .ignore = read_array(c, "masks/ignore", TRUTHS, 4),
        .key_ignore = read_array(c, "masks/key_ignore", TRUTHS, 1 + samples),
        .key_lengths = read_array(c, "masks/key_lengths", INTEGERS, 1),
    };
    return !grdi_latched() && read_band(c);
}

/* ---- The module ---- */

static grd_mha_options mha_options(const options *o)
{
    return (grd_mha_options){ .embed_dim = o->embed_dim,
                              .num_heads = o->num_heads,
                              .layout = layout_named(o->layout),
                              .kdim = o->kdim ? o->kdim : o->embed_dim,
                              .vdim = o->vdim ? o->vdim : o->embed_dim,
                              .no_bias = o->bias == 0,
                              .add_bias_kv = o->add_bias_kv == 1,
                              .add_zero_attn = o->add_zero_attn == 1 };
}

static bool is_packed(const grd_mha_options *o)
{
    return o->kdim == o->embed_dim && o->vdim == o->embed_dim;
}

/* The smallest module with parameters of the same names. */
static grd_module *smallest(const grd_mha_options *o)
{
    grd_mha_options small = *o;
    small.embed_dim = small.num_heads = 1;
    small.kdim = small.vdim = is_packed(o) ? 1 : 2;
    return grd_mha_create(grd_rng_create(0), &small);
}

/* The file holds the weights, so making them takes no more memory than it has been granted. */
static bool holds_weights(const attention_case *c, const grd_mha_options *o)
{
    const grd_shape packed = GRD_SHAPE(3 * o->embed_dim, o->embed_dim),
                    query = GRD_SHAPE(o->embed_dim, o->embed_dim),
                    key = GRD_SHAPE(o->embed_dim, o->kdim),
                    value = GRD_SHAPE(o->embed_dim, o->vdim);
    if (is_packed(o))
        return case_array(c->file, "parameters/in_proj_weight", &packed);
    return case_array(c->file, "parameters/q_proj_weight", &query) &&
           case_array(c->file, "parameters/k_proj_weight", &key) &&
           case_array(c->file, "parameters/v_proj_weight", &value);
}

static bool read_module(attention_case *c)
{
    const grd_mha_options options = mha_options(&c->o);
    if (!holds_weights(c, &options))
        return false;
    c->mha = grd_mha_create(grd_rng_create(0), &options);
    return c->mha && case_parameters(c->file, c->mha) &&
           grd_module_to(c->mha, NULL, c->dtype) == GRD_OK;
}

/* ---- The whole ---- */

static bool knows_all(const attention_case *c)
{
    static const char *const datasets[] = {
        "inputs/query", "inputs/key",       "inputs/value",      "masks/additive", "masks/attend",
        "masks/ignore", "masks/key_ignore", "masks/key_lengths", "grad_output",    NULL
    };
    if (c->module == SDPA_CASE)
        return case_knows_all(c->file, datasets, NULL);
    const grd_mha_options options = mha_options(&c->o);
    const grd_module *same_names = smallest(&options);
    return same_names && case_knows_all(c->file, datasets, same_names);
}

static const struct {
    const char *name;
    grd_dtype dtype;
} dtypes[] = {
    { "float32", GRD_F32 },
    { "float64", GRD_F64 },
    { "float16", GRD_F16 },
    { "bfloat16", GRD_BF16 },
};

static grd_dtype dtype_named(const char *name)
{
    size_t i = 0;
    while (strcmp(name, dtypes[i].name) != 0)
        i++;
    return dtypes[i].dtype;
}

const char *attention_case_dtype(const attention_case *c)
{
    size_t i = 0;
    while (dtypes[i].dtype != c->dtype)
        i++;
    return dtypes[i].name;
}

static bool choose_dtype(attention_case *c, const char *name)
{
    const grdi_value *query = grdi_get(c->file, "inputs/query", GRDI_ARRAY);
    if (!query)
        return false;
    c->dtype = name ? dtype_named(name) : query->dtype == GRD_F64 ? GRD_F64 : GRD_F32;
    return grd_scope_begin_with(
        &(grd_scope_options){ .dtype = c->dtype == GRD_F64 ? GRD_F64 : GRD_F32 });
}

bool attention_case_read(attention_case *c, const char *path, const char *dtype)
{
    *c = (attention_case){ 0 };
    options_init(&c->o);
    c->file = case_read("case", path);
    if (!c->file || !read_attributes(c) || !knows_all(c) || !choose_dtype(c, dtype))
        return false;
    c->backward = grdi_find(c->file, "grad_output", GRDI_ARRAY);
    if (!read_inputs(c) || !read_mask(c) || (c->module == MHA_CASE && !read_module(c)))
        return false;
    c->grad_output = read_array(c, "grad_output", FLOATING, input_rank(c));
    return !grdi_latched();
}

void attention_case_free(attention_case *c)
{
    options_free(&c->o);
}

int complain_of_case(const char *path)
{
    if (strstr(grd_error_message(), path))
        return complain_of_library();
    complain("%s: %s", path, grd_error_message());
    grd_error_take();
    return EXIT_FAILED;
}

/* ---- Computing ---- */

static grd_maybe_real scale_of(const options *o)
{
    return (grd_maybe_real){ isnan(o->scale) ? 0 : o->scale, !isnan(o->scale) };
}

static grd_weights weights_of(const options *o)
{
    return o->need_weights != 1      ? GRD_NO_WEIGHTS
           : o->average_weights == 1 ? GRD_AVERAGED
                                     : GRD_PER_HEAD;
}

static grd_sdpa_options sdpa_options(const attention_case *c, kernel_wish wish)
{
    return (grd_sdpa_options){ .mask = c->mask,
                               .scale = scale_of(&c->o),
                               .softcap = c->o.softcap,
                               .weights = weights_of(&c->o),
                               .strict = wish.strict,
                               .composed = wish.composed };
}

static grd_mha_args mha_args(const attention_case *c, kernel_wish wish)
{
    return (grd_mha_args){ .mask = c->mask,
                           .scale = scale_of(&c->o),
                           .softcap = c->o.softcap,
                           .weights = weights_of(&c->o),
                           .strict = wish.strict,
                           .composed = wish.composed };
}

grd_attention attention_case_compute(const attention_case *c, kernel_wish wish)
{
    const grd_sdpa_options options = sdpa_options(c, wish);
    const grd_mha_args args = mha_args(c, wish);
    return c->mha ? grd_mha_forward(c->mha, c->query, c->key, c->value, &args)
                  : grd_sdpa(c->query, c->key, c->value, &options);
}

grd_kernel_choice attention_case_explain(const attention_case *c, kernel_wish wish)
{
    const grd_sdpa_options options = sdpa_options(c, wish);
    const grd_mha_args args = mha_args(c, wish);
    return c->mha ? grd_mha_explain(c->mha, c->query, c->key, c->value, &args)
                  : grd_sdpa_explain(c->query, c->key, c->value, &options);
}
