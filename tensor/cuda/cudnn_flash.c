#include "tensor/cuda/cudnn_flash.h"
#include "tensor/cuda/cudnn_flash.cuh"
#include "tensor/cuda/flash_own.h"
#include "tensor/cuda/launch.h"
#include "tensor/object.h"
#include "tensor/tensor.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

GRDI_CUDA_IMAGE(cudnn_flash);

/* ---- cuDNN on a GPU ---- */

typedef struct grdi_cuda_cudnn {
    pthread_mutex_t lock; /* for its handle and its plans */
    grdi_cudnn_plans plans;
    bool fast;
    char why[256]; /* it cannot be used; "": it can */
} state;

/* A sixteenth of the GPU's memory is what a plan may have to work in. */
static grd_status start(const grdi_cuda *cuda, state *s, const grdi_cudnn *cudnn)
{
    const char *fast = getenv("GRADUS_CUDNN_FAST");
    size_t left = 0, total = 0;
    const grd_status status = GRDI_CUDA_CALL(cuda, cuMemGetInfo_v2, (&left, &total));
    if (status != GRD_OK)
        return status;
    s->plans.cudnn = cudnn;
    s->plans.most_workspace = (int64_t)(total / 16);
    s->fast = fast && strcmp(fast, "1") == 0;
    int result = cudnn->cudnnCreate(&s->plans.handle);
    if (result == 0 && (result = cudnn->cudnnSetStream(s->plans.handle, cuda->stream)) != 0)
        cudnn->cudnnDestroy(s->plans.handle);
    if (result == GRDI_CUDNN_NO_MEMORY || result == GRDI_CUDNN_NO_DEVICE_MEMORY)
        return GRD_ERROR_MEMORY;
    if (result != 0)
        snprintf(s->why, sizeof s->why, "cuDNN does not start on this GPU: %s",
                 cudnn->cudnnGetErrorString(result));
    return GRD_OK;
}

static grd_status make(grdi_cuda *cuda)
{
    const char *why;
    const grdi_cudnn *cudnn = grdi_cudnn_find(&why);
    state *s = calloc(1, sizeof *s);
    if (!s)
        return GRD_ERROR_MEMORY;
    grd_status status = GRD_OK;
    if (cudnn)
        status = start(cuda, s, cudnn);
    else
        snprintf(s->why, sizeof s->why, "%s", why);
    if (status != GRD_OK) {
        free(s);
        return status;
    }
    pthread_mutex_init(&s->lock, NULL);
    cuda->cudnn = s;
    return GRD_OK;
}

static grd_status state_of(grd_device *device, state **s)
{
    grdi_cuda *cuda = grdi_cuda_of(device);
    grd_status status = grdi_cuda_enter(cuda);
    pthread_mutex_lock(&cuda->lock);
    if (status == GRD_OK && !cuda->cudnn)
        status = make(cuda);
    *s = cuda->cudnn;
    pthread_mutex_unlock(&cuda->lock);
    return status;
}

/* ---- A call ---- */

/* What is in memory of its own for the time of a call. */
typedef enum section {
    SUMS,
    OVERLAP,
    SUMMED,
    DOUTPUT,
    LENGTHS,
    BROKEN,
    MASK,
    DMASK,
    DQUERY,
    DKEY,
    DVALUE,
    WORKSPACE,
    SECTIONS
} section;

typedef struct run {
    grd_device *device;
    state *state;
    grdi_cudnn_call call;
    grdi_cudnn_attention attention;
    const grdi_cudnn_plan *plan;
    const char *why; /* cuDNN does not take it */
    size_t at[SECTIONS + 1];
    char *memory;
    float scale, hidden, kept;
    int queries, keys, window;
    void *pointer[GRDI_CUDNN_IDS]; /* NULL: the graph has no such tensor */
} run;

/* The plan for what stands in r->attention. */
static grd_status find_plan(run *r)
{
    pthread_mutex_lock(&r->state->lock);
    r->plan = grdi_cudnn_plan_for(&r->state->plans, &r->attention);
    pthread_mutex_unlock(&r->state->lock);
    if (!r->plan)
        return GRD_ERROR_MEMORY;
    if (!r->plan->plan)
        r->why = r->plan->graph.why;
    return GRD_OK;
}

