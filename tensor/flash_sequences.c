/* Attention over sequences that lie end to end: a launch of the flash kernel for each. */
#include "tensor/front.h"
#include "tensor/rng.h"

#include <math.h>

static const char op[] = "flash_attention";

/* Steps first..last - 1 of x, whose heads and steps are its first two dimensions in either order,
 * as a batch of one: (1, H, n, ...). */
static grdi_array cut(const grd_tensor *x, int steps, int64_t first, int64_t last)
{
    const grdi_dim *dim = x->array.dim;
    grdi_array part = x->array;
    if (part.data)
        part.data =
            (char *)part.data + (size_t)(first * dim[steps].stride) * grdi_dtype_size(part.dtype);
    part.dim[part.rank++] = dim[2];
    part.dim[0] = (grdi_dim){ 1, 0 };
    part.dim[1] = dim[1 - steps];
    part.dim[2] = (grdi_dim){ last - first, dim[steps].stride };
    return part;
}

/* Of x (T, H, D), and of a log-sum-exp (H, T). */
static grdi_array part(const grd_tensor *x, int64_t first, int64_t last)
{
    return cut(x, 0, first, last);
}

static grdi_array sums_part(const grd_tensor *x, int64_t first, int64_t last)
{
    return cut(x, 1, first, last);
}

/* One sequence; empty ones have nothing to launch, and outputs start as what they leave. */
typedef struct piece {
    int64_t first_query, last_query, first_key, last_key;
    grdi_flash how;
} piece;

static bool piece_of(piece *p, const grdi_flash_call *call, const grdi_sequences *s, int64_t b,
                     grdi_draw *draw)
{
    *p = (piece){ s->starts_q[b],
                  s->starts_q[b + 1],
                  s->starts_k[b],
                  s->starts_k[b + 1],
                  { .scale = call->scale,
                    .softcap = call->softcap,
                    .dropout = call->dropout,
                    .draw = *draw,
                    .left = call->left,
                    .right = call->right,
                    .offset = call->offset,
                    .by_length = call->by_length } };
    const int64_t queries = p->last_query - p->first_query, keys = p->last_key - p->first_key;
    if (call->by_length)
        p->how.offset -= queries;
    *draw = grdi_draw_past(*draw, call->query->array.dim[1].size * queries * keys);
    return queries > 0 && keys > 0;
}

grd_tensor *grdi_flash_sequences(const grdi_flash_call *call, const grdi_sequences *sequences,
                                 grd_tensor **logsumexp)
{
    const grd_tensor *query = grdi_with_rows(call->query), *key = grdi_with_rows(call->key);
    const grd_tensor *value = grdi_with_rows(call->value);
    if (!query || !key || !value)
        return NULL;
    grd_device *device = grdi_device(query);
    const grd_dtype dtype = query->array.dtype;
    const grdi_dim *dim = query->array.dim;
    const grd_shape rows = { 2, { dim[1].size, dim[0].size } };
    const grd_shape shape = { 3, { dim[0].size, dim[1].size, value->array.dim[2].size } };
    grd_tensor *output = grdi_full(op, &shape, 0, dtype, device);
    *logsumexp = output ? grdi_full(op, &rows, -INFINITY, GRD_F64, device) : NULL;
    grd_status status = *logsumexp ? GRD_OK : GRD_ERROR_MEMORY;
    grdi_draw draw = call->draw;
    for (int64_t b = 0; b < sequences->count && status == GRD_OK; b++) {
        piece p;
        if (!piece_of(&p, call, sequences, b, &draw))
            continue;
        const grdi_array q = part(query, p.first_query, p.last_query);
        const grdi_array k = part(key, p.first_key, p.last_key);
        const grdi_array v = part(value, p.first_key, p.last_key);
        const grdi_array y = part(output, p.first_query, p.last_query);
        const grdi_array sums = sums_part(*logsumexp, p.first_query, p.last_query);
        status =
            GRDI_LAUNCH(device, flash_attention, dtype, (device, &p.how, &y, &sums, &q, &k, &v));
    }
    return status == GRD_OK ? output : NULL;
}

/* Inputs and gradients, all with contiguous rows. */
typedef struct backward_call {
    const grdi_flash_call *call;
    const grd_tensor *x[3], *output, *logsumexp, *doutput;
    grd_tensor *const *dx;
} backward_call;

static grd_status backward_piece(const backward_call *c, const piece *p)
{
    grdi_array x[3], dx[3];
    for (int i = 0; i < 3; i++) {
        const int64_t first = i ? p->first_key : p->first_query;
        const int64_t last = i ? p->last_key : p->last_query;
        x[i] = part(c->x[i], first, last);
        dx[i] = part(c->dx[i], first, last);
    }
    const grdi_array output = part(c->output, p->first_query, p->last_query);
    const grdi_array doutput = part(c->doutput, p->first_query, p->last_query);
    const grdi_array sums = sums_part(c->logsumexp, p->first_query, p->last_query);
    const grdi_flash_gradient gradient = { .dquery = &dx[0],
                                           .dkey = &dx[1],
                                           .dvalue = &dx[2],
                                           .output = &output,
                                           .logsumexp = &sums,
                                           .doutput = &doutput };
    grd_device *device = grdi_device(c->output);
    return GRDI_LAUNCH(device, flash_attention_backward, x[0].dtype,
                       (device, &p->how, &gradient, &x[0], &x[1], &x[2]));
}

bool grdi_flash_sequences_backward(const grdi_flash_call *call, const grdi_sequences *sequences,
                                   const grd_tensor *output, const grd_tensor *logsumexp,
                                   const grd_tensor *doutput, grd_tensor *dx[3])
{
    backward_call c = {
        call, { call->query, call->key, call->value }, output, logsumexp, grdi_with_rows(doutput),
        dx
    };
    for (int i = 0; i < 3; i++) {
        c.x[i] = grdi_with_rows(c.x[i]);
        if (!c.x[i] || !c.doutput)
            return false;
        const grd_shape shape = grdi_array_shape(&c.x[i]->array);
        dx[i] = grdi_full(op, &shape, 0, c.x[i]->array.dtype, grdi_device(output));
        if (!dx[i])
            return false;
    }
    grd_status status = GRD_OK;
    grdi_draw draw = call->draw;
    for (int64_t b = 0; b < sequences->count && status == GRD_OK; b++) {
        piece p;
        if (piece_of(&p, call, sequences, b, &draw))
            status = backward_piece(&c, &p);
    }
    return status == GRD_OK;
}
