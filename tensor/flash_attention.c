#include "tensor/front.h"

const grd_tensor *grdi_with_rows(const grd_tensor *x)
{
    const grdi_dim *last = &x->array.dim[x->array.rank - 1];
    return last->stride == 1 || last->size <= 1 ? x : grdi_copy(x);
}

/* A tensor (B, H, L, D) that lies in memory as (B, L, H, D): so heads are merged without a copy. */
static grd_tensor *heads_last(const char *op, const grd_tensor *like, int64_t row_size)
{
    const grdi_dim *dim = like->array.dim;
    const grd_shape stored = { 4, { dim[0].size, dim[2].size, dim[1].size, row_size } };
    grd_tensor *x = grdi_tensor_create(op, &stored, like->array.dtype, grdi_device(like));
    if (x) {
        const grdi_dim rows = x->array.dim[1];
        x->array.dim[1] = x->array.dim[2];
        x->array.dim[2] = rows;
    }
    return x;
}

/* The optional parts of a call, stretched to the pairs of queries and keys. */
typedef struct parts {
    grdi_array keep, additive;
    grdi_flash how;
} parts;

static void describe(parts *p, const grdi_flash_call *call)
{
    const grdi_array *q = &call->query->array, *k = &call->key->array;
    const grd_shape pairs = {
        4, { q->dim[0].size, q->dim[1].size, q->dim[2].size, k->dim[2].size - call->appended }
    };
    p->how = (grdi_flash){ .scale = call->scale,
                           .softcap = call->softcap,
                           .dropout = call->dropout,
                           .draw = call->draw,
                           .appended = call->appended,
                           .left = call->left,
                           .right = call->right,
                           .offset = call->offset,
                           .by_length = call->by_length };
    if (call->lengths)
        p->how.lengths = &call->lengths->array;
    if (call->keep) {
        p->keep = grdi_array_expand(&call->keep->array, &pairs);
        p->how.keep = &p->keep;
    }
    if (call->additive) {
        p->additive = grdi_array_expand(&call->additive->array, &pairs);
        p->how.additive = &p->additive;
    }
}

grd_tensor *grdi_flash_attention(const grdi_flash_call *call, grd_tensor **logsumexp)
{
    static const char op[] = "flash_attention";
    grdi_flash_call c = *call;
    *logsumexp = NULL;
    if (!c.query || !c.key || !c.value)
        return grdi_fail_null(op);
    c.query = grdi_with_rows(c.query);
    c.key = grdi_with_rows(c.key);
    c.value = grdi_with_rows(c.value);
    if (!c.query || !c.key || !c.value)
        return NULL;
    grd_device *device = grdi_device(c.query);
    const grd_dtype dtype = c.query->array.dtype;
    const grdi_dim *dim = c.query->array.dim;
    const grd_shape rows = { 3, { dim[0].size, dim[1].size, dim[2].size } };
    grd_tensor *output = heads_last(op, c.query, c.value->array.dim[3].size);
    *logsumexp = grdi_tensor_create(op, &rows, GRD_F64, device);
    if (!output || !*logsumexp)
        return NULL;
    parts p;
    describe(&p, &c);
    const grd_status status = GRDI_LAUNCH(device, flash_attention, dtype,
                                          (device, &p.how, &output->array, &(*logsumexp)->array,
                                           &c.query->array, &c.key->array, &c.value->array));
    return status == GRD_OK ? output : NULL;
}

bool grdi_flash_attention_backward(const grdi_flash_call *call, const grd_tensor *output,
                                   const grd_tensor *logsumexp, const grd_tensor *doutput,
                                   grd_tensor *dx[3])
{
    static const char op[] = "flash_attention";
    grdi_flash_call c = *call;
    const grd_tensor **inputs[] = { &c.query, &c.key, &c.value };
    for (int i = 0; i < 3; i++) {
        *inputs[i] = grdi_with_rows(*inputs[i]);
        if (!dx[i] && *inputs[i])
            dx[i] = heads_last(op, *inputs[i], (*inputs[i])->array.dim[3].size);
        if (!*inputs[i] || !dx[i])
            return false;
    }
    if (!(doutput = grdi_with_rows(doutput)))
        return false;
    grd_device *device = grdi_device(c.query);
    parts p;
    describe(&p, &c);
    const grdi_flash_gradient gradient = {
        .dquery = &dx[0]->array,
        .dkey = &dx[1]->array,
        .dvalue = &dx[2]->array,
        .output = &output->array,
        .logsumexp = &logsumexp->array,
        .doutput = &doutput->array,
    };
    return GRDI_LAUNCH(device, flash_attention_backward, c.query->array.dtype,
                       (device, &p.how, &gradient, &c.query->array, &c.key->array,
                        &c.value->array)) == GRD_OK;
}

grd_tensor *grdi_flash_attention_additive(const grdi_flash_call *call, const grd_tensor *output,
                                          const grd_tensor *logsumexp, const grd_tensor *doutput)
{
    static const char op[] = "flash_attention";
    grdi_flash_call c = *call;
    c.query = grdi_with_rows(c.query);
    c.key = grdi_with_rows(c.key);
    c.value = grdi_with_rows(c.value);
    doutput = grdi_with_rows(doutput);
    if (grdi_latched())
        return NULL;
    grd_device *device = grdi_device(c.query);
    const grd_shape shape = grd_tensor_shape(c.additive);
    const grd_dtype dtype = c.additive->array.dtype, sum = grdi_summed_in(dtype);
    grd_tensor *dadditive = grdi_full(op, &shape, 0, sum, device);
    if (!dadditive)
        return NULL;
    parts p;
    describe(&p, &c);
    const grd_shape pairs = grdi_array_shape(&p.additive);
    const grdi_array spread = grdi_array_expand(&dadditive->array, &pairs);
    const grdi_flash_gradient gradient = { .dadditive = &spread,
                                           .output = &output->array,
                                           .logsumexp = &logsumexp->array,
                                           .doutput = &doutput->array };
    const grd_status status =
        GRDI_LAUNCH(device, flash_attention_additive, c.query->array.dtype,
                    (device, &p.how, &gradient, &c.query->array, &c.key->array, &c.value->array));
    if (status != GRD_OK)
        return NULL;
    return dtype == sum ? dadditive : grdi_cast(dadditive, dtype);
}

const char *grdi_flash_refusal(const grdi_flash_call *call, grdi_attention_pass pass)
{
    grdi_flash_call c = *call;
    c.query = grdi_with_rows(c.query);
    c.key = grdi_with_rows(c.key);
    c.value = grdi_with_rows(c.value);
    if (grdi_latched())
        return NULL;
    grd_device *device = grdi_device(c.query);
    parts p;
    describe(&p, &c);
    return device->attention_library->refusal(device, &p.how, &c.query->array, &c.key->array,
                                              &c.value->array, pass);
}

grd_tensor *grdi_packed_heads(const grd_tensor *packed, int which, int64_t heads)
{
    const grdi_dim *dim = packed->array.dim;
    const int64_t width = dim[2].size / 3, size = width / heads, stride = dim[2].stride;
    const size_t offset = (size_t)(which * width * stride) * grdi_dtype_size(packed->array.dtype);
    const grdi_array array = {
        .data = packed->array.data ? (char *)packed->array.data + offset : NULL,
        .dtype = packed->array.dtype,
        .rank = 4,
        .dim = { dim[0], { heads, size * stride }, dim[1], { size, stride } },
    };
    return grdi_tensor_view("split_heads", packed, &array);
}
