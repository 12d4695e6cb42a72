/* Modules in a trace, and that tracing changes no bit of a step. */
#include "autograd/trace.h"
#include "tests/nn/expect.h"

#include <criterion/criterion.h>
#include <gradus/gradus.h>
#include <string.h>

static grd_scope *scope;

static void begin(void)
{
    scope = grd_scope_begin();
}

static void end(void)
{
    cr_assert_eq(grd_scope_end(scope), GRD_OK, "%s", grd_error_message());
}

TestSuite(module_trace, .init = begin, .fini = end);

static grd_module *transformer(void)
{
    return grd_transformer_create(grd_rng_create(7), &(grd_transformer_options){
                                                         .vocab_size = 11,
                                                         .context = 6,
                                                         .embed_dim = 8,
                                                         .num_heads = 2,
                                                         .num_layers = 2,
                                                         .dropout = 0.1,
                                                         .direction = GRD_CAUSAL,
                                                     });
}

static grd_tensor *loss_of(grd_module *model)
{
    grd_rng *rng = grd_rng_create(3);
    grd_module_train(model, rng);
    const grd_tensor *tokens = grd_randint(rng, 0, 11, GRD_SHAPE(2, 6));
    return grd_cross_entropy(grd_forward(model, tokens), tokens, NULL);
}

/* The loss and every gradient of one step, in bytes. */
static size_t step(bool traced, unsigned char *bytes)
{
    size_t size = 0;
    grd_scope *inner = grd_scope_begin();
    grd_module *model = transformer();
    if (traced)
        cr_assert_not_null(grd_trace_begin());
    const grd_tensor *loss = loss_of(model);
    cr_assert_eq(grd_backward(loss), GRD_OK, "%s", grd_error_message());
    for (int64_t i = -1; i < grd_module_num_parameters(model); i++) {
        const grd_tensor *x =
            i < 0 ? loss : grd_tensor_grad(grd_module_parameter_at(model, i).tensor);
        const size_t part = (size_t)grd_tensor_count(x) * sizeof(float);
        memcpy(bytes + size, x->array.data, part);
        size += part;
    }
    grd_scope_end(inner);
    return size;
}

Test(module_trace, changes_no_bit)
{
    static unsigned char plain[1 << 16], traced[1 << 16];
    const size_t size = step(false, plain);
    cr_assert(size > 4000 && size <= sizeof plain);
    cr_assert_eq(step(true, traced), size);
    cr_assert_eq(memcmp(plain, traced, size), 0);
}

/* The path and kind of the module that ran when the i-th item was recorded. */
static const char *place_of(const grd_trace *trace, int64_t i)
{
    static char text[256];
    const int64_t call = grdi_traced_at(trace, i)->call;
    if (call < 0)
        return "none";
    snprintf(text, sizeof text, "%s (%s)",
             grdi_traced_text(trace, grdi_traced_call_at(trace, call)->path),
             grdi_traced_text(trace, grdi_traced_call_at(trace, call)->kind));
    return text;
}

static bool has_op_at(const grd_trace *trace, const char *op, const char *place)
{
    for (int64_t i = 0; i < trace->items.count; i++) {
        const grdi_node *node = grdi_traced_at(trace, i)->node;
        if (node && strcmp(node->op, op) == 0 && strcmp(place_of(trace, i), place) == 0)
            return true;
    }
    return false;
}

static bool has_name(const grd_trace *trace, const char *name)
{
    for (int64_t i = 0; i < trace->items.count; i++) {
        const char *said = grdi_traced_text(trace, grdi_traced_at(trace, i)->name);
        if (said && strcmp(said, name) == 0)
            return true;
    }
    return false;
}

Test(module_trace, knows_which_module_ran)
{
    grd_module *model = transformer();
    const grd_trace *trace = grd_trace_begin();
    cr_assert_not_null(loss_of(model));
    cr_assert(has_op_at(trace, "cross_entropy", "none"));
    cr_assert(has_op_at(trace, "embedding", "token_embedding (Embedding)"));
    cr_assert(has_op_at(trace, "add", "blocks.1 (TransformerEncoderLayer)"));
    cr_assert(has_op_at(trace, "linear", "blocks.1.self_attn (MultiheadAttention)"));
    cr_assert(has_op_at(trace, "linear", "blocks.0.self_attn.out_proj (Linear)"));
    cr_assert(has_name(trace, "blocks.0.self_attn.in_proj_weight"));
    cr_assert(has_name(trace, "blocks.1.norm2.bias"));
    cr_assert_eq(trace->call, -1, "all were left");
}

Test(module_trace, knows_modules_that_are_called_by_name)
{
    grd_rng *rng = grd_rng_create(1);
    grd_module *encoder = grd_encoder_layer_create(
        rng, &(grd_encoder_layer_options){ .embed_dim = 8, .num_heads = 2 });
    grd_module_eval(encoder);
    const grd_tensor *x = grd_randn(rng, GRD_SHAPE(1, 3, 8));
    const grd_trace *trace = grd_trace_begin();
    cr_assert_not_null(grd_encoder_layer_forward(encoder, x, NULL).output);
    cr_assert(has_op_at(trace, "add", " (TransformerEncoderLayer)"));
    cr_assert(has_op_at(trace, "linear", "self_attn (MultiheadAttention)"));
    cr_assert_eq(trace->call, -1);
    cr_assert_null(grd_encoder_layer_forward(encoder, grd_ones(GRD_SHAPE(3)), NULL).output);
    cr_assert_eq(trace->call, -1, "an error too leaves it");
    grd_error_take();
}
