#include "nn/cache.h"

#include <math.h>

typedef struct mha {
    grd_mha_options options; /* kdim and vdim filled in */
    grd_in_projection in;
    grd_tensor *bias_k, *bias_v; /* NULL: none */
    grd_module *out_proj;
} mha;

static const grdi_kind mha_kind = { "MultiheadAttention", sizeof(mha), NULL };

static const char *const packed_name[] = { "in_proj_weight" };
static const char *const separate_names[] = { "q_proj_weight", "k_proj_weight", "v_proj_weight" };

/* ---- Making one ---- */

bool grdi_check_heads(const char *op, int64_t embed_dim, int64_t num_heads)
{
    if (embed_dim < 1 || num_heads < 1)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "embed_dim is %lld and num_heads %lld: both are required and positive",
                         (long long)embed_dim, (long long)num_heads);
    if (embed_dim % num_heads)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "embed_dim %lld is not divisible by num_heads %lld: every head gets "
                         "embed_dim / num_heads features",
                         (long long)embed_dim, (long long)num_heads);
    return true;
}

bool grdi_check_dropout(const char *op, double dropout)
{
    return (dropout >= 0 && dropout < 1) ||
           grdi_fail(GRD_ERROR_ARGUMENT, op, "dropout is %g, expected 0 <= dropout < 1", dropout);
}

static bool check_options(const grd_mha_options *o)
{
    const char *op = "mha_create";
    if (!grdi_check_heads(op, o->embed_dim, o->num_heads) || !grdi_check_dropout(op, o->dropout))
        return false;
    if (o->layout < GRD_BATCH_FIRST || o->layout > GRD_UNBATCHED)
        return grdi_fail(GRD_ERROR_ARGUMENT, op,
                         "layout is not stated: GRD_BATCH_FIRST for inputs (B, T, E), "
                         "GRD_SEQUENCE_FIRST for (T, B, E), torch's default, GRD_UNBATCHED for "
                         "(T, E)");
    if (o->kdim < 0 || o->vdim < 0)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "kdim is %lld and vdim %lld: 0 is embed_dim",
                         (long long)o->kdim, (long long)o->vdim);
    return true;
}

/* Uniform in +-sqrt(6 / (rows + columns)). */
static grd_tensor *xavier_uniform(grd_rng *rng, int64_t rows, int64_t columns)
{
    const double bound = sqrt(6 / ((double)rows + (double)columns));
    grd_tensor *unit = grd_rand(rng, GRD_SHAPE(rows, columns));
    return grd_add_scalar(grd_mul_scalar(unit, 2 * bound), -bound);
}

/* torch takes the fans of (1, 1, E) to be E both. */
static grd_tensor *xavier_normal(grd_rng *rng, int64_t width)
{
    return grd_mul_scalar(grd_randn(rng, GRD_SHAPE(1, 1, width)), sqrt(1 / (double)width));
}

static void add_weights(grd_module *self, grd_rng *rng)
{
    mha *m = grd_module_data(self);
    const int64_t width = m->options.embed_dim;
    const int64_t sizes[] = { width, m->options.kdim, m->options.vdim };
    const grd_tensor **separate[] = { &m->in.q_proj_weight, &m->in.k_proj_weight,
                                      &m->in.v_proj_weight };
    if (m->options.kdim == width && m->options.vdim == width) {
        m->in.in_proj_weight =
            grd_module_add_parameter(self, packed_name[0], xavier_uniform(rng, 3 * width, width));
        return;
    }
    for (int i = 0; i < 3; i++)
        *separate[i] =
            grd_module_add_parameter(self, separate_names[i], xavier_uniform(rng, width, sizes[i]));
}

static void add_output(grd_module *self, grd_rng *rng)
{
    mha *m = grd_module_data(self);
    const int64_t width = m->options.embed_dim;
    const bool no_bias = m->options.no_bias;
    grd_module *linear =
        grd_linear_create(rng, width, width, &(grd_linear_options){ .no_bias = no_bias });
    m->out_proj = linear ? grd_module_add(self, "out_proj", linear) : NULL;
    if (m->out_proj && !no_bias) {
        grd_scope *scope = grd_scope_begin_no_grad();
        grd_fill_(grd_module_parameter(m->out_proj, "bias"), 0);
        grd_scope_end(scope);
    }
}

