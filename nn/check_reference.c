/* Attention from its definition, for the checks: f64, dense, in ops of the tensor's own. */
#include "nn/check.h"

#include <math.h>
#include <string.h>

enum { IN, Q, K, V, IN_BIAS, BIAS_K, BIAS_V, OUT, OUT_BIAS };

static const char *const names[GRDI_PARAMETERS] = {
    [IN] = "in_proj_weight", [Q] = "q_proj_weight",      [K] = "k_proj_weight",
    [V] = "v_proj_weight",   [IN_BIAS] = "in_proj_bias", [BIAS_K] = "bias_k",
    [BIAS_V] = "bias_v",     [OUT] = "out_proj.weight",  [OUT_BIAS] = "out_proj.bias",
};

static const grdi_diagnosis misnamed = {
    "checkpoints do not load elsewhere, and no one knows which gradients belong to which part",
    "a parameter has another name or shape than torch's, or the claims are another module's",
};
static const grdi_diagnosis frozen = {
    "the part never learns",
    "the parameter was frozen (grd_module_unfreeze), or is a buffer",
};

/* ---- Which parameters there are ---- */

static bool is_promised(const grdi_reference *r, const grd_mha_options *c, int i)
{
    const bool packed = r->parameters[IN].tensor != NULL;
    if (i == IN || (i >= Q && i <= V))
        return packed == (i == IN);
    if (i == IN_BIAS || i == OUT_BIAS)
        return !c->no_bias;
    return i == OUT || c->add_bias_kv;
}

/* Sizes of each, in words of the claims. */
enum { NONE, ONE, WIDTH, THREE_WIDTHS, KDIM, VDIM };
static const unsigned char sizes[GRDI_PARAMETERS][3] = {
    [IN] = { THREE_WIDTHS, WIDTH }, [Q] = { WIDTH, WIDTH },       [K] = { WIDTH, KDIM },
    [V] = { WIDTH, VDIM },          [IN_BIAS] = { THREE_WIDTHS }, [BIAS_K] = { ONE, ONE, WIDTH },
    [BIAS_V] = { ONE, ONE, WIDTH }, [OUT] = { WIDTH, WIDTH },     [OUT_BIAS] = { WIDTH },
};

static grd_shape promised_shape(const grd_mha_options *c, int i)
{
    const int64_t size[] = { [ONE] = 1,
                             [WIDTH] = c->embed_dim,
                             [THREE_WIDTHS] = 3 * c->embed_dim,
                             [KDIM] = c->kdim,
                             [VDIM] = c->vdim };
    grd_shape shape = { 0 };
    while (shape.rank < 3 && sizes[i][shape.rank] != NONE) {
        shape.size[shape.rank] = size[sizes[i][shape.rank]];
        shape.rank++;
    }
    return shape;
}

static grd_tensor *find(const grd_module *module, const char *name)
{
    for (int64_t i = 0; i < grd_module_num_parameters(module); i++) {
        const grd_named named = grd_module_parameter_at(module, i);
        if (strcmp(named.name, name) == 0)
            return named.tensor;
    }
    return NULL;
}

static bool is_fine(const grdi_reference *r, const grdi_probe *p, int i, grd_attention_check *check)
{
    const grd_tensor *x = r->parameters[i].tensor;
    const grd_shape shape = promised_shape(&p->claims, i);
    const bool promised = is_promised(r, &p->claims, i);
    if (!x)
        return !promised || grdi_flaw(check, &misnamed, NAN, "the module has no parameter %s %s",
                                      names[i], grdi_shape_text(&shape).chars);
    if (!promised)
        return grdi_flaw(check, &misnamed, NAN,
                         "the module has %s, which its claims know nothing of", names[i]);
    if (!grdi_has_shape(&x->array, &shape))
        return grdi_flaw(check, &misnamed, NAN, "%s is %s, expected %s", names[i],
                         grdi_size_text(x).chars, grdi_shape_text(&shape).chars);
    return grd_tensor_requires_grad(x) ||
           grdi_flaw(check, &frozen, 0, "%s requires no gradient", names[i]);
}

