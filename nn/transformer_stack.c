#include "nn/cache.h"

#include <string.h>

/* ---- Layers in a row: of the stacks below, and of the transformer ---- */

grd_module *grdi_layers_create(grd_rng *rng, const grd_encoder_layer_options *options,
                               int64_t count, grdi_layer_create create)
{
    grd_module *list = grd_module_create("ModuleList", 0, NULL);
    for (int64_t i = 0; i < count && !grdi_latched(); i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)i);
        grd_module_add(list, name, create(rng, options));
    }
    return list;
}

grd_tensor *grdi_layers_forward(const grd_module *layers, int64_t count, const grd_tensor *x,
                                const grd_mha_args *args, grd_attention *results)
{
    grd_attention a = { 0 };
    for (int64_t i = 0; i < count && x; i++, x = a.output) {
        a = grd_encoder_layer_forward(grdi_entry_at(layers, i)->child, x, args);
        if (results)
            results[i] = a;
    }
    return a.output;
}

/* What a call hands out beside its output, as an object of the scope. */
typedef struct results {
    grdi_object object;
    size_t bytes; /* of the whole block */
    _Alignas(max_align_t) char at[];
} results;

static void results_destroy(void *object)
{
    results *r = object;
    grdi_free(r, r->bytes);
}

static const grdi_type results_type = { "results of layers", results_destroy };

void *grdi_results_create(const char *op, int64_t count, size_t size)
{
    const size_t bytes = sizeof(results) + (size_t)count * size;
    results *r = grdi_may_make(op) ? grdi_allocate(bytes) : NULL;
    if (!r)
        return grdi_fail_memory(op, bytes);
    memset(r, 0, bytes);
    grdi_object_init(&r->object, &results_type);
    r->bytes = bytes;
    grdi_scope_own(&r->object);
    return r->at;
}

/* ---- Making a stack ---- */

typedef struct stack {
    int64_t num_layers;
    grd_module *layers, *norm; /* norm NULL: none */
} stack;

static grd_tensor *forward(grd_module *self, const grd_tensor *x);

static const grdi_kind encoder_kind = { "TransformerEncoder", sizeof(stack), forward };
static const grdi_kind decoder_kind = { "TransformerDecoder", sizeof(stack), NULL };

static bool check(const char *op, const grd_encoder_options *o)
{
    if (o->num_layers < 1)
        return grdi_fail(GRD_ERROR_ARGUMENT, op, "num_layers is %lld: it is required and positive",
                         (long long)o->num_layers);
    return grdi_check_layer(op, &o->layer);
}

static grd_module *create(const char *op, const grdi_kind *kind, grd_rng *rng,
                          const grd_encoder_options *o, grdi_layer_create layer)
{
    if (!rng || !o)
        return grdi_fail_null(op);
    grd_module *self = check(op, o) ? grdi_module_create(kind) : NULL;
    if (!self)
        return NULL;
    stack *m = grd_module_data(self);
    m->num_layers = o->num_layers;
    m->layers =
        grd_module_add(self, "layers", grdi_layers_create(rng, &o->layer, o->num_layers, layer));
    if (o->final_norm)
        m->norm = grd_module_add(self, "norm", grdi_norm_create(&o->layer));
    return grdi_latched() ? NULL : self;
}

grd_module *grd_encoder_create(grd_rng *rng, const grd_encoder_options *options)
{
    return create("encoder_create", &encoder_kind, rng, options, grd_encoder_layer_create);
}

grd_module *grd_decoder_create(grd_rng *rng, const grd_encoder_options *options)
{
    return create("decoder_create", &decoder_kind, rng, options, grd_decoder_layer_create);
}

/* ---- Forward ---- */

static grd_tensor *normed(const stack *m, grd_tensor *x)
{
    return m->norm && x ? grd_forward(m->norm, x) : x;
}

static grd_tensor *encode(const stack *m, const grd_tensor *x, const grd_mha_args *args,
                          grd_attention *results)
{
    return normed(m, grdi_layers_forward(m->layers, m->num_layers, x, args, results));
}

static grd_tensor *decode(const stack *m, const grd_tensor *x, const grd_tensor *memory,
                          const grd_decoder_args *args, grd_decoder_attention *results)
{
    grd_decoder_attention a = { 0 };
    for (int64_t i = 0; i < m->num_layers && x; i++, x = a.output)
        results[i] = a =
            grd_decoder_layer_forward(grdi_entry_at(m->layers, i)->child, x, memory, args);
    return normed(m, a.output);
}

/* The stack, and room for its layers' results; NULL with an error latched. */
static stack *begin(const char *op, const grd_module *self, const grdi_kind *kind, size_t size,
                    void **results)
{
    stack *m = grdi_may_make(op) ? grdi_module_data_of(op, self, kind) : NULL;
    *results = m ? grdi_results_create(op, m->num_layers, size) : NULL;
    return *results ? m : NULL;
}

grd_encoder_output grd_encoder_forward(grd_module *self, const grd_tensor *x,
                                       const grd_mha_args *args)
{
    const grd_encoder_output failed = { 0 };
    void *results = NULL;
    const stack *m = begin("encoder_forward", self, &encoder_kind, sizeof(grd_attention), &results);
    if (!m)
        return failed;
    if (!x)
        return grdi_fail_null("encoder_forward"), failed;
    grd_cache *cache = args ? args->cache : NULL;
    const int64_t mark = grdi_kv_mark(cache);
    grdi_module_enter(self);
    grd_tensor *y = encode(m, x, args, results);
    grdi_module_leave(self);
    if (y)
        grdi_module_call_hooks(self, y);
    grdi_kv_settle(cache, mark);
    return grdi_latched() ? failed : (grd_encoder_output){ y, m->num_layers, results };
}

grd_decoder_output grd_decoder_forward(grd_module *self, const grd_tensor *x,
                                       const grd_tensor *memory, const grd_decoder_args *args)
{
    const grd_decoder_output failed = { 0 };
    void *results = NULL;
    const stack *m =
        begin("decoder_forward", self, &decoder_kind, sizeof(grd_decoder_attention), &results);
    if (!m)
        return failed;
    if (!x || !memory)
        return grdi_fail_null("decoder_forward"), failed;
    grd_cache *cache = args ? args->self.cache : NULL;
    const int64_t mark = grdi_kv_mark(cache);
    grdi_module_enter(self);
    grd_tensor *y = decode(m, x, memory, args, results);
    grdi_module_leave(self);
    if (y)
        grdi_module_call_hooks(self, y);
    grdi_kv_settle(cache, mark);
    return grdi_latched() ? failed : (grd_decoder_output){ y, m->num_layers, results };
}

/* For grd_forward: the output alone, and nothing else left behind. */
static grd_tensor *forward(grd_module *self, const grd_tensor *x)
{
    grd_scope scope;
    grdi_scope_open(&scope);
    const grd_attention result = { .output = encode(grd_module_data(self), x, NULL, NULL) };
    return grdi_hand_out(&scope, result).output;
}

grd_encoder_output grd_at_encoder_output(grd_encoder_output result, const char *file, int line)
{
    result.output = grd_at(result.output, file, line);
    return result;
}

grd_decoder_output grd_at_decoder_output(grd_decoder_output result, const char *file, int line)
{
    result.output = grd_at(result.output, file, line);
    return result;
}