grd_module *grd_mha_create(grd_rng *rng, const grd_mha_options *options)
{
    if (!rng || !options)
        return grdi_fail_null("mha_create");
    if (!check_options(options))
        return NULL;
    grd_module *self = grdi_module_create(&mha_kind);
    if (!self)
        return NULL;
    mha *m = grd_module_data(self);
    const int64_t width = options->embed_dim;
    m->options = *options;
    m->options.kdim = options->kdim ? options->kdim : width;
    m->options.vdim = options->vdim ? options->vdim : width;
    add_weights(self, rng);
    if (!options->no_bias)
        m->in.in_proj_bias =
            grd_module_add_parameter(self, "in_proj_bias", grd_zeros(GRD_SHAPE(3 * width)));
    if (options->add_bias_kv) {
        m->bias_k = grd_module_add_parameter(self, "bias_k", xavier_normal(rng, width));
        m->bias_v = grd_module_add_parameter(self, "bias_v", xavier_normal(rng, width));
    }
    add_output(self, rng);
    return grdi_latched() ? NULL : self;
}

/* ---- Inputs ---- */

static const char *const layouts[] = {
    [GRD_BATCH_FIRST] = "batch first (B, T, E)",
    [GRD_SEQUENCE_FIRST] = "sequence first (T, B, E)",
    [GRD_UNBATCHED] = "unbatched (T, E)",
};

static int64_t time_dim(const mha *m)
{
    return m->options.layout == GRD_BATCH_FIRST ? 1 : 0;
}

static bool check_input(const grd_module *self, const char *name, const grd_tensor *x, int64_t size)
{
    const mha *m = grd_module_data(self);
    const int64_t rank = m->options.layout == GRD_UNBATCHED ? 2 : 3;
    if (grd_tensor_rank(x) == rank && grd_tensor_size(x, -1) == size)
        return true;
    return grdi_fail(GRD_ERROR_SHAPE, "mha_forward", "%s: %s is %s, expected %s with E = %lld",
                     grdi_module_text(self).chars, name, grdi_size_text(x).chars,
                     layouts[m->options.layout], (long long)size);
}

static bool check_inputs(const grd_module *self, const grd_tensor *const x[3])
{
    const mha *m = grd_module_data(self);
    if (!check_input(self, "query", x[0], m->options.embed_dim) ||
        !check_input(self, "key", x[1], m->options.kdim) ||
        !check_input(self, "value", x[2], m->options.vdim))
        return false;
    const int64_t time = time_dim(m);
    const bool lengths = grd_tensor_size(x[1], time) == grd_tensor_size(x[2], time);
    const bool batched = m->options.layout != GRD_UNBATCHED;
    const int64_t batch = batched ? grd_tensor_size(x[0], 1 - time) : 1;
    for (int i = 1; i < 3 && batched; i++)
        if (grd_tensor_size(x[i], 1 - time) != batch)
            return grdi_fail(
                GRD_ERROR_SHAPE, "mha_forward", "%s: batch sizes differ, %s: query is %s, %s is %s",
                grdi_module_text(self).chars, layouts[m->options.layout],
                grdi_size_text(x[0]).chars, i == 1 ? "key" : "value", grdi_size_text(x[i]).chars);
    return lengths || grdi_fail(GRD_ERROR_SHAPE, "mha_forward",
                                "%s: every key has one value: key is %s, value is %s",
                                grdi_module_text(self).chars, grdi_size_text(x[1]).chars,
                                grdi_size_text(x[2]).chars);
}

static const grd_mha_args no_args;

static bool check_cached(const grd_module *self, const grd_tensor *const x[3],
                         const grd_mha_args *args)
{
    const mha *m = grd_module_data(self);
    const int64_t time = time_dim(m), tokens = grd_tensor_size(x[0], time);
    const bool batched = m->options.layout != GRD_UNBATCHED;
    if (grd_tensor_size(x[1], time) != tokens)
        return grdi_fail(GRD_ERROR_SHAPE, "mha_forward",
                         "%s: a cache is of self-attention, where every query has a key: query is "
                         "%s, key is %s (attend to another sequence without a cache)",
                         grdi_module_text(self).chars, grdi_size_text(x[0]).chars,
                         grdi_size_text(x[1]).chars);
    return grdi_kv_check("mha_forward", args, self, batched ? grd_tensor_size(x[0], 1 - time) : 1,
                         tokens);
}

/* Whether the module can be called so; args NULL become none. */
static bool check_call(const grd_module *self, const grd_tensor *const x[3],
                       const grd_mha_args **args)
{
    if (!grdi_may_make("mha_forward") || !grdi_module_data_of("mha_forward", self, &mha_kind))
        return false;
    for (int i = 0; i < 3; i++)
        if (!x[i])
            return grdi_fail_null("mha_forward");
    *args = *args ? *args : &no_args;
    return check_inputs(self, x) && (!(*args)->cache || check_cached(self, x, *args));
}

/* ---- Forward ---- */

