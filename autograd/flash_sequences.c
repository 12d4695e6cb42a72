/* Attention over sequences that lie end to end. */
#include "autograd/attention.h"
#include "tensor/rng.h"

enum { QUERY, KEY, VALUE, LOGSUMEXP = 0, STARTS_Q, STARTS_K };

/* ---- Where they start ---- */

bool grdi_sequences_open(grdi_sequences *s, const char *op, const grd_tensor *starts_q,
                         const grd_tensor *starts_k)
{
    const int64_t n = grd_tensor_count(starts_q);
    const size_t bytes = 2 * (size_t)n * sizeof(int64_t);
    *s = (grdi_sequences){ .count = n - 1 };
    int64_t *starts = grdi_latched() ? NULL : grdi_allocate(bytes);
    if (!starts)
        return grdi_latched() ? false : grdi_fail_memory(op, bytes);
    s->starts_q = starts;
    s->starts_k = starts + n;
    if (grd_read_i64(starts_q, starts, n) == GRD_OK &&
        grd_read_i64(starts_k, starts + n, n) == GRD_OK)
        return true;
    grdi_sequences_close(s);
    return false;
}

void grdi_sequences_close(grdi_sequences *s)
{
    const size_t bytes = 2 * (size_t)(s->count + 1) * sizeof(int64_t);
    grdi_free((int64_t *)s->starts_q, bytes);
    *s = (grdi_sequences){ 0 };
}

/* ---- Parts ---- */

grd_tensor *grdi_sequence_part(const grd_tensor *x, int64_t first, int64_t last)
{
    return grd_unsqueeze(grd_transpose(grd_slice(x, 0, first, last, 1), 0, 1), 0);
}

grd_tensor *grdi_sequences_join(const grd_list *parts)
{
    return grd_transpose(grd_squeeze(grd_cat(*parts, 2), 0), 0, 1);
}

/* ---- The derivative ---- */

typedef struct settings {
    grdi_flash_call call; /* without its tensors */
} settings;

/* The gradients of each sequence, in recorded ops: parts[i * count + b] of input i. */
static void piecewise(const grdi_flash_call *whole, const grdi_sequences *s, const grd_tensor *dy,
                      const bool wants[4], const grd_tensor **parts)
{
    grdi_draw draw = whole->draw;
    for (int64_t b = 0; b < s->count && !grdi_latched(); b++) {
        grd_tensor *dx[4] = { NULL };
        const int64_t *q = s->starts_q + b, *k = s->starts_k + b;
        grdi_flash_call call = *whole;
        call.query = grdi_sequence_part(whole->query, q[0], q[1]);
        call.key = grdi_sequence_part(whole->key, k[0], k[1]);
        call.value = grdi_sequence_part(whole->value, k[0], k[1]);
        call.offset -= call.by_length ? q[1] - q[0] : 0;
        call.draw = draw;
        draw = grdi_draw_past(draw, grd_tensor_size(dy, 1) * (q[1] - q[0]) * (k[1] - k[0]));
        if (!grdi_latched())
            grdi_attend_backward(&call, grdi_sequence_part(dy, q[0], q[1]), wants, dx);
        for (int i = 0; i < 3; i++)
            parts[i * s->count + b] = dx[i];
    }
}

static void composed(const grdi_flash_call *call, const grdi_sequences *s, const grd_tensor *dy,
                     const bool wants[4], grd_tensor *dx[3])
{
    const size_t bytes = 3 * (size_t)s->count * sizeof(grd_tensor *);
    const grd_tensor **parts = grdi_allocate(bytes);
    if (!parts) {
        grdi_fail_memory("flash_attention", bytes);
        return;
    }
    piecewise(call, s, dy, wants, parts);
    for (int i = 0; i < 3 && !grdi_latched(); i++)
        if (wants[i])
            dx[i] = grdi_sequences_join(&(grd_list){ s->count, parts + i * s->count });
    grdi_free(parts, bytes);
}

static void sequences_backward(grdi_node *node, grd_tensor *dy, grd_tensor *dx[])
{
    grdi_flash_call call = ((const settings *)grdi_attributes(node))->call;
    const bool wants[] = { grdi_wants(node, QUERY), grdi_wants(node, KEY), grdi_wants(node, VALUE),
                           false };
    grdi_sequences s;
    const grd_tensor *output = grdi_saved_output(node);
    const grd_tensor *logsumexp = grdi_saved_extra(node, LOGSUMEXP);
    call.query = grdi_saved(node, QUERY);
    call.key = grdi_saved(node, KEY);
    call.value = grdi_saved(node, VALUE);
    if (!grdi_sequences_open(&s, "flash_attention", grdi_saved_extra(node, STARTS_Q),
                             grdi_saved_extra(node, STARTS_K)))
        return;
    if (grdi_recording())
        composed(&call, &s, dy, wants, dx);
    else if (!grdi_flash_sequences_backward(&call, &s, output, logsumexp, dy, dx))
        dx[QUERY] = dx[KEY] = dx[VALUE] = NULL;
    grdi_sequences_close(&s);
}

#define ALL (GRDI_INPUT(QUERY) | GRDI_INPUT(KEY) | GRDI_INPUT(VALUE) | GRDI_OUTPUT)

static const grdi_derivative sequences = {
    .op = "flash_attention",
    .rule = "y = w v, w = softmax(s q k^T): dv = w^T dy, ds = w (dw - sum(w dw)), dq = s ds k",
    .needs = { ALL, ALL, ALL },
    .attributes = sizeof(settings),
    .backward = sequences_backward,
};

grd_tensor *grdi_attend_sequences(const grdi_flash_call *call, const grd_tensor *starts_q,
                                  const grd_tensor *starts_k, grd_tensor **logsumexp)
{
    grdi_sequences s;
    *logsumexp = NULL;
    if (!grdi_sequences_open(&s, "flash_attention", starts_q, starts_k))
        return NULL;
    grd_tensor *y = grdi_flash_sequences(call, &s, logsumexp);
    grdi_sequences_close(&s);
    const settings kept = { *call };
    return grdi_record_saving(&sequences, y,
                              (const grd_tensor *[]){ call->query, call->key, call->value }, 3,
                              &kept, (const grd_tensor *[]){ *logsumexp, starts_q, starts_k }, 3);
}