static grd_status prepare(run *r, grd_device *device)
{
    const grd_dtype dtype = r->call.query->dtype;
    r->device = device;
    if (dtype != GRD_F16 && dtype != GRD_BF16) { /* it need not be looked for */
        r->why = grdi_cudnn_describe(&r->call, &r->attention);
        return GRD_OK;
    }
    const grdi_cuda *cuda = grdi_cuda_of(device);
    const grd_status status = state_of(device, &r->state);
    if (status != GRD_OK)
        return status;
    r->call.version = r->state->plans.cudnn ? r->state->plans.cudnn->version : 0;
    r->call.capability = cuda->major * 10 + cuda->minor;
    r->call.fast = r->state->fast;
    r->why = *r->state->why ? r->state->why : grdi_cudnn_describe(&r->call, &r->attention);
    return r->why ? GRD_OK : find_plan(r);
}

/* ---- Memory ---- */

static int64_t elements(const int64_t *size)
{
    return size[0] * size[1] * size[2] * size[3];
}

static bool is_laid_out_like(const grdi_array *a, const grdi_array *b)
{
    bool alike = (uintptr_t)a->data % 16 == 0;
    for (int d = 0; d < 4; d++)
        alike &= a->dim[d].size == 1 || a->dim[d].stride == b->dim[d].stride;
    return alike;
}

/* A NaN behind a hidden key may show in what cuDNN makes, as 0 times NaN; so may its own mistakes.
 * All of them show as NaN, for which its results are searched. */
static bool is_watched(const run *r)
{
    const grdi_flash *how = r->call.how;
    const grdi_cudnn_attention *a = &r->attention;
    return !r->call.fast &&
           (how->lengths || how->keep || how->additive || a->causal || a->windowed);
}

static void measure(const run *r, size_t bytes[SECTIONS])
{
    const grdi_cudnn_attention *a = &r->attention;
    const grdi_flash_gradient *g = r->call.gradient;
    const size_t queries = (size_t)(a->batch * a->heads * a->queries);
    const size_t of_keys = (size_t)(a->batch * a->key_heads * a->keys) * 2;
    bytes[SUMS] = queries * sizeof(float);
    bytes[LENGTHS] = a->padded ? 2 * (size_t)a->batch * sizeof(int) : 0;
    bytes[BROKEN] = is_watched(r) ? sizeof(int) : 0;
    bytes[MASK] = grdi_cudnn_needs_mask(r->call.how) ? (size_t)elements(a->additive.size) * 2 : 0;
    bytes[WORKSPACE] = (size_t)r->plan->workspace;
    if (!g)
        return;
    bytes[OVERLAP] = bytes[SUMS];
    if (!a->deterministic && !a->dadditive)
        bytes[SUMMED] = queries * (size_t)a->size * sizeof(float);
    if (!is_laid_out_like(g->doutput, g->output))
        bytes[DOUTPUT] = queries * (size_t)a->value_size * 2;
    if (!a->dadditive)
        return;
    bytes[DMASK] = (size_t)elements(a->additive.size) * 2;
    bytes[DQUERY] = queries * (size_t)a->size * 2;
    bytes[DKEY] = of_keys * (size_t)a->size;
    bytes[DVALUE] = of_keys * (size_t)a->value_size;
}

/* One block for all, each part at a multiple of 256 bytes. */
static grd_status allocate(run *r)
{
    size_t bytes[SECTIONS] = { 0 };
    measure(r, bytes);
    for (int s = 0; s < SECTIONS; s++)
        r->at[s + 1] = r->at[s] + (bytes[s] + 255) / 256 * 256;
    r->memory = grdi_cuda_allocate(r->device, r->at[SECTIONS]);
    return r->memory ? GRD_OK : GRD_ERROR_MEMORY;
}

/* NULL: the call has no such part. */
static void *part(const run *r, section s)
{
    return r->at[s + 1] > r->at[s] ? r->memory + r->at[s] : NULL;
}

/* ---- What cuDNN is handed ---- */