/* x with one more step at its end: `row` (1, 1, E) for every sample, or zeros. */
static grd_tensor *append(const mha *m, grd_tensor *x, const grd_tensor *row)
{
    grd_shape shape = grd_tensor_shape(x);
    if (!x)
        return NULL;
    shape.size[time_dim(m)] = 1;
    if (row)
        row = grd_expand(shape.rank == 2 ? grd_reshape(row, shape) : row, shape);
    else
        row = grdi_full("mha_forward", &shape, 0, x->array.dtype, grdi_device(x));
    return grd_cat(GRD_LIST(x, row), time_dim(m));
}

/* Appends what add_bias_kv and add_zero_attn say; returns how many keys that is. */
static int64_t append_keys(const mha *m, grd_qkv *p)
{
    if (m->bias_k) {
        p->key = append(m, p->key, m->bias_k);
        p->value = append(m, p->value, m->bias_v);
    }
    if (m->options.add_zero_attn) {
        p->key = append(m, p->key, NULL);
        p->value = append(m, p->value, NULL);
    }
    return (m->bias_k ? 1 : 0) + m->options.add_zero_attn;
}

static grd_tensor *split(const mha *m, grd_tensor *x)
{
    if (x && m->options.layout == GRD_SEQUENCE_FIRST)
        x = grd_transpose(x, 0, 1);
    return x ? grd_split_heads(x, m->options.num_heads) : NULL;
}

/* (B, H, L, D) -> the layout. */
static grd_tensor *merge(const mha *m, grd_tensor *x)
{
    if (m->options.layout != GRD_SEQUENCE_FIRST)
        return grd_merge_heads(x);
    const grd_tensor *rows = grd_permute(x, GRD_DIMS(2, 0, 1, 3));
    const grd_shape shape = grd_tensor_shape(rows);
    return rows ? grd_reshape(rows, GRD_SHAPE(shape.size[0], shape.size[1], m->options.embed_dim))
                : NULL;
}

/* The projections one by one, with the keys that are cached and those that are appended. */
static grd_attention attend_apart(const grd_module *self, const grd_tensor *const x[3],
                                  grd_cache *cache, const grd_sdpa_options *options,
                                  grd_kernel_choice *choice)
{
    const mha *m = grd_module_data(self);
    grd_qkv p = grd_project_qkv(x[0], x[1], x[2], &m->in);
    const int64_t appended = append_keys(m, &p);
    if (grdi_latched())
        return (grd_attention){ 0 };
    grdi_sdpa_call call = { .op = "mha_forward",
                            .options = options,
                            .query = split(m, p.query),
                            .key = split(m, p.key),
                            .value = split(m, p.value),
                            .appended = appended,
                            .choice = choice };
    if (cache && !grdi_kv_extend(cache, self, &call))
        return (grd_attention){ 0 };
    return grdi_show_heads(self, &call, grdi_sdpa(&call));
}

/* One product for query, key and value, which are taken from it where they lie. */
static grd_attention attend_packed(const grd_module *self, const grd_tensor *x,
                                   const grd_sdpa_options *options, grd_kernel_choice *choice)
{
    const mha *m = grd_module_data(self);
    grd_tensor *packed = grd_linear(x, m->in.in_proj_weight, m->in.in_proj_bias);
    if (packed && m->options.layout == GRD_SEQUENCE_FIRST)
        packed = grd_transpose(packed, 0, 1);
    grdi_sdpa_call call = {
        .op = "mha_forward", .options = options, .packed = packed, .choice = choice
    };
    return grdi_show_heads(self, &call, grdi_sdpa_projected(&call, m->options.num_heads));
}

static bool is_packed(const mha *m, const grd_tensor *const x[3])
{
    return m->in.in_proj_weight && x[0] == x[1] && x[1] == x[2] && !m->bias_k &&
           !m->options.add_zero_attn && m->options.layout != GRD_UNBATCHED;
}

/* What the output projection takes, and the rest; with a choice, that alone. */
static grd_attention attend(const grd_module *self, const grd_tensor *const x[3],
                            const grd_mha_args *args, grd_kernel_choice *choice)
{
    const mha *m = grd_module_data(self);
    grd_sdpa_options options = { .mask = args->mask,
                                 .scale = args->scale,
                                 .softcap = args->softcap,
                                 .weights = args->weights,
                                 .dropped_weights = args->dropped_weights,
                                 .logsumexp = args->logsumexp,
                                 .strict = args->strict,
                                 .composed = args->composed };
    if (args->cache) {
        options.mask.causal = true;
        options.mask.align = GRD_ALIGN_BOTTOM_RIGHT;
    }
    if (grdi_module_drops(self, m->options.dropout, &options.rng))
        options.dropout = m->options.dropout;
    if (grdi_latched())
        return (grd_attention){ 0 };
    return !args->cache && is_packed(m, x) ? attend_packed(self, x[0], &options, choice)
                                           : attend_apart(self, x, args->cache, &options, choice);
}

