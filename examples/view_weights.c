/* Attention as a page: an encoder, and a decoder that looks at it, each layer with tokens of its own; and weights that
 * were made by hand, with a mistake in them that the page names first. */
#include <gradus/gradus.h>

enum { E = 32, H = 4, SOURCE = 5, TARGET = 4 };

static const char *const source[SOURCE] = { "the", "cat", "is", "black", "." };
static const char *const target[TARGET] = { "<start>", "le", "chat", "est" };

static const grd_mha_args per_head = { .weights = GRD_PER_HEAD };

/* What attends to what: x to itself in the encoder, y to itself and to the encoder's output in the decoder. */
static grd_status translate(grd_rng *rng)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    const grd_encoder_options options = { .layer = { .embed_dim = E, .num_heads = H }, .num_layers = 1 };
    grd_module *encoder = grd_encoder_create(rng, &options), *decoder = grd_decoder_create(rng, &options);
    grd_tensor *x = grd_randn(rng, GRD_SHAPE(1, SOURCE, E)), *y = grd_randn(rng, GRD_SHAPE(1, TARGET, E));
    grd_decoder_args args = { .self = per_head, .cross = per_head };
    args.self.mask.causal = true;

    grd_encoder_output read = grd_encoder_forward(encoder, x, &per_head);
    grd_decoder_output written = grd_decoder_forward(decoder, y, read.output, &args);
    if (!written.output)
        return grd_scope_end(scope);

    const grd_attention layers[] = { read.layers[0], written.layers[0].self, written.layers[0].cross };
    const grd_mask all = { 0 };
    const grd_attention_view_layer details[] = {
        { .name = "encoder", .query_tokens = source },
        { .name = "decoder, to itself", .query_tokens = target, .mask = &args.self.mask },
        { .name = "decoder, to the encoder", .query_tokens = target, .key_tokens = source, .mask = &all },
    };
    if (grd_view_attention("translation.html", &(grd_view_attention_options){
            .layers = layers, .num_layers = 3, .details = details, .title = "A translator, untrained" }) == GRD_OK)
        printf("translation.html: encoder, decoder, and what lies between\n");
    return grd_scope_end(scope);
}

/* A softmax before the mask: rows whose keys are hidden sum to less than 1. */
static grd_status by_hand(grd_rng *rng)
{
    grd_scope *scope = grd_scope_begin_no_grad();
    const grd_mask mask = { .causal = true };
    grd_tensor *scores = grd_randn(rng, GRD_SHAPE(H, SOURCE, SOURCE));
    grd_tensor *weights = grd_tril(grd_softmax(scores, -1), 0);
    const grd_attention layer = { .weights = weights };
    if (grd_view_attention("by_hand.html", &(grd_view_attention_options){
            .layers = &layer, .num_layers = 1, .query_tokens = source, .mask = &mask, .title = "By hand" }) == GRD_OK)
        printf("by_hand.html: its first lines say what is wrong\n");
    printf("query 0 of head 0 gives its one key %.3f instead of 1\n", grd_item_at(weights, GRD_DIMS(0, 0, 0)));
    return grd_scope_end(scope);
}

int main(void)
{
    grd_scope *run = grd_scope_begin();
    grd_rng *rng = grd_rng_create(42);
    translate(rng);
    by_hand(rng);
    if (grd_scope_end(run) != GRD_OK)
        return fprintf(stderr, "%s\n", grd_error_message()), 1;
    return 0;
}