static void point_at_numbers(run *r)
{
    const grdi_cudnn_attention *a = &r->attention;
    void **p = r->pointer;
    r->scale = (float)r->call.how->scale;
    r->hidden = -FLT_MAX; /* less itself it is 0, where -inf would be NaN */
    r->kept = 1;
    r->queries = (int)a->queries;
    r->keys = (int)a->keys;
    r->window = a->windowed ? (int)grdi_cudnn_window(r->call.how) : 0;
    p[GRDI_CUDNN_SCALE] = &r->scale;
    p[GRDI_CUDNN_HIDDEN] = a->padded || a->causal || a->windowed ? &r->hidden : NULL;
    p[GRDI_CUDNN_KEPT] = a->backward ? &r->kept : NULL;
    p[GRDI_CUDNN_WINDOW] = a->windowed ? &r->window : NULL;
    if (a->causal == GRDI_CUDNN_BOTTOM_RIGHT && !a->padded) {
        p[GRDI_CUDNN_QUERIES] = &r->queries;
        p[GRDI_CUDNN_KEYS] = &r->keys;
    }
}

static void point_at_extras(run *r)
{
    const grdi_cudnn_attention *a = &r->attention;
    const grdi_array *additive = r->call.how->additive;
    void **p = r->pointer;
    if (a->padded) {
        p[GRDI_CUDNN_QUERY_LENGTHS] = part(r, LENGTHS);
        p[GRDI_CUDNN_KEY_LENGTHS] = (int *)part(r, LENGTHS) + a->batch;
    }
    p[GRDI_CUDNN_ADDITIVE] = part(r, MASK);
    if (additive && !p[GRDI_CUDNN_ADDITIVE])
        p[GRDI_CUDNN_ADDITIVE] = additive->data;
}

static void point_at_gradient(run *r)
{
    const grdi_flash_gradient *g = r->call.gradient;
    void **p = r->pointer;
    p[GRDI_CUDNN_OVERLAP] = part(r, OVERLAP);
    p[GRDI_CUDNN_SUMMED] = part(r, SUMMED);
    p[GRDI_CUDNN_DADDITIVE] = part(r, DMASK);
    p[GRDI_CUDNN_DOUTPUT] = part(r, DOUTPUT) ? part(r, DOUTPUT) : g->doutput->data;
    p[GRDI_CUDNN_DQUERY] = r->call.dadditive ? part(r, DQUERY) : g->dquery->data;
    p[GRDI_CUDNN_DKEY] = r->call.dadditive ? part(r, DKEY) : g->dkey->data;
    p[GRDI_CUDNN_DVALUE] = r->call.dadditive ? part(r, DVALUE) : g->dvalue->data;
}

static void point(run *r)
{
    void **p = r->pointer;
    p[GRDI_CUDNN_QUERY] = r->call.query->data;
    p[GRDI_CUDNN_KEY] = r->call.key->data;
    p[GRDI_CUDNN_VALUE] = r->call.value->data;
    p[GRDI_CUDNN_OUTPUT] = r->call.output->data;
    p[GRDI_CUDNN_LOGSUMEXP] = part(r, SUMS);
    point_at_numbers(r);
    point_at_extras(r);
    if (r->call.gradient)
        point_at_gradient(r);
}

static int list_pointers(const run *r, int64_t ids[GRDI_CUDNN_IDS], void *pointers[GRDI_CUDNN_IDS])
{
    int count = 0;
    for (int id = 0; id < GRDI_CUDNN_IDS; id++)
        if (r->pointer[id]) {
            ids[count] = id;
            pointers[count++] = r->pointer[id];
        }
    return count;
}

static grd_status fail(const grdi_cudnn_graph *g)
{
    if (g->out_of_memory)
        return GRD_ERROR_MEMORY;
    grdi_fail(GRD_ERROR_DEVICE, "flash_attention", "%s", g->why);
    return GRD_ERROR_DEVICE;
}