bool grdi_reference_open(grdi_reference *r, const grdi_probe *p, grd_attention_check *check)
{
    for (int i = 0; i < GRDI_PARAMETERS; i++)
        r->parameters[i] = (grdi_reference_parameter){ names[i], find(p->module, names[i]), NULL };
    for (int i = 0; i < GRDI_PARAMETERS && !grdi_latched(); i++) {
        grdi_reference_parameter *parameter = &r->parameters[i];
        if (!is_fine(r, p, i, check))
            return false;
        if (parameter->tensor)
            parameter->leaf =
                grd_require_grad(grd_clone(grd_cast(grd_detach(parameter->tensor), GRD_F64)));
    }
    return !grdi_latched();
}

/* ---- The definition ---- */

/* x weight^T + bias of query, key or value: part 0, 1, 2. */
static grd_tensor *project(const grdi_reference *r, const grd_tensor *x, int part, int64_t width)
{
    const grd_tensor *in = r->parameters[IN].leaf, *bias = r->parameters[IN_BIAS].leaf;
    const int64_t first = part * width;
    const grd_tensor *weight =
        in ? grd_slice(in, 0, first, first + width, 1) : r->parameters[Q + part].leaf;
    grd_tensor *y = grd_matmul(grd_cast(x, GRD_F64), grd_transpose(weight, 0, 1));
    return bias ? grd_add(y, grd_slice(bias, 0, first, first + width, 1)) : y;
}

/* x with what add_bias_kv and add_zero_attn append. */
static const grd_tensor *appended(const grdi_probe *p, const grd_tensor *x, const grd_tensor *row)
{
    const grd_shape one = GRD_SHAPE(grd_tensor_size(x, 0), 1, p->claims.embed_dim);
    const grd_tensor *zeros = grd_mul_scalar(grd_slice(x, 1, 0, 1, 1), 0);
    if (row)
        x = grd_cat(GRD_LIST(x, grd_expand(row, one)), 1);
    return p->claims.add_zero_attn ? grd_cat(GRD_LIST(x, zeros), 1) : x;
}

/* (B, T, E) -> (B, H, T, D) */
static const grd_tensor *heads_of(const grdi_probe *p, const grd_tensor *x)
{
    const int64_t heads = p->claims.num_heads, width = p->claims.embed_dim;
    const grd_shape apart =
        GRD_SHAPE(grd_tensor_size(x, 0), grd_tensor_size(x, 1), heads, width / heads);
    return grd_transpose(grd_reshape(x, apart), 1, 2);
}

grd_tensor *grdi_reference_output(const grdi_reference *r, const grdi_probe *p,
                                  const grdi_inputs *inputs, double *largest_score)
{
    const int64_t width = p->claims.embed_dim;
    const double scale = 1 / sqrt((double)(width / p->claims.num_heads));
    const grd_tensor *query = heads_of(p, project(r, inputs->x[0], 0, width));
    const grd_tensor *key =
        heads_of(p, appended(p, project(r, inputs->x[1], 1, width), r->parameters[BIAS_K].leaf));
    const grd_tensor *value =
        heads_of(p, appended(p, project(r, inputs->x[2], 2, width), r->parameters[BIAS_V].leaf));
    const grd_tensor *scores = grd_mul_scalar(grd_matmul(query, grd_transpose(key, 2, 3)), scale);
    *largest_score = grdi_largest(scores, NULL);
    const grd_tensor *mixed = grd_matmul(grd_softmax(scores, 3), value);
    const grd_tensor *merged = grd_reshape(
        grd_transpose(mixed, 1, 2), GRD_SHAPE(inputs->sizes.batch, inputs->sizes.queries, width));
    grd_tensor *y = grd_matmul(merged, grd_transpose(r->parameters[OUT].leaf, 0, 1));
    return r->parameters[OUT_BIAS].leaf ? grd_add(y, r->parameters[OUT_BIAS].leaf) : y;
}
