#include "tools/setup.h"
#include "tools/tools.h"

#include <math.h>
#include <string.h>

grd_scope *open_scope(const options *o)
{
    grd_device *device = NULL;
    if (o->device && strcmp(o->device, "cuda") == 0)
        device = grd_cuda(0);
    grd_device_set_threads(grd_cpu(), (int)o->threads);
    const bool wide = o->dtype && strcmp(o->dtype, "float64") == 0;
    return grd_scope_begin_with(
        &(grd_scope_options){ .dtype = wide ? GRD_F64 : GRD_F32, .device = device });
}

int check_data_options(const options *o)
{
    if (o->task && o->text)
        complain("--task and --text exclude each other");
    else if (!o->task && !o->text)
        complain("say what to learn: --task copy, or --text FILE");
    else
        return 0;
    return EXIT_USAGE;
}

static grd_data *make_text(const options *o, grd_part part, const grd_data *train,
                           int64_t batch_size)
{
    const bool bytes = strcmp(o->tokenizer, "bytes") == 0;
    return grd_data_text(o->text, &(grd_text_options){
                                      .tokenizer = train   ? grd_data_tokenizer(train)
                                                   : bytes ? grd_tokenizer_bytes()
                                                           : NULL,
                                      .part = part,
                                      .batch_size = batch_size,
                                      .context = o->context > 0 ? o->context : 64,
                                      .seed = (uint64_t)o->seed,
                                  });
}

grd_data *make_data(const options *o, grd_part part, const grd_data *train, int64_t batch_size)
{
    if (o->text)
        return make_text(o, part, train, batch_size);
    return grd_data_task(o->task, &(grd_task_options){ .part = part,
                                                       .batch_size = batch_size,
                                                       .length = o->length,
                                                       .seed = (uint64_t)o->seed });
}

static grd_activation activation_named(const char *name)
{
    static const struct {
        const char *name;
        grd_activation activation;
    } list[] = {
        { "relu", GRD_RELU },
        { "gelu", GRD_GELU },
        { "gelu_tanh", GRD_GELU_TANH },
        { "silu", GRD_SILU },
    };
    size_t i = 0;
    while (strcmp(name, list[i].name) != 0)
        i++;
    return list[i].activation;
}

/* What the model's numbers are stored in; unset: in what it computes with. */
static grd_dtype dtype_of(const char *precision)
{
    return strcmp(precision, "bf16") == 0   ? GRD_BF16
           : strcmp(precision, "fp16") == 0 ? GRD_F16
                                            : GRD_DTYPE_UNSET;
}

grd_module *make_model(const options *o, grd_rng *rng, int64_t vocab_size, int64_t context,
                       grd_direction direction)
{
    grd_module *model =
        grd_transformer_create(rng, &(grd_transformer_options){
                                        .vocab_size = vocab_size,
                                        .context = context,
                                        .embed_dim = o->embed_dim,
                                        .num_heads = o->num_heads,
                                        .num_layers = o->num_layers,
                                        .direction = direction,
                                        .ff_dim = o->ff_dim,
                                        .dropout = o->dropout,
                                        .norm_eps = o->norm_eps,
                                        .activation = activation_named(o->activation),
                                        .norm_first = o->norm_first == 1,
                                        .no_bias = o->bias == 0,
                                        .tied = o->tied == 1,
                                    });
    /* Made in f32 all the same, so that a seed gives the same weights, rounded. */
    const grd_dtype dtype = dtype_of(o->precision);
    if (model && dtype != GRD_DTYPE_UNSET)
        grd_module_to(model, NULL, dtype);
    return model;
}

grd_optimizer *make_optimizer(const options *o, grd_module *model)
{
    const grd_adam_options adam = {
        .betas = { o->beta1, o->beta2 },
        .eps = o->eps,
        .weight_decay = o->weight_decay,
        .decay_matrices_only = true,
    };
    return o->weight_decay > 0 ? grd_adamw_create(model, &adam) : grd_adam_create(model, &adam);
}

grd_schedule make_schedule(const options *o)
{
    return (grd_schedule){
        .shape = isnan(o->min_lr) ? GRD_CONSTANT : GRD_COSINE,
        .lr = o->lr,
        .min_lr = isnan(o->min_lr) ? o->lr : o->min_lr,
        .warmup_steps = o->warmup_steps,
        .total_steps = o->total_steps > 0 ? o->total_steps : o->steps,
    };
}

/* What the data need, unless --causal says otherwise. */
static grd_direction direction_of(const options *o, const grd_data *data)
{
    const bool causal = o->causal < 0 ? grd_data_causal(data) : o->causal;
    return causal ? GRD_CAUSAL : GRD_BIDIRECTIONAL;
}

static int64_t context_of(const options *o, const grd_data *data)
{
    const int64_t needed = grd_data_context(data);
    if (data && o->context > 0 && o->context < needed)
        grd_fail(GRD_ERROR_ARGUMENT, "context", "the data need %d tokens, --context is %d",
                 (int)needed, (int)o->context);
    return o->context > needed ? o->context : needed;
}

setup make_setup(const options *o)
{
    setup s = { .rng = grd_rng_create((uint64_t)o->seed), .schedule = make_schedule(o) };
    s.train = make_data(o, GRD_TRAIN, NULL, o->batch_size);
    s.validation = make_data(o, GRD_VALIDATION, s.train, o->batch_size);
    s.model = make_model(o, s.rng, grd_data_vocab_size(s.train), context_of(o, s.train),
                         direction_of(o, s.train));
    s.optimizer = make_optimizer(o, s.model);
    if (dtype_of(o->precision) == GRD_F16)
        s.scaler = grd_grad_scaler_create(NULL);
    grd_module_train(s.model, s.rng);
    return s;
}

grd_layout layout_named(const char *name)
{
    return strcmp(name, "batch_first") == 0      ? GRD_BATCH_FIRST
           : strcmp(name, "sequence_first") == 0 ? GRD_SEQUENCE_FIRST
                                                 : GRD_UNBATCHED;
}