/* The graph here is but for the pack's descriptor and its failure. */
static grd_status execute(run *r)
{
    grdi_cudnn_graph g = { .cudnn = r->state->plans.cudnn };
    int64_t ids[GRDI_CUDNN_IDS];
    void *pointers[GRDI_CUDNN_IDS], *workspace = part(r, WORKSPACE);
    const int count = list_pointers(r, ids, pointers);
    const grdi_cudnn_attribute attributes[] = {
        { GRDI_CUDNN_PACK_IDS, GRDI_CUDNN_IS_I64, count, ids },
        { GRDI_CUDNN_PACK_POINTERS, GRDI_CUDNN_IS_POINTER, count, pointers },
        { GRDI_CUDNN_PACK_WORKSPACE, GRDI_CUDNN_IS_POINTER, 1, &workspace },
    };
    pthread_mutex_lock(&r->state->lock);
    grdi_cudnn_descriptor *pack =
        grdi_cudnn_make(&g, GRDI_CUDNN_PACK, "a plan's addresses", 3, attributes);
    if (pack)
        grdi_cudnn_ok(&g, "execution", "attention",
                      g.cudnn->cudnnBackendExecute(r->state->plans.handle, r->plan->plan, pack));
    grdi_cudnn_clear(&g);
    pthread_mutex_unlock(&r->state->lock);
    return g.failed ? fail(&g) : GRD_OK;
}

/* ---- Around it ---- */

/* Far enough to be unlimited, near enough to be added to. */
static int64_t limited(int64_t x)
{
    const int64_t far = INT64_MAX / 8;
    return x < -far ? -far : x < far ? x : far;
}

static grdi_cudnn_seen seen_by(const run *r)
{
    const grdi_flash *how = r->call.how;
    grdi_cudnn_seen seen = { .samples = (int)r->attention.batch,
                             .heads = (int)r->attention.heads,
                             .queries = (int)r->attention.queries,
                             .keys = (int)r->attention.keys,
                             .left = limited(how->left),
                             .right = limited(how->right),
                             .offset = limited(how->offset),
                             .by_length = how->by_length };
    if (how->lengths) {
        seen.lengths = how->lengths->data;
        seen.length = how->lengths->dim[0].stride;
    }
    return seen;
}

/* Launches a kernel that walks over n things, of a dtype in its name. */
static grd_status launch(const run *r, const char *kernel, grd_dtype dtype, int64_t n,
                         void *arguments[])
{
    return grdi_cuda_launch(r->device, &grdi_cuda_image_cudnn_flash, kernel, dtype,
                            grdi_cuda_size_for(r->device, n, 1), arguments);
}

static grd_status write_numbers(const run *r)
{
    const int64_t samples = r->attention.batch;
    grdi_cudnn_seen seen = seen_by(r);
    int *lengths = part(r, LENGTHS), *broken = part(r, BROKEN);
    grdi_cuda_size size = { (unsigned)((samples + 255) / 256), 256, 0 };
    if (!lengths && !broken)
        return GRD_OK;
    return grdi_cuda_launch(r->device, &grdi_cuda_image_cudnn_flash, "cudnn_begin", GRD_F32, size,
                            (void *[]){ &seen, &lengths, &broken });
}

/* Sizes and strides as cuDNN is told them; `wide`: of all pairs, with stride 0 where they share. */
static grdi_array mask_at(const run *r, void *data, bool wide)
{
    const grdi_cudnn_attention *a = &r->attention;
    const int64_t pairs[] = { a->batch, a->heads, a->queries, a->keys };
    const grdi_cudnn_shape *shape = &a->additive;
    grdi_array x = { .data = data, .dtype = r->call.query->dtype, .rank = 4 };
    for (int d = 0; d < 4 && data; d++)
        x.dim[d] = (grdi_dim){ wide ? pairs[d] : shape->size[d],
                               shape->size[d] == 1 ? 0 : shape->stride[d] };
    return x;
}

/* A part of the mask, of which only what varies is looked at. */
static grdi_array narrowed(const run *r, const grdi_array *x)
{
    grdi_array y = { .rank = 4 };
    if (!x)
        return y;
    y = *x;
    for (int d = 0; d < 4; d++)
        y.dim[d].size = r->attention.additive.size[d];
    return y;
}

