/* Layers of one input. Their initial values are torch's. */
#include "nn/module.h"

#include <float.h>
#include <math.h>

/* Whether x's last dimension has the size that the module was made for. */
static bool check_last(const grd_module *self, const grd_tensor *x, int64_t size)
{
    return grd_tensor_size(x, -1) == size ||
           grdi_fail(GRD_ERROR_SHAPE, "forward", "%s: the last dimension must be %lld, x is %s",
                     grdi_module_text(self).chars, (long long)size, grdi_size_text(x).chars);
}

static bool check_size(const char *op, const char *what, int64_t size)
{
    return size >= 1 || grdi_fail(GRD_ERROR_ARGUMENT, op, "%s is %lld", what, (long long)size);
}

/* ---- Linear: y = x weight^T + bias ---- */

typedef struct linear {
    grd_tensor *weight, *bias; /* bias may be NULL */
} linear;

static grd_tensor *linear_forward(grd_module *self, const grd_tensor *x)
{
    const linear *m = grd_module_data(self);
    return check_last(self, x, grd_tensor_size(m->weight, 1)) ? grd_linear(x, m->weight, m->bias)
                                                              : NULL;
}

static const grdi_kind linear_kind = { "Linear", sizeof(linear), linear_forward };

/* Uniform in -bound..bound. */
static grd_tensor *uniform(grd_rng *rng, grd_shape shape, double bound)
{
    return grd_add_scalar(grd_mul_scalar(grd_rand(rng, shape), 2 * bound), -bound);
}

grd_module *grd_linear_create(grd_rng *rng, int64_t in_features, int64_t out_features,
                              const grd_linear_options *options)
{
    if (!rng)
        return grdi_fail_null("linear");
    if (!check_size("linear", "in_features", in_features) ||
        !check_size("linear", "out_features", out_features))
        return NULL;
    grd_module *self = grdi_module_create(&linear_kind);
    if (!self)
        return NULL;
    linear *m = grd_module_data(self);
    const double bound = 1 / sqrt((double)in_features);
    m->weight = grd_module_add_parameter(self, "weight",
                                         uniform(rng, GRD_SHAPE(out_features, in_features), bound));
    if (!options || !options->no_bias)
        m->bias =
            grd_module_add_parameter(self, "bias", uniform(rng, GRD_SHAPE(out_features), bound));
    return grdi_latched() ? NULL : self;
}

/* ---- Embedding: y = weight[x] ---- */

typedef struct embedding {
    grd_tensor *weight;
} embedding;

static grd_tensor *embedding_forward(grd_module *self, const grd_tensor *x)
{
    const embedding *m = grd_module_data(self);
    return grd_embedding(x, m->weight);
}

static const grdi_kind embedding_kind = { "Embedding", sizeof(embedding), embedding_forward };

grd_module *grd_embedding_create(grd_rng *rng, int64_t num_embeddings, int64_t embedding_dim)
{
    if (!rng)
        return grdi_fail_null("embedding");
    if (!check_size("embedding", "num_embeddings", num_embeddings) ||
        !check_size("embedding", "embedding_dim", embedding_dim))
        return NULL;
    grd_module *self = grdi_module_create(&embedding_kind);
    if (!self)
        return NULL;
    embedding *m = grd_module_data(self);
    m->weight = grd_module_add_parameter(self, "weight",
                                         grd_randn(rng, GRD_SHAPE(num_embeddings, embedding_dim)));
    return grdi_latched() ? NULL : self;
}

/* ---- Norms over the last dimension ---- */

typedef struct norm {
    grd_tensor *weight, *bias; /* may be NULL */
    int64_t features;
    double eps; /* rms_norm: 0 is the type's epsilon */
} norm;

static grd_tensor *layer_norm_forward(grd_module *self, const grd_tensor *x)
{
    const norm *m = grd_module_data(self);
    return check_last(self, x, m->features) ? grd_layer_norm(x, m->weight, m->bias, m->eps) : NULL;
}

static const grdi_kind layer_norm_kind = { "LayerNorm", sizeof(norm), layer_norm_forward };

static grd_tensor *rms_norm_forward(grd_module *self, const grd_tensor *x)
{
    const norm *m = grd_module_data(self);
    const double epsilon = grd_tensor_dtype(x) == GRD_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
    return check_last(self, x, m->features)
               ? grd_rms_norm(x, m->weight, m->eps > 0 ? m->eps : epsilon)
               : NULL;
}

static const grdi_kind rms_norm_kind = { "RMSNorm", sizeof(norm), rms_norm_forward };

static grd_module *norm_create(const char *op, const grdi_kind *kind, int64_t features,
                               const grd_norm_options *options, double eps, bool has_bias)
{
    const grd_norm_options chosen = options ? *options : (grd_norm_options){ 0 };
    if (!check_size(op, "features", features))
        return NULL;
    if (!(chosen.eps >= 0 && isfinite(chosen.eps)))
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "eps is %g", chosen.eps);
    grd_module *self = grdi_module_create(kind);
    if (!self)
        return NULL;
    norm *m = grd_module_data(self);
    m->features = features;
    m->eps = chosen.eps > 0 ? chosen.eps : eps;
    if (!chosen.no_affine)
        m->weight = grd_module_add_parameter(self, "weight", grd_ones(GRD_SHAPE(features)));
    if (!chosen.no_affine && !chosen.no_bias && has_bias)
        m->bias = grd_module_add_parameter(self, "bias", grd_zeros(GRD_SHAPE(features)));
    return grdi_latched() ? NULL : self;
}

grd_module *grd_layer_norm_create(int64_t features, const grd_norm_options *options)
{
    return norm_create("layer_norm", &layer_norm_kind, features, options, 1e-5, true);
}

grd_module *grd_rms_norm_create(int64_t features, const grd_norm_options *options)
{
    return norm_create("rms_norm", &rms_norm_kind, features, options, 0, false);
}

/* ---- Dropout ---- */

typedef struct dropout {
    double p;
} dropout;

static grd_tensor *dropout_forward(grd_module *self, const grd_tensor *x)
{
    const dropout *m = grd_module_data(self);
    grd_rng *rng = NULL;
    if (grdi_module_drops(self, m->p, &rng))
        return grd_dropout(x, m->p, rng);
    return grdi_latched() ? NULL : (grd_tensor *)x;
}

static const grdi_kind dropout_kind = { "Dropout", sizeof(dropout), dropout_forward };

grd_module *grd_dropout_create(double p)
{
    if (!(p >= 0 && p < 1))
        return grdi_fail(GRD_ERROR_ARGUMENT, "dropout", "p is %g, not in [0, 1)", p);
    grd_module *self = grdi_module_create(&dropout_kind);
    if (self)
        ((dropout *)grd_module_data(self))->p = p;
    return self;
}
