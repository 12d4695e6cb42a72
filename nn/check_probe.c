/* Inputs for the checks, calls of what is checked, and numbers out of its results. */
#include "nn/check.h"

#include <math.h>

bool grdi_probe_allows_self(const grdi_probe *p)
{
    return p->claims.kdim == p->claims.embed_dim && p->claims.vdim == p->claims.embed_dim;
}

static const grd_tensor *random_input(grdi_probe *p, int64_t batch, int64_t length, int64_t size)
{
    return grd_cast(grd_randn(p->rng, GRD_SHAPE(batch, length, size)), p->dtype);
}

grdi_inputs grdi_probe_inputs(grdi_probe *p, grdi_sizes s, bool self)
{
    if (p->claims.layout == GRD_UNBATCHED)
        s.batch = 1;
    const int64_t size[] = { p->claims.embed_dim, p->claims.kdim, p->claims.vdim };
    grdi_inputs inputs = { .sizes = s };
    for (int i = 0; i < 3; i++)
        inputs.x[i] = self && i > 0
                          ? inputs.x[0]
                          : random_input(p, s.batch, i == 0 ? s.queries : s.keys, size[i]);
    return inputs;
}

grd_tensor *grdi_probe_to_layout(const grdi_probe *p, const grd_tensor *x)
{
    if (p->claims.layout == GRD_UNBATCHED)
        return grd_select(x, 0, 0);
    return grd_contiguous(p->claims.layout == GRD_SEQUENCE_FIRST ? grd_transpose(x, 0, 1) : x);
}

grd_tensor *grdi_probe_batched(const grdi_probe *p, const grd_tensor *x)
{
    return p->claims.layout == GRD_UNBATCHED ? grd_unsqueeze(x, 0) : grd_contiguous(x);
}

grd_tensor *grdi_probe_from_layout(const grdi_probe *p, const grd_tensor *x)
{
    return p->claims.layout == GRD_SEQUENCE_FIRST ? grd_transpose(x, 0, 1)
                                                  : grdi_probe_batched(p, x);
}

static bool has_shape(const char *name, const grd_tensor *x, const grd_shape *shape)
{
    if (!x)
        return grdi_fail(GRD_ERROR_ARGUMENT, "check_attention",
                         "the function returned no %s, expected %s", name,
                         grdi_shape_text(shape).chars);
    return grdi_has_shape(&x->array, shape) ||
           grdi_fail(GRD_ERROR_SHAPE, "check_attention", "%s is %s, expected %s", name,
                     grdi_size_text(x).chars, grdi_shape_text(shape).chars);
}

/* The shape in the layout of a batch-first one. */
static grd_shape laid_out(const grdi_probe *p, grd_shape s)
{
    if (p->claims.layout == GRD_UNBATCHED) {
        for (int64_t d = 1; d < s.rank; d++)
            s.size[d - 1] = s.size[d];
        s.rank--;
    }
    return s;
}

static bool has_promised_shapes(const grdi_probe *p, const grdi_sizes *s, const grd_mha_args *args,
                                const grd_attention *a)
{
    const int64_t keys = s->keys + p->appended;
    const bool turned = p->claims.layout == GRD_SEQUENCE_FIRST;
    const grd_shape output =
        laid_out(p, GRD_SHAPE(turned ? s->queries : s->batch, turned ? s->batch : s->queries,
                              p->claims.embed_dim));
    const grd_shape averaged = laid_out(p, GRD_SHAPE(s->batch, s->queries, keys));
    const grd_shape apart = laid_out(p, GRD_SHAPE(s->batch, p->claims.num_heads, s->queries, keys));
    if (!has_shape("output", a->output, &output))
        return false;
    return !args || args->weights == GRD_NO_WEIGHTS ||
           has_shape("weights", a->weights, args->weights == GRD_AVERAGED ? &averaged : &apart);
}

bool grdi_probe_call(const grdi_probe *p, const grdi_inputs *inputs, const grd_mha_args *args,
                     grd_attention *result)
{
    const grd_tensor *x[3];
    for (int i = 0; i < 3; i++)
        x[i] = i > 0 && inputs->x[i] == inputs->x[i - 1] ? x[i - 1]
                                                         : grdi_probe_to_layout(p, inputs->x[i]);
    if (grdi_latched())
        return false;
    *result = p->f(x[0], x[1], x[2], args, p->user);
    return !grdi_latched() && has_promised_shapes(p, &inputs->sizes, args, result);
}

double grdi_largest(const grd_tensor *x, grd_dims *where)
{
    if (where)
        *where = (grd_dims){ 0 };
    if (!x || grd_tensor_count(x) == 0)
        return 0;
    const grd_tensor *size = grd_abs(grd_cast(grd_detach(x), GRD_F64));
    const grd_shape shape = grd_tensor_shape(x);
    if (where && shape.rank > 0) {
        int64_t at = (int64_t)grd_item(grd_argmax_dims(size, (grd_dims){ 0 }, GRD_DROP_DIMS));
        where->count = shape.rank;
        for (int64_t d = shape.rank - 1; d >= 0; at /= shape.size[d--])
            where->dim[d] = at % shape.size[d];
    }
    return grd_item(grd_max(size));
}