static grd_status write_mask(const run *r)
{
    if (!part(r, MASK))
        return GRD_OK;
    int64_t n = elements(r->attention.additive.size);
    grdi_array y = mask_at(r, part(r, MASK), false);
    grdi_array keep = narrowed(r, r->call.how->keep);
    grdi_array additive = narrowed(r, r->call.how->additive);
    return launch(r, "cudnn_hide", y.dtype, n, (void *[]){ &n, &y, &keep, &additive });
}

static grd_status write_before(const run *r)
{
    const grd_status status = write_numbers(r);
    return status == GRD_OK ? write_mask(r) : status;
}

static grd_status finish_forward(const run *r, const grdi_array *logsumexp)
{
    grdi_cudnn_seen seen = seen_by(r);
    grdi_array mask = mask_at(r, r->pointer[GRDI_CUDNN_ADDITIVE], true);
    void *sums = part(r, SUMS);
    const grdi_array *output = r->call.output;
    return launch(r, "cudnn_finish", output->dtype, grdi_count(logsumexp),
                  (void *[]){ &seen, &mask, &sums, (void *)logsumexp, (void *)output });
}

static grd_status write_sums(const run *r)
{
    const grdi_array *logsumexp = r->call.gradient->logsumexp;
    int64_t n = grdi_count(logsumexp);
    void *sums = part(r, SUMS);
    return launch(r, "cudnn_sums", GRD_F32, n, (void *[]){ &n, &sums, (void *)logsumexp });
}

static grd_status write_doutput(const run *r)
{
    const grdi_flash_gradient *g = r->call.gradient;
    if (!part(r, DOUTPUT))
        return GRD_OK;
    grdi_array y = *g->doutput;
    y.data = part(r, DOUTPUT);
    for (int d = 0; d < 3; d++)
        y.dim[d].stride = r->attention.stride[GRDI_CUDNN_OUTPUT - 1][d];
    y.dim[3].stride = 1;
    return grdi_cuda_copy(r->device, &y, g->doutput);
}

static grd_status gather_dadditive(const run *r)
{
    const grdi_cudnn_shape *shape = &r->attention.additive;
    int64_t n = elements(shape->size);
    grdi_array y = narrowed(r, r->call.gradient->dadditive), x = y;
    const grdi_cudnn_shape lying =
        grdi_cudnn_contiguous(shape->size[0], shape->size[1], shape->size[2], shape->size[3]);
    int *broken = part(r, BROKEN);
    x.data = part(r, DMASK);
    for (int d = 0; d < 4; d++)
        x.dim[d].stride = lying.stride[d];
    return launch(r, "cudnn_gather", r->call.query->dtype, n, (void *[]){ &n, &y, &x, &broken });
}

/* In packs of 8: of rows, which are whole packs, and of what lies side by side. */
static grd_status watch(const run *r, const grdi_array *x)
{
    int *broken = part(r, BROKEN);
    int64_t n = grdi_count(x);
    grdi_array packs = *x;
    grdi_dim *last = &packs.dim[x->rank - 1];
    *last = (grdi_dim){ (last->size + 7) / 8, 8 };
    if (!broken)
        return GRD_OK;
    return launch(r, "cudnn_watch", r->call.query->dtype, (n + 7) / 8,
                  (void *[]){ &n, &packs, &broken });
}

static grdi_array flat_dmask(const run *r)
{
    return (grdi_array){ .data = part(r, DMASK),
                         .rank = 1,
                         .dim = { { elements(r->attention.additive.size), 1 } } };
}

/* ---- The calls ---- */

static grd_status finish(const run *r, const grdi_array *logsumexp)
{
    const grdi_flash_gradient *g = r->call.gradient;
    if (!g) {
        const grd_status status = finish_forward(r, logsumexp);
        return status == GRD_OK ? watch(r, r->call.output) : status;
    }
    if (r->call.dadditive) {
        const grdi_array mask = flat_dmask(r);
        const grd_status status = watch(r, &mask);
        return status == GRD_OK ? gather_dadditive(r) : status;
    }
    grd_status status = watch(r, g->dquery);
    if (status == GRD_OK)
        status = watch(r, g->dkey);
    return status == GRD_OK ? watch(r, g->dvalue) : status;
}

