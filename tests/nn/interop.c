/* Files for interop.py. `interop write DIR`: a transformer as DIR/model.h5 and
 * DIR/model.safetensors, every dtype as DIR/types.h5, DIR/logits.h5. `interop read DIR`: imports
 * DIR/torch.safetensors and writes its logits. */
#include "nn/checkpoint.h"

#include <gradus/gradus.h>
#include <stdio.h>
#include <string.h>

enum { V = 13, T = 7 };

static const char *folder;

static const char *path(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static grd_module *transformer(void)
{
    grd_module *model = grd_transformer_create(grd_rng_create(5), &(grd_transformer_options){
                                                                      .vocab_size = V,
                                                                      .context = T,
                                                                      .embed_dim = 16,
                                                                      .num_heads = 4,
                                                                      .num_layers = 2,
                                                                      .ff_dim = 24,
                                                                      .direction = GRD_CAUSAL,
                                                                      .activation = GRD_GELU,
                                                                  });
    grd_module_eval(model);
    return model;
}

static void write_logits(grd_module *model)
{
    int64_t tokens[2 * T];
    for (int i = 0; i < 2 * T; i++)
        tokens[i] = i * i % V;
    const grd_tensor *inputs = grd_from_i64(tokens, 2 * T, GRD_SHAPE(2, T));
    grdi_archive *archive = grdi_archive_create("interop", path("logits.h5"));
    grdi_put_tensor(archive, "tokens", inputs);
    grdi_put_tensor(archive, "logits", grd_forward(model, inputs));
    grdi_archive_write(archive);
}

static void write_types(void)
{
    grd_module *m = grd_module_create("Types", 0, NULL);
    const grd_tensor *x = grd_from_f32((float[]){ 1, -0.5, 65504, 0x1p-14f }, 4, GRD_SHAPE(2, 2));
    grd_module_add_parameter(m, "f32", grd_clone(x));
    grd_module_add_parameter(m, "f64", grd_cast(x, GRD_F64));
    grd_module_add_parameter(m, "f16", grd_cast(x, GRD_F16));
    grd_module_add_parameter(m, "bf16", grd_cast(x, GRD_BF16));
    grd_module_add_buffer(m, "i64", grd_from_i64((int64_t[]){ 1, INT64_MIN }, 2, GRD_SHAPE(2)));
    grd_module_add_buffer(m, "bool", grd_from_bool((bool[]){ true, false }, 2, GRD_SHAPE(2)));
    grd_module_add_buffer(m, "none", grd_zeros(GRD_SHAPE(0, 3)));
    (void)!grd_save(path("types.h5"), &(grd_checkpoint){ .model = m, .step = &(int64_t){ 42 } });
    (void)!grd_export_safetensors(path("types.safetensors"), m);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    folder = argv[2];
    grd_scope *scope = grd_scope_begin();
    grd_module *model = transformer();
    if (strcmp(argv[1], "read") == 0) {
        (void)!grd_import_safetensors(path("torch.safetensors"), model);
    } else {
        const grd_checkpoint all = {
            .model = model,
            .optimizer = grd_adamw_create(model, &(grd_adam_options){ .weight_decay = 0.01 }),
            .tokenizer = grd_tokenizer_characters("gr\xc3\xa4"
                                                  "dus"),
            .config = "{\"lr\": 0.001}",
        };
        (void)!grd_save(path("model.h5"), &all);
        (void)!grd_export_safetensors(path("model.safetensors"), model);
        write_types();
    }
    write_logits(model);
    if (grd_scope_end(scope) == GRD_OK)
        return 0;
    fprintf(stderr, "%s\n", grd_error_message());
    return 1;
}
