/* Masks put together: sequences of unequal lengths, causal, with a bias that is learned. Then text one token at a
 * time, by a cache of keys and values, which says what the whole sequence says. */
#include <gradus/gradus.h>

enum { B = 3, T = 12, E = 32, H = 4, VOCAB = 100, PROMPT = 3, COUNT = 20 };

/* Three parts of one mask: a key must pass all of them to be seen. */
static void padded_batch(grd_rng *rng)
{
    grd_scope *scope = grd_scope_begin();
    grd_module *attention = grd_mha_create(rng, &(grd_mha_options){
        .embed_dim = E, .num_heads = H, .layout = GRD_BATCH_FIRST });
    grd_tensor *x = grd_randn(rng, GRD_SHAPE(B, T, E));
    grd_tensor *lengths = grd_from_i64((int64_t[]){ 12, 7, 9 }, B, GRD_SHAPE(B));
    grd_tensor *bias = grd_require_grad(grd_zeros(GRD_SHAPE(H, T, T))); /* the same for every sample */

    grd_attention a = grd_mha_forward(attention, x, x, x, &(grd_mha_args){
        .mask = { .causal = true, .key_lengths = lengths, .additive = bias }, .weights = GRD_PER_HEAD });
    grd_backward(grd_mean(grd_square(a.output)));

    printf("sample 1 has 7 tokens: query 10 gives key 6 the weight %.3f and key 7 %g\n",
           grd_item_at(a.weights, GRD_DIMS(1, 0, 10, 6)), grd_item_at(a.weights, GRD_DIMS(1, 0, 10, 7)));
    printf("what head 0's bias could change, and not past the diagonal:\n");
    grd_print_matrix(stdout, grd_select(grd_tensor_grad(bias), 0, 0));
    grd_scope_end(scope);
}

/* What all of `said` leads to, computed from its start. */
static grd_tensor *from_the_start(grd_module *model, const int64_t *said, int64_t length)
{
    return grd_select(grd_forward(model, grd_from_i64(said, length, GRD_SHAPE(1, length))), 1, -1);
}

/* grd_generate in the open: first the prompt, then each token as it is drawn. */
static void decode(grd_rng *rng, grd_module *model)
{
    grd_scope *scope = grd_scope_begin_no_grad(); /* a cache is for inference */
    grd_cache *cache = grd_cache_create(model, 1, PROMPT + COUNT);
    int64_t said[PROMPT + COUNT] = { 1, 2, 3 };
    double furthest = 0;
    for (int64_t length = PROMPT; length < PROMPT + COUNT; length++) {
        grd_scope *pass = grd_scope_begin();
        int64_t before = grd_cache_length(cache), fresh = length - before;
        grd_tensor *fed = grd_from_i64(said + before, fresh, GRD_SHAPE(1, fresh));
        grd_tensor *logits = grd_transformer_forward(model, fed, &(grd_mha_args){ .cache = cache }).logits;
        grd_tensor *last = grd_select(logits, 1, -1);
        said[length] = (int64_t)grd_item(grd_multinomial(rng, grd_softmax(grd_div_scalar(last, 0.8), -1), 1));

        double off = grd_item(grd_max(grd_abs(grd_sub(last, from_the_start(model, said, length)))));
        furthest = off > furthest ? off : furthest;
        if (grd_scope_end(pass) != GRD_OK)
            break;
        printf("%d ", (int)said[length]);
    }
    printf("\n%d tokens in the cache; steps are the whole sequence but for rounding: %s\n",
           (int)grd_cache_length(cache), furthest < 1e-5 ? "yes" : "no");

    grd_cache_truncate(cache, PROMPT); /* another ending for the same prompt */
    printf("after truncating: %d\n", (int)grd_cache_length(cache));
    grd_scope_end(scope);
}

int main(void)
{
    grd_scope *run = grd_scope_begin();
    grd_rng *rng = grd_rng_create(3);
    padded_batch(rng);

    grd_module *model = grd_transformer_create(rng, &(grd_transformer_options){
        .vocab_size = VOCAB, .context = 64, .embed_dim = E, .num_heads = H, .num_layers = 2, .direction = GRD_CAUSAL });
    decode(rng, model);

    if (grd_scope_end(run) != GRD_OK) {
        fprintf(stderr, "%s\n", grd_error_message());
        return 1;
    }
    return 0;
}