/* Where something was NaN, Gradus's own kernels compute all of it again: the host need not know. */
static grd_status mend(const run *r, const grdi_array *logsumexp)
{
    const grdi_cudnn_call *c = &r->call;
    const int *broken = part(r, BROKEN);
    if (!broken)
        return GRD_OK;
    if (!c->gradient)
        return grdi_cuda_own_attention(r->device, c->how, c->output, logsumexp, c->query, c->key,
                                       c->value, broken);
    return (c->dadditive ? grdi_cuda_own_attention_additive : grdi_cuda_own_attention_backward)(
        r->device, c->how, c->gradient, c->query, c->key, c->value, broken);
}

static grd_status compute(run *r, const grdi_array *logsumexp)
{
    const bool backward = r->call.gradient;
    grd_status status = write_before(r);
    if (status == GRD_OK && backward)
        status = write_sums(r);
    if (status == GRD_OK && backward)
        status = write_doutput(r);
    if (status == GRD_OK)
        status = execute(r);
    if (status == GRD_OK)
        status = finish(r, logsumexp);
    return status == GRD_OK ? mend(r, logsumexp) : status;
}

static grd_status attend(grd_device *device, const grdi_cudnn_call *call,
                         const grdi_array *logsumexp)
{
    run r = { .call = *call };
    grd_status status = prepare(&r, device);
    if (status != GRD_OK)
        return status;
    if (r.why)
        return GRD_ERROR_UNSUPPORTED;
    status = allocate(&r);
    if (status != GRD_OK)
        return status;
    point(&r);
    status = compute(&r, logsumexp);
    grdi_cuda_free(device, r.memory, r.at[SECTIONS]);
    return status;
}

grd_status grdi_cuda_cudnn_attention(grd_device *device, const grdi_flash *how,
                                     const grdi_array *output, const grdi_array *logsumexp,
                                     const grdi_array *query, const grdi_array *key,
                                     const grdi_array *value)
{
    const grdi_cudnn_call call = {
        .how = how, .query = query, .key = key, .value = value, .output = output
    };
    return attend(device, &call, logsumexp);
}

static grd_status go_back(grd_device *device, const grdi_flash *how, const grdi_flash_gradient *g,
                          const grdi_array *query, const grdi_array *key, const grdi_array *value,
                          bool dadditive)
{
    const grdi_cudnn_call call = { .how = how,
                                   .query = query,
                                   .key = key,
                                   .value = value,
                                   .output = g->output,
                                   .gradient = g,
                                   .dadditive = dadditive };
    return attend(device, &call, NULL);
}

grd_status grdi_cuda_cudnn_attention_backward(grd_device *device, const grdi_flash *how,
                                              const grdi_flash_gradient *gradient,
                                              const grdi_array *query, const grdi_array *key,
                                              const grdi_array *value)
{
    return go_back(device, how, gradient, query, key, value, false);
}

grd_status grdi_cuda_cudnn_attention_additive(grd_device *device, const grdi_flash *how,
                                              const grdi_flash_gradient *gradient,
                                              const grdi_array *query, const grdi_array *key,
                                              const grdi_array *value)
{
    return go_back(device, how, gradient, query, key, value, true);
}

static const char *refusal(grd_device *device, const grdi_flash *how, const grdi_array *query,
                           const grdi_array *key, const grdi_array *value, grdi_attention_pass pass)
{
    const grdi_flash_gradient gradient = { .dquery = query, .dkey = key, .dvalue = value };
    run r = { .call = { .how = how,
                        .query = query,
                        .key = key,
                        .value = value,
                        .gradient = pass == GRDI_FORWARD ? NULL : &gradient,
                        .dadditive = pass == GRDI_BACKWARD_ADDITIVE } };
    if (prepare(&r, device) != GRD_OK)
        return "cuDNN ran out of memory while it made a plan";
    return r.why;
}

const grdi_attention_library grdi_cuda_cudnn = {
    .name = { "cudnn", "cudnn backward", "cudnn gradient of additive" },
    .refusal = refusal,
};