grd_attention grd_mha_forward(grd_module *self, const grd_tensor *query, const grd_tensor *key,
                              const grd_tensor *value, const grd_mha_args *args)
{
    const grd_tensor *const x[] = { query, key, value };
    if (!check_call(self, x, &args))
        return (grd_attention){ 0 };

    grd_scope scope;
    grdi_scope_open(&scope);
    const mha *m = grd_module_data(self);
    grdi_module_enter(self);
    grd_attention result = attend(self, x, args, NULL);
    if (result.output)
        result.output = grd_forward(m->out_proj, merge(m, result.output));
    grdi_module_leave(self);
    result = grdi_hand_out(&scope, result);
    if (result.output)
        grdi_module_call_hooks(self, result.output);
    if (grdi_latched())
        return (grd_attention){ 0 };
    if (args->cache)
        grdi_kv_advance(args->cache, self, grd_tensor_size(query, time_dim(m)));
    return result;
}

grd_kernel_choice grd_mha_explain(grd_module *self, const grd_tensor *query, const grd_tensor *key,
                                  const grd_tensor *value, const grd_mha_args *args)
{
    const grd_tensor *const x[] = { query, key, value };
    grd_kernel_choice choice = { 0 };
    if (!check_call(self, x, &args))
        return choice;
    grd_scope scope;
    grdi_scope_open(&scope);
    attend(self, x, args, &choice);
    grd_scope_end(&scope);
    return choice;
}

const grd_mha_options *grdi_mha_options(const char *op, const grd_module *self)
{
    const mha *m = grdi_latched() ? NULL : grdi_module_data_of(op, self, &mha_kind);
    return m ? &m->options : NULL;
}

bool grdi_is_mha(const grd_module *self)
{
    return self && self->kind == &mha_kind;
}

/* ---- Packed and separate weights ---- */

static bool may_convert(const char *op, const grd_module *self)
{
    const mha *m = grdi_module_data_of(op, self, &mha_kind);
    if (!m || grdi_latched())
        return false;
    if (m->options.kdim == m->options.embed_dim && m->options.vdim == m->options.embed_dim)
        return true;
    return grdi_fail(
        GRD_ERROR_ARGUMENT, op,
        "%s has kdim %lld and vdim %lld: only weights of one size, embed_dim %lld, are "
        "packed",
        grdi_module_text(self).chars, (long long)m->options.kdim, (long long)m->options.vdim,
        (long long)m->options.embed_dim);
}

static void pack(grd_module *self, mha *m)
{
    grd_tensor *packed =
        grd_cat(GRD_LIST(m->in.q_proj_weight, m->in.k_proj_weight, m->in.v_proj_weight), 0);
    const grdi_parameters old = { 3, separate_names, NULL };
    if (packed && grdi_module_exchange(self, &old, &(grdi_parameters){ 1, packed_name, &packed }))
        m->in = (grd_in_projection){ .in_proj_weight = packed, .in_proj_bias = m->in.in_proj_bias };
}

static void unpack(grd_module *self, mha *m)
{
    grd_tensor *separate[3];
    const int64_t width = m->options.embed_dim;
    const grdi_parameters old = { 1, packed_name, NULL };
    for (int i = 0; i < 3; i++)
        separate[i] = grd_clone(grd_slice(m->in.in_proj_weight, 0, i * width, (i + 1) * width, 1));
    if (!grdi_latched() &&
        grdi_module_exchange(self, &old, &(grdi_parameters){ 3, separate_names, separate }))
        m->in = (grd_in_projection){ .q_proj_weight = separate[0],
                                     .k_proj_weight = separate[1],
                                     .v_proj_weight = separate[2],
                                     .in_proj_bias = m->in.in_proj_bias };
}

static grd_status convert(const char *op, grd_module *self, bool packed)
{
    if (!may_convert(op, self))
        return grdi_self.latched;
    mha *m = grd_module_data(self);
    grd_scope scope;
    grdi_scope_open(&scope);
    scope.modes.no_grad = true;
    if (packed != (m->in.in_proj_weight != NULL))
        (packed ? pack : unpack)(self, m);
    return grd_scope_end(&scope);
}

grd_status grd_mha_pack(grd_module *self)
{
    return convert("mha_pack", self, true);
}

grd_status grd_mha_unpack(grd_module *self)
{
    return convert("mha_unpack", self, false);
}
